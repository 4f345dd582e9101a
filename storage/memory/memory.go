package memory

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// Defaults of [Options].
const (
	DefaultMaxSize = 256 << 20
	DefaultMaxLogs = 300_000
)

// sweepInterval is how often logs that nobody writes any more are looked for.
const sweepInterval = time.Minute

// Options bounds a driver. The zero value stands for the defaults.
type Options struct {
	// MaxSize is how many bytes of entries, ids, documents, items and counters are
	// kept, an estimate of their overhead included; default 256 MiB. The states of
	// logs come on top, up to some 1 KiB for each.
	MaxSize int64
	// MaxLogs is how many logs are known at a time; default 300,000.
	MaxLogs int
}

// Driver is a [storage.Driver] in memory. It owns one goroutine until Close.
type Driver struct {
	maxSize int64
	maxLogs int
	closing chan struct{} // closed by Close
	swept   chan struct{} // closed when the sweeper has ended

	mu     sync.RWMutex
	closed bool
	logs   map[string]*log
	size   int64 // of everything
	// records is the part of size that is not history, and gives no way.
	records     int64
	collections map[string]*collection
	queues      map[string]*queue
	// Every log is in one of these, the one written longest ago in front.
	full  *list.List     // with history
	empty *list.List     // state only
	held  map[string]int // logs that have entries, by their kind
	// graves are the deletions that are remembered, the oldest in front.
	graves *list.List
}

var _ storage.Counting = (*Driver)(nil)

// New starts a driver; Close ends it.
func New(o Options) *Driver {
	d := &Driver{
		maxSize: o.MaxSize,
		maxLogs: o.MaxLogs,
		closing: make(chan struct{}),
		swept:   make(chan struct{}),
		logs:    make(map[string]*log),
		held:    make(map[string]int),

		collections: make(map[string]*collection),
		queues:      make(map[string]*queue),

		full:   list.New(),
		empty:  list.New(),
		graves: list.New(),
	}
	if d.maxSize <= 0 {
		d.maxSize = DefaultMaxSize
	}
	if d.maxLogs <= 0 {
		d.maxLogs = DefaultMaxLogs
	}
	go d.sweep()
	return d
}

// usable is called with the lock held.
func (d *Driver) usable(ctx context.Context) error {
	if d.closed {
		return storage.ErrClosed
	}
	return ctx.Err()
}

func (d *Driver) append(name string, appends []*storage.Append) []storage.Result {
	l, ok := d.logs[name]
	if !ok {
		l = &log{name: name}
	}
	if err := d.fits(appends); err != nil {
		results := make([]storage.Result, len(appends))
		for i := range results {
			results[i] = storage.Result{Exists: l.state.Known(), Err: err}
		}
		return results
	}
	now := time.Now()
	b := sequence.Place(l.state, l, now.UnixMicro(), appends)
	l.state = b.State
	if len(b.Entries) == 0 {
		return b.Results
	}
	d.size -= l.size
	l.add(b.Entries, appends[len(appends)-1].MaxLen, now)
	d.size += l.size
	d.touch(l)
	d.shrink(l)
	return b.Results
}

func (d *Driver) fits(appends []*storage.Append) error {
	for _, a := range appends {
		if need := cost(a.ID, a.Data); need > d.maxSize {
			return fmt.Errorf("append %q: %d bytes are more than the whole memory of %d: %w",
				a.ID, need, d.maxSize, storage.ErrPoison)
		}
	}
	return nil
}

// ReadLog implements [storage.Driver]. The entries' data is shared with the
// driver.
func (d *Driver) ReadLog(ctx context.Context, name string, q storage.LogQuery) (storage.LogPage, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := d.usable(ctx); err != nil {
		return storage.LogPage{}, fmt.Errorf("read log from memory: %w", err)
	}
	l, ok := d.logs[name]
	if !ok {
		return q.Plan(storage.LogState{}).Page(nil, false), nil
	}
	return l.read(q, time.Now()), nil
}

// Publish implements [storage.Driver]: there is no other node to tell.
func (d *Driver) Publish(ctx context.Context, _ string, _ []byte) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.usable(ctx)
}

// Subscribe implements [storage.Driver]: no other node publishes, so it only
// blocks until ctx is done or the driver is closed.
func (d *Driver) Subscribe(ctx context.Context, _ string, _ func(storage.Message)) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-d.closing:
		return storage.ErrClosed
	}
}

// Health implements [storage.Driver]. Memory has nothing that could fail.
func (d *Driver) Health(ctx context.Context) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.usable(ctx)
}

// Close implements [storage.Driver]; everything is forgotten.
func (d *Driver) Close() error {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		close(d.closing)
		d.logs, d.full, d.empty, d.size = nil, list.New(), list.New(), 0
		d.collections, d.queues, d.records, d.held = nil, nil, 0, nil
	}
	d.mu.Unlock()
	<-d.swept
	return nil
}
