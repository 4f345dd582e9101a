package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
)

// Driver is a [storage.Driver] on Redis; safe for concurrent use.
type Driver struct {
	keys    keyspace
	timeout time.Duration
	log     *zap.Logger

	write *goredis.Client // batches, health, messages
	read  *goredis.Client // pages, so that large ones hold up no batch

	appendScript, readScript, healthScript *script

	checked      atomic.Bool // the server's configuration was looked at, or is being
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

var _ storage.Driver = (*Driver)(nil)

// New checks the options and prepares a driver. It does not connect: that Redis
// is down is no reason not to start. The caller must call Close.
func New(o Options) (*Driver, error) {
	client, err := o.client()
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	d := &Driver{
		keys:         keyspace{prefix: o.KeyPrefix},
		timeout:      o.Timeout,
		log:          o.Logger,
		appendScript: newScript(appendLua),
		readScript:   newScript(readLua),
		healthScript: newScript(healthLua),
		liveEvery:    liveEvery,
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.dialing, d.stopDialing = context.WithCancel(context.Background())
	d.setDialer(client)
	d.write = goredis.NewClient(client)
	reading := *client
	d.read = goredis.NewClient(&reading)
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
	if err := errors.Join(d.write.Close(), d.read.Close()); err != nil {
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
		ctx, cancel := context.WithTimeout(ctx, d.timeout)
		defer cancel()
		value, err := fn(ctx)
		answers <- answer{value, err}
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
