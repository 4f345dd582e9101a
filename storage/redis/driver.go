package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
)

// Driver is a [storage.Partitioned] on Redis; safe for concurrent use.
type Driver struct {
	keys    keyspace
	timeout time.Duration
	log     *zap.Logger

	write     *servers   // batches, health, messages
	read      *servers   // pages, so that large ones hold up no batch
	sentinels *sentinels // nil: none

	lanes  []string // nil: one
	marks  *marks
	onLoss func(partition string)

	admitted     atomic.Bool // Redis holds what this driver can use
	refusal      atomic.Bool // it does not, and the log says so
	checked      atomic.Bool // the servers' configuration was looked at, or is being
	noticeFailed atomic.Bool // the last notice could not be sent

	liveEvery time.Duration // between two messages of a subscription to itself

	ctx         context.Context // done once Close was called
	cancel      context.CancelFunc
	dialing     context.Context // done once Close has waited for operations
	stopDialing context.CancelFunc

	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup // everything that uses a client
}

var _ storage.Partitioned = (*Driver)(nil)

// New checks the options and prepares a driver; it reads the files of TLS. It does
// not connect: that Redis is down is no reason not to start. The caller must call
// Close.
func New(o Options) (*Driver, error) {
	target, err := o.target()
	if err != nil {
		return nil, err
	}
	secure, err := target.tls()
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	d := &Driver{
		keys:      keyspace{prefix: o.KeyPrefix},
		timeout:   o.Timeout,
		log:       o.Logger,
		liveEvery: liveEvery,
		marks:     newMarks(keyspace{prefix: o.KeyPrefix}),
		onLoss:    func(string) {},
	}
	if len(target.cluster) > 0 {
		d.lanes = append(partitionNames[:], documentsLane)
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.dialing, d.stopDialing = context.WithCancel(context.Background())
	relayLog()

	ctx, connect := d.logged(context.Background()), d.connector(target.client, secure)
	if len(target.sentinels) > 0 {
		ask := found(ctx, nil, target.sentinels, d.connector(target.sentinel, secure))
		d.sentinels = &sentinels{master: o.Sentinel.Master, servers: ask}
	}
	open := func() *servers {
		switch {
		case d.sentinels != nil:
			return found(ctx, d.sentinels.find, nil, connect)
		case len(target.cluster) > 0:
			return found(ctx, findCluster, target.cluster, connect)
		default:
			return fixed(ctx, target.client.Addr, connect)
		}
	}
	d.write, d.read = open(), open()
	d.write.joined = func() { d.checked.Store(false) }
	return d, nil
}

// Close ends subscriptions, waits for running operations, for at most the
// timeout of one, and closes every connection. A second call does nothing.
func (d *Driver) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	d.wg.Wait()
	d.stopDialing()
	var err error
	if d.sentinels != nil {
		err = d.sentinels.close()
	}
	if err = errors.Join(err, d.write.close(), d.read.close()); err != nil {
		return fmt.Errorf("close redis connections: %w", err)
	}
	return nil
}

// enter begins an operation; d.wg.Done ends it.
func (d *Driver) enter() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return storage.ErrClosed
	}
	d.wg.Add(1)
	return nil
}

// grace is what a call may take beyond its timeout to hand over what it knows.
const grace = 40 * time.Millisecond

// bounded runs fn with the driver's timeout and answers promptly once ctx is
// done: go-redis heeds deadlines, but a cancel does not wake it from a read. What
// fn answers is then dropped, so it must not write to what the caller holds.
func bounded[T any](ctx context.Context, d *Driver, fn func(context.Context) (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if err := d.enter(); err != nil {
		return none, err
	}
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		defer d.wg.Done()
		ctx, cancel := context.WithTimeout(d.logged(ctx), d.timeout)
		defer cancel()
		var a answer
		if !d.admitted.Load() {
			a.err = d.admit(ctx)
		}
		if a.err == nil {
			a.value, a.err = fn(ctx)
		}
		answers <- a
	}()
	late := time.NewTimer(d.timeout + grace)
	defer late.Stop()
	select {
	case a := <-answers:
		return a.value, blame(ctx, a.err)
	case <-ctx.Done():
		return none, ctx.Err()
	case <-late.C:
		return none, unavailable(context.DeadlineExceeded)
	}
}

// blame answers ctx's error in place of the server's when the caller's own end
// is the cause. A socket may notice his deadline a little before his context does.
func blame(ctx context.Context, err error) error {
	if !Counts(err) {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < 5*time.Millisecond {
		<-ctx.Done()
	}
	if own := ctx.Err(); own != nil {
		return own
	}
	return err
}
