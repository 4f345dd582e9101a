package resilient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
)

// asideRetry is how long a log that cannot be written is left alone before an
// append to it is tried again.
const asideRetry = time.Minute

// Apply implements [storage.Driver]. Plain appends go through the journal and
// never fail because the backend does: they are answered with Pending and
// Volatile set when it has not taken them within AckAfter, or at once while the
// breaker is open. A full journal, and a log that cannot be written, answer a
// [*storage.UnavailableError]. If ctx ends before the acknowledgement the entry
// may be stored nevertheless; the same id again is answered with its outcome.
//
// Appends that carry a Link or Rebase are in the caller's own chain, and those
// with IfExists depend on what only the backend knows. A call with one of them,
// or with any other operation, goes to the driver as a whole, behind the
// breaker, with a deadline of BatchTimeout, in no order with entries that are
// pending.
func (j *Journaled) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	if err := ctx.Err(); err != nil {
		return failAll(len(ops), err), err
	}
	appends := make([]*storage.Append, len(ops))
	for i, op := range ops {
		a, ok := op.(*storage.Append)
		if !ok || a.IfExists || a.Rebase || a.Link != (storage.Link{}) {
			return j.direct(ctx, ops)
		}
		appends[i] = a
	}
	return j.append(ctx, appends)
}

// direct has the driver carry out ops now.
func (j *Journaled) direct(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	j.mu.Lock()
	closed := j.closed
	j.mu.Unlock()
	if closed {
		return failAll(len(ops), storage.ErrClosed), storage.ErrClosed
	}
	drops := slices.ContainsFunc(ops, func(op storage.Op) bool {
		_, ok := op.(*storage.Drop)
		return ok
	})
	if drops { // nothing of the log may be on its way meanwhile
		if err := j.lane.lock(ctx); err != nil {
			return failAll(len(ops), err), err
		}
		defer j.lane.unlock()
	}
	inner, cancel := context.WithTimeout(ctx, j.cfg.BatchTimeout)
	defer cancel()
	results, err := guardedApply(ctx, inner, j.breaker, j.driver, ops)
	if drops {
		j.noteDrops(ops, results)
	}
	j.lookAtBreaker()
	return results, err
}

// noteDrops lets go of what the journal holds of logs that were dropped.
func (j *Journaled) noteDrops(ops []storage.Op, results []storage.Result) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, op := range ops {
		if drop, ok := op.(*storage.Drop); ok && results[i].Err == nil {
			results[i].Exists = j.journal.dropLog(drop.Scope) || results[i].Exists
		}
	}
}

// claim is what one append of a caller waits for.
type claim struct {
	e      *entry
	repeat bool // the id was there before
	again  bool // it was accepted once more
	err    error
}

// append takes appends into the journal and waits for their acknowledgement.
func (j *Journaled) append(ctx context.Context, ops []*storage.Append) ([]storage.Result, error) {
	claims, opened, err := j.accept(ops)
	if err != nil {
		return failAll(len(ops), err), err
	}
	j.wakeShipper()
	hurry := j.breaker.State() == breaker.Open
	timer := time.NewTimer(j.cfg.AckAfter)
	defer timer.Stop()
	results := make([]storage.Result, len(ops))
	for i := 0; i < len(claims); {
		result, done, wait := j.answer(claims[i], hurry)
		if done && errors.Is(result.Err, storage.ErrGone) && ops[i].Epoch == 0 && !claims[i].again {
			// The log was dropped while its caller waits: he has been promised nothing
			// yet, and means the log that there will be.
			claims[i] = j.reclaim(ops[i])
			continue
		}
		if done {
			results[i] = result
			i++
			continue
		}
		err = nil
		select {
		case <-wait:
		case <-timer.C:
			hurry = true
		case <-opened:
			hurry, opened = true, nil
		case <-ctx.Done():
			err = ctx.Err()
		case <-j.ctx.Done():
			err = storage.ErrClosed
		}
		if err != nil {
			copy(results[i:], failAll(len(ops)-i, err))
			return results, err
		}
	}
	if j.breaker.State() == breaker.Open {
		j.fallback.note(countPending(results))
	}
	return results, nil
}

func countPending(results []storage.Result) (n int) {
	for i := range results {
		if results[i].Pending {
			n++
		}
	}
	return n
}

// accept numbers ops and puts them into the journal, all or none. opened is
// closed when the breaker opens.
func (j *Journaled) accept(ops []*storage.Append) (claims []claim, opened chan struct{}, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, nil, storage.ErrClosed
	}
	now := time.Now()
	var size int64
	for _, op := range ops {
		if j.journal.ids[idKey{op.Log, op.ID}] == nil {
			size += entrySize(op)
		}
	}
	if size > 0 && !j.journal.fits(size) {
		return nil, nil, &storage.UnavailableError{
			Reason:     "the journal of events that wait to be stored is full",
			RetryAfter: time.Second,
		}
	}
	claims = make([]claim, len(ops))
	for i, op := range ops {
		claims[i] = j.claim(op, now)
	}
	return claims, j.opened, nil
}

// reclaim accepts an append once more.
func (j *Journaled) reclaim(op *storage.Append) claim {
	again, _, err := j.accept([]*storage.Append{op})
	if err != nil {
		return claim{err: err, again: true}
	}
	j.wakeShipper()
	again[0].again = true
	return again[0]
}

func (j *Journaled) claim(op *storage.Append, now time.Time) claim {
	if op.Log == "" || op.ID == "" {
		return claim{err: fmt.Errorf("append needs a log and an id: %w", storage.ErrPoison)}
	}
	if c := j.journal.chains[op.Log]; c != nil && c.aside {
		if now.Sub(c.asideAt) < asideRetry {
			return claim{err: errAside}
		}
		j.journal.revive(c)
	}
	if e := j.journal.ids[idKey{op.Log, op.ID}]; e != nil {
		if e.done == nil {
			e.done = make(chan struct{})
		}
		return claim{e: e, repeat: true}
	}
	return claim{e: j.journal.add(op, now)}
}

var errAside = &storage.UnavailableError{
	Reason: "this log cannot be written", RetryAfter: asideRetry,
	Err: errors.New("the backend refused it several times"),
}

// answer is the result for a claim, once there is one; otherwise wait says when
// to ask again. hurry: an entry that is pending is acknowledged as such.
func (j *Journaled) answer(c claim, hurry bool) (r storage.Result, done bool, wait <-chan struct{}) {
	if c.err != nil {
		return storage.Result{Err: c.err}, true, nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	e := c.e
	switch {
	case e.err != nil:
		return storage.Result{Err: e.err}, true, nil
	case e.placed && (e.in == nil || e.inBackend()):
		return storedResult(e, c.repeat), true, nil
	case e.chain.aside:
		return storage.Result{Err: errAside}, true, nil
	case e.acked || hurry && !j.closed: // on the way out nothing volatile is promised
		return j.pendingResult(e, c.repeat), true, nil
	}
	if e.done == nil {
		e.done = make(chan struct{})
	}
	return storage.Result{}, false, e.done
}

func storedResult(e *entry, repeat bool) storage.Result {
	r := e.result
	r.Duplicate = repeat || e.foreign
	r.Exists = r.Exists || repeat
	if !e.foreign {
		r.Link = e.op.Link
	}
	return r
}

// pendingResult acknowledges an entry that is not in the backend; mu is held.
func (j *Journaled) pendingResult(e *entry, repeat bool) storage.Result {
	if j.journal.waiting == 0 {
		j.observer.look()
	}
	j.journal.acknowledge(e)
	return storage.Result{
		Cursor:     e.chain.headCursor(time.Now()).With(e.op.Link),
		ReceivedAt: e.at.UTC().Truncate(time.Microsecond),
		Link:       e.op.Link,
		Duplicate:  repeat,
		Exists:     repeat || e.chain.known || e.number() > 1,
		Pending:    true,
		Volatile:   true,
	}
}
