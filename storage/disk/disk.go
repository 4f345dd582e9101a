package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
)

// DefaultMaxSize of [Options].
const DefaultMaxSize = 10 << 30

// maxQueue is how many calls wait for the committer at most; further ones wait
// for a place as long as their context allows.
const maxQueue = 1024

// Options says where a driver works and how much it keeps.
type Options struct {
	// Dir is the directory of the file; it is created (mode 0700) if need be.
	Dir string
	// MaxSize is how many bytes the file may use, free pages not counted;
	// default 10 GiB. It is exceeded by what arrives while history is removed.
	MaxSize int64
	// Logger takes what operators should know; nil is none.
	Logger *zap.Logger

	// For tests; nil is the real thing.
	openFile func(string, int, os.FileMode) (*os.File, error)
	now      func() time.Time
}

// Driver is a [storage.Driver] on disk. It owns goroutines until Close.
type Driver struct {
	opener  opener
	log     *zap.Logger
	maxSize int64
	now     func() time.Time

	file  atomic.Pointer[file] // nil: closed after an error, until it is reopened
	cause atomic.Pointer[storage.UnavailableError]
	used  atomic.Int64  // bytes in the file, free pages not counted; 0: unknown
	full  chan struct{} // wakes the janitor
	// stuffed: the file is larger than maxSize and the janitor has nothing left to
	// remove. What brings more is refused.
	stuffed atomic.Bool

	queue   chan *request
	life    context.Context //nolint:containedctx // ends with Close
	end     context.CancelFunc
	stop    chan struct{} // closed when no call is running any more
	ended   sync.WaitGroup
	suspect atomic.Bool // reading failed: check the file when it is opened next

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup // calls; grows only under mu while not closed
	once    sync.Once
	err     error // of Close
}

var _ storage.Counting = (*Driver)(nil)

// Open opens the directory for this driver alone; a second one is refused with
// an error that names the directory and the process that has it. A file that was
// not closed the last time is checked first, which takes a while when it is
// large; a corrupt one is set aside as lifeline.db.corrupt-<time>.
func Open(o Options) (*Driver, error) {
	d := &Driver{
		log:     o.Logger,
		maxSize: o.MaxSize,
		now:     o.now,
		full:    make(chan struct{}, 1),
		queue:   make(chan *request, maxQueue),
		stop:    make(chan struct{}),
	}
	if d.log == nil {
		d.log = zap.NewNop()
	}
	d.opener = newOpener(o.Dir, d.log, o.openFile)
	if d.maxSize <= 0 {
		d.maxSize = DefaultMaxSize
	}
	if d.now == nil {
		d.now = time.Now
	}
	d.life, d.end = context.WithCancel(context.Background())
	f, err := d.opener.open(false)
	if err != nil {
		d.end()
		return nil, fmt.Errorf("open disk storage: %w", err)
	}
	d.file.Store(f)
	c := &committer{Driver: d, logs: newLogs(), held: make(map[string]int)}
	d.ended.Go(c.run)
	d.ended.Go(d.clean)
	return d, nil
}

// enter begins a call; leave ends it.
func (d *Driver) enter(ctx context.Context) (leave func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, storage.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.running.Add(1)
	return d.running.Done, nil
}

// do queues a request and waits for its answer.
func (d *Driver) do(r *request) error {
	select {
	case d.queue <- r:
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// Health implements [storage.Driver]: a transaction with fsync, shared with the
// appends that are waiting.
func (d *Driver) Health(ctx context.Context) error {
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	r := newRequest(ctx)
	r.health = true
	if err := d.do(r); err != nil {
		return fmt.Errorf("write to disk: %w", err)
	}
	return nil
}

// Publish implements [storage.Driver]: there is no other node to tell.
func (d *Driver) Publish(ctx context.Context, _ string, _ []byte) error {
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	leave()
	return nil
}

// Subscribe implements [storage.Driver]: no other node publishes, so it only
// blocks until ctx is done or the driver is closed.
func (d *Driver) Subscribe(ctx context.Context, _ string, _ func(storage.Message)) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-d.life.Done():
		return storage.ErrClosed
	}
}

// Close implements [storage.Driver]. Calls that were made before it are carried
// out.
func (d *Driver) Close() error {
	d.once.Do(func() {
		d.mu.Lock()
		d.closed = true
		d.mu.Unlock()
		d.end()
		d.running.Wait()
		close(d.stop)
		d.ended.Wait()
		d.err = d.closeFile()
	})
	return d.err
}

func (d *Driver) closeFile() error {
	f := d.file.Swap(nil)
	if f == nil {
		return nil // it was given up; the marker stays, and the next opener checks
	}
	var err error
	if !d.suspect.Load() {
		err = d.opener.Unmark()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("close disk storage: %w", err)
	}
	return nil
}

// space measures the file at the beginning of a write transaction.
func (f *file) space(tx *bbolt.Tx) int64 {
	s := f.DB.Stats()
	return tx.Size() - int64(s.FreePageN+s.PendingPageN)*int64(f.DB.Info().PageSize)
}
