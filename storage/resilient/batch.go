package resilient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// batch is what one Apply carries: the first chains of the queue, some entries
// of each.
type batch struct {
	chains  int
	entries []*entry // those of one log side by side
	ops     []storage.Op
}

// take makes a batch from the front of the queue, which it leaves as it is.
func (j *journal) take(most int, bytes int64) batch {
	var b batch
	var size int64
	for _, c := range j.queue {
		for i, e := range c.entries[c.ship:] {
			if len(b.entries) > 0 && (len(b.entries) >= most || size+e.size > bytes) {
				b.ops = opsOf(b.entries)
				return b
			}
			if i == 0 {
				b.chains++
			}
			b.entries = append(b.entries, e)
			size += e.size
		}
	}
	b.ops = opsOf(b.entries)
	return b
}

// opsOf copies the entries' operations, for a driver may look at them later than
// it should.
func opsOf(entries []*entry) []storage.Op {
	copies := make([]storage.Append, len(entries))
	ops := make([]storage.Op, len(entries))
	for i, e := range entries {
		copies[i] = e.op
		copies[i].Floor = max(e.op.Floor, e.chain.floor)
		copies[i].Rebase = e.chain.rebase == e.number()
		ops[i] = &copies[i]
	}
	return ops
}

// settle notes what became of a batch, and says why some of it is to be sent
// again.
func (j *Journaled) settle(b batch, results []storage.Result, err error) error {
	if err == nil && len(results) != len(b.ops) {
		err = fmt.Errorf("driver answered %d results for %d operations", len(results), len(b.ops))
	}
	if len(results) != len(b.ops) {
		results = failAll(len(b.ops), err)
	}
	j.mu.Lock()
	waited, discarded := j.journal.waiting > 0, j.journal.discarded
	poisoned, failed := j.journal.settle(b, results, err, time.Now())
	if failed != nil {
		j.journal.auditDue = true
	}
	changed := waited && j.journal.waiting == 0
	discarded = j.journal.discarded - discarded
	j.mu.Unlock()
	for _, p := range poisoned {
		j.logPoison(p)
	}
	if discarded > 0 {
		j.logDiscarded(discarded)
	}
	if changed || failed != nil || len(poisoned) > 0 {
		j.observer.look()
	}
	return failed
}

// poison is a log that was set aside, and why.
type poison struct {
	log     string
	entries int
	err     error
}

// maxPoison is how often an entry is refused before its log is set aside.
const maxPoison = 3

// settle notes the outcome of each entry of a batch, and puts the batch's logs
// where they belong: to the end of the queue, or, if the batch failed, back to
// where they were.
func (j *journal) settle(b batch, results []storage.Result, err error, now time.Time) (poisoned []poison, failed error) {
	for i := 0; i < len(b.entries); {
		c := b.entries[i].chain
		end := i
		for end < len(b.entries) && b.entries[end].chain == c {
			end++
		}
		if stop := j.settleChain(b.entries[i:end], results[i:end], err, now); stop != nil {
			switch {
			case errors.Is(stop, storage.ErrGap):
				c.gapped = true
				c.gaps++
				j.auditFirst(c)
				j.auditDue = true
			case permanent(stop):
				if c.poisoned++; c.poisoned >= maxPoison {
					j.setAside(c, now)
				}
				if c.poisoned == maxPoison { // told once, not at each try later on
					poisoned = append(poisoned, poison{c.log, len(c.entries) - c.ship, stop})
				}
			default:
				failed = stop
			}
		}
		i = end
	}
	if failed == nil {
		failed = err
	}
	j.requeue(b.chains, failed != nil)
	j.drop(now)
	return poisoned, failed
}

// settleChain notes the outcomes of one log's entries, up to the first that is
// not settled, and answers why.
func (j *journal) settleChain(entries []*entry, results []storage.Result, err error, now time.Time) error {
	for i, e := range entries {
		r := results[i]
		switch {
		case r.Err == nil && err != nil && r.Cursor.Pos.Micros == 0:
			e.unsure = true // the driver did not say
			return err
		case r.Err == nil:
			j.confirm(e, r, now)
		case errors.Is(r.Err, storage.ErrGone):
			j.discard(e, r.Err)
		default:
			for _, left := range entries[i:] {
				left.unsure = left.unsure || !errors.Is(r.Err, storage.ErrGap) && !permanent(r.Err)
			}
			return r.Err
		}
	}
	return nil
}

// permanent reports whether an entry's own error says that it will not be taken
// the next time either.
func permanent(err error) bool {
	var unavailable *storage.UnavailableError
	return !errors.As(err, &unavailable) && !errors.Is(err, context.DeadlineExceeded) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, storage.ErrClosed)
}

// requeue puts the first n logs of the queue, those of a batch, to its end, or
// back to its front in the same order. Logs with nothing to ship leave it.
func (j *journal) requeue(n int, front bool) {
	served := append([]*chain(nil), j.queue[:n]...)
	kept := served[:0]
	for _, c := range served {
		if c.shippable() {
			kept = append(kept, c)
		} else {
			c.queued = false
		}
	}
	if front {
		j.queue = j.queue[n-len(kept):]
		copy(j.queue, kept)
		return
	}
	clear(j.queue[:n])
	j.queue = append(j.queue[n:], kept...)
}
