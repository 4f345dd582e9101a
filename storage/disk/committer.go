package disk

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/boltfile"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// Bounds of one transaction: what a caller behind them waits for at most.
const (
	maxCommitOps  = 4096
	maxCommitSize = 16 << 20
)

// stepBack is how far the clock must have gone back to be worth a warning.
const stepBack = time.Second

// request is one call that waits for the committer: operations, a Take, a health
// check, or a job of the janitor.
type request struct {
	ctx     context.Context //nolint:containedctx // the call's
	ops     []storage.Op
	results []storage.Result // with Err: the operation was refused already
	count   int              // operations to carry out
	size    int              // bytes of their data
	take    *take
	health  bool
	job     job
	done    chan error // takes one answer
}

// job changes something in the committer's transaction.
type job func(c *committer, tx *bbolt.Tx) error

func newRequest(ctx context.Context) *request {
	return &request{ctx: ctx, done: make(chan error, 1)}
}

// committer is the one goroutine that writes.
type committer struct {
	*Driver
	logs *logs

	refused  bool           // the last commit failed on a full disk, and it was reported
	warned   bool           // about the clock
	written  bool           // the transaction at hand has something to commit
	held     map[string]int // what it changes about how many logs have entries
	retry    *time.Timer
	pause    time.Duration
	reopened chan reopened // not nil while an attempt is running
}

func (c *committer) run() {
	for {
		var retry <-chan time.Time
		if c.retry != nil {
			retry = c.retry.C
		}
		select {
		case <-c.stop:
			c.stopReopening()
			return
		case r := <-c.queue:
			c.serve(r)
		case <-retry:
			c.reopen()
		case r := <-c.reopened:
			c.resume(r)
		}
	}
}

func (c *committer) serve(first *request) {
	if err := first.ctx.Err(); err != nil {
		first.done <- err
		return
	}
	if c.file.Load() == nil {
		first.done <- c.unavailable()
		return
	}
	batch := c.collect(first)
	err := c.commit(batch)
	if err != nil {
		err = c.failed(err)
	} else {
		c.succeeded()
	}
	for _, r := range batch {
		r.done <- err
	}
	c.logs.shrink()
}

// collect takes what was queued while the last transaction was written.
func (c *committer) collect(first *request) []*request {
	// Callers that were just answered are about to queue their next request, but
	// have not run yet. Without letting them, every second transaction would be
	// of half of them and the other half would wait for it.
	for n := -1; len(c.queue) > n; {
		n = len(c.queue)
		runtime.Gosched()
	}
	batch := []*request{first}
	ops, size := first.count, first.size
	for ops < maxCommitOps && size < maxCommitSize {
		select {
		case r := <-c.queue:
			if r.ctx.Err() != nil {
				r.done <- r.ctx.Err() // nothing was done, and nobody waits any more
				continue
			}
			batch = append(batch, r)
			ops, size = ops+r.count, size+r.size
		default:
			return batch
		}
	}
	return batch
}

// errNothing ends a transaction that has nothing to write, such as one of
// duplicates only: what they duplicate is on disk already.
var errNothing = errors.New("nothing to commit")

func (c *committer) commit(batch []*request) error {
	f := c.file.Load()
	c.written = false
	clear(c.held)
	err := boltfile.Guard(func() error {
		return f.DB.Update(func(tx *bbolt.Tx) error {
			if err := c.begin(f, tx); err != nil {
				return err
			}
			for _, r := range batch {
				if err := c.carryOut(tx, r); err != nil {
					return err
				}
			}
			if !c.written {
				return errNothing
			}
			return c.flush(tx)
		})
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	if err == nil {
		f.prepared = true
	}
	return err
}

// begin is what each transaction begins with.
func (c *committer) begin(f *file, tx *bbolt.Tx) error {
	c.measure(f.space(tx))
	if f.prepared {
		return nil
	}
	c.written = true
	return createBuckets(tx)
}

func (c *committer) carryOut(tx *bbolt.Tx, r *request) error {
	switch {
	case r.health:
		c.written = true
		return tx.Bucket(bucketMeta).Put(keyHealth, microsKey(c.now().UnixMicro()))
	case r.job != nil:
		return r.job(c, tx)
	case r.take != nil:
		return c.take(tx, r.take)
	}
	return c.operate(tx, r)
}

func (c *committer) append(tx *bbolt.Tx, name string, appends []*storage.Append) ([]storage.Result, error) {
	b := logBucket(tx, name)
	l, err := c.logs.get(name, b)
	if err != nil {
		return c.damaged(err, appends), nil
	}
	now := c.now()
	c.watchClock(l, now)
	x := &index{s: c.logs, l: l, b: b}
	batch := sequence.Place(l.meta.state, x, now.UnixMicro(), appends)
	if x.err != nil {
		return c.damaged(x.err, appends), nil
	}
	if len(batch.Entries) == 0 && !changed(l.meta.state, batch.State) {
		return batch.Results, nil
	}
	if b == nil {
		if b, err = tx.Bucket(bucketLogs).CreateBucket([]byte(name)); err != nil {
			return nil, fmt.Errorf("create log %q: %w", name, err)
		}
		l.ids = make(map[uint64]int64)
	}
	c.written = true
	err = c.logs.write(l, b, batch, appends[len(appends)-1].MaxLen, now)
	return batch.Results, c.undamaged(err)
}

// damaged refuses the appends to a log whose records cannot be read, and those
// alone.
func (c *committer) damaged(err error, appends []*storage.Append) []storage.Result {
	results := make([]storage.Result, len(appends))
	refused, _ := c.refuse(err)
	for i := range results {
		results[i] = refused
	}
	return results
}

// refuse refuses one operation that needs a damaged record; any other error is
// that of the whole transaction.
func (c *committer) refuse(err error) (storage.Result, error) {
	if !isDamaged(err) {
		return storage.Result{}, err
	}
	c.log.Error("a damaged record cannot be written to", zap.Error(err))
	return storage.Result{Exists: true, Err: poison(err)}, nil
}

// undamaged answers nil for what only one damaged record is concerned with.
func (c *committer) undamaged(err error) error {
	if !isDamaged(err) {
		return err
	}
	c.log.Error("a damaged record is left alone", zap.Error(err))
	return nil
}

func isDamaged(err error) bool { return errors.Is(err, errDamaged) }

func poison(err error) error { return fmt.Errorf("%w: %w", storage.ErrPoison, err) }

// changed reports whether duplicates have moved a producer's chain.
func changed(a, b sequence.State) bool {
	return a.Epoch != b.Epoch || len(a.Last) != len(b.Last) || len(a.Last) > 0 && &a.Last[0] != &b.Last[0]
}

// flush writes the metadata of the logs that the transaction has changed.
func (c *committer) flush(tx *bbolt.Tx) error {
	for _, l := range c.logs.dirty {
		l.dirty = false
		c.hold(l, l.first != 0)
		b := logBucket(tx, l.name)
		if b == nil {
			continue // it was changed first and then forgotten
		}
		b.FillPercent = 1
		if err := b.Put(keyLogMeta, encodeLogMeta(l.meta)); err != nil {
			return fmt.Errorf("write metadata of log %q: %w", l.name, err)
		}
	}
	clear(c.logs.dirty)
	c.logs.dirty = c.logs.dirty[:0]
	return c.writeHeld(tx)
}

// watchClock warns when the clock was put back: times then stand still until it
// has caught up.
func (c *committer) watchClock(l *log, now time.Time) {
	back := time.Duration(l.meta.state.Head.Micros-now.UnixMicro()) * time.Microsecond
	if c.warned || back < stepBack {
		return
	}
	c.warned = true
	c.log.Warn("clock is behind the newest event: positions only creep until it has caught up",
		zap.String("log", l.name), zap.Duration("behind", back))
}
