package resilient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// asideRetry is how long a log that cannot be written is left alone before an
// append to it is tried again.
const asideRetry = time.Minute

// Apply implements [storage.Driver]. Append, Put, Del, Push and Add go through the
// journal and never fail because the backend does: they are answered with Pending
// set when it has not taken them within AckAfter, or at once while the breaker is
// open, and with Volatile as well when the journal is in memory. Exists is then as
// far as this node knows, and true where it does not. A full journal, and a log
// that cannot be written, answer a [*storage.UnavailableError]. If ctx ends before
// the acknowledgement the operation may be carried out nevertheless; the same id
// again is answered with its outcome.
//
// A Drop, what carries a Link or Rebase and so is in the caller's own chain, and
// what depends on something that only the backend knows (IfExists), goes to the
// driver as a whole call, behind the breaker, with a deadline of BatchTimeout, in
// no order with entries that are pending. Of a call that only drops and writes
// documents the drops do so, and once they are done the journal takes the documents.
func (j *Journaled) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	if err := ctx.Err(); err != nil {
		return failAll(len(ops), err), err
	}
	ops = j.stamped(ops)
	accepted, ok := j.journaled(ops)
	if ok {
		return j.keep(ctx, ops, accepted)
	}
	if slices.ContainsFunc(ops, isDrop) {
		return j.besides(ctx, ops)
	}
	return j.direct(ctx, ops)
}

// besides carries out the drops of a call, and then through the journal the writes of
// documents beside them: otherwise a backend that is filled again would have the
// documents as they were before.
func (j *Journaled) besides(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	var first, then []storage.Op
	for _, op := range ops {
		switch op.(type) {
		case *storage.Put, *storage.Del:
			then = append(then, op)
		case *storage.Drop:
			first = append(first, op)
		default: // perhaps in the same log or collection, where the order counts
			return j.direct(ctx, ops)
		}
	}
	dropped, err := j.direct(ctx, first)
	kept := failAll(len(then), err)
	if err == nil && len(then) > 0 {
		kept, err = j.keep(ctx, then, then)
	}
	results := make([]storage.Result, 0, len(ops))
	for _, op := range ops {
		from := &kept
		if isDrop(op) {
			from = &dropped
		}
		results, *from = append(results, (*from)[0]), (*from)[1:]
	}
	return results, err
}

// stamped gives every Put and Del that has none its stamp. ops is not changed.
func (j *Journaled) stamped(ops []storage.Op) []storage.Op {
	copied := false
	for i, op := range ops {
		switch op := op.(type) {
		case *storage.Put:
			if stamp, given := j.stamp(documentKey{op.Collection, op.ID}, op.Stamp); given {
				put := *op
				put.Stamp = stamp
				ops, copied = replace(ops, i, &put, copied)
			}
		case *storage.Del:
			if stamp, given := j.stamp(documentKey{op.Collection, op.ID}, op.Stamp); given {
				del := *op
				del.Stamp = stamp
				ops, copied = replace(ops, i, &del, copied)
			}
		}
	}
	return ops
}

// stamp answers a stamp for a write that has none.
func (j *Journaled) stamp(k documentKey, has storage.Stamp) (storage.Stamp, bool) {
	now := time.Now().UnixMicro()
	if has != (storage.Stamp{}) {
		j.stamps.saw(k, has, now)
		return has, false
	}
	return j.stamps.next(k, now, j.Producer()), true
}

func replace(ops []storage.Op, i int, op storage.Op, copied bool) ([]storage.Op, bool) {
	if !copied {
		ops = slices.Clone(ops)
	}
	ops[i] = op
	return ops, true
}

// journaled answers the operations as the journal takes them, if it takes all.
func (j *Journaled) journaled(ops []storage.Op) ([]storage.Op, bool) {
	accepted, copied := ops, false
	for i, op := range ops {
		switch op := op.(type) {
		case *storage.Put, *storage.Del:
		case *storage.Append:
			if op.Rebase || op.Link != (storage.Link{}) {
				return nil, false
			}
			if op.IfExists {
				plain, known := j.existing(op)
				if !known {
					return nil, false
				}
				accepted, copied = replace(accepted, i, plain, copied)
			}
		case *storage.Push:
			if op.Rebase || op.Taken || op.Link != (storage.Link{}) {
				return nil, false
			}
		case *storage.Add:
			if op.Rebase || op.Link != (storage.Link{}) || op.IfExists && !j.hasDocument(op.Collection, op.Member) {
				return nil, false
			}
		default:
			return nil, false
		}
	}
	return accepted, true
}

// existing answers an append to a log that exists as far as this node knows: for
// the epoch that it knows, so that it is discarded if the log was dropped since.
func (j *Journaled) existing(op *storage.Append) (*storage.Append, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.journal.chains[logOf(op.Log)]
	if c == nil || !c.known && len(c.pending()) == 0 {
		return nil, false
	}
	plain := *op
	plain.IfExists = false
	if plain.Epoch == 0 {
		plain.Epoch = c.head.Epoch
	}
	return &plain, true
}

// direct has the driver carry out ops now.
func (j *Journaled) direct(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	j.mu.Lock()
	closed := j.closed
	j.mu.Unlock()
	if closed {
		return failAll(len(ops), storage.ErrClosed), storage.ErrClosed
	}
	l := j.laneOf(ops)
	release, err := j.turns(ctx, ops)
	if err != nil {
		return failAll(len(ops), err), err
	}
	defer release()
	inner, cancel := context.WithTimeout(ctx, j.cfg.BatchTimeout)
	defer cancel()
	begun := j.documents.begin()
	results, err := guardedApply(ctx, inner, l.breaker, j.driver, ops)
	if e := j.noteDirect(ops, results, begun); err == nil {
		err = e
	}
	l.look()
	for i := range results {
		results[i].Err = inTime(ctx, results[i].Err)
	}
	return results, inTime(ctx, err)
}

// turns takes the turn of every lane in which ops drop a log, in the order of the
// lanes: nothing of such a log may be on its way meanwhile.
func (j *Journaled) turns(ctx context.Context, ops []storage.Op) (release func(), err error) {
	var taken []*lane
	release = func() {
		for _, l := range taken {
			l.turn.unlock()
		}
	}
	for _, l := range j.lanes {
		if !slices.ContainsFunc(ops, func(op storage.Op) bool { return isDrop(op) && j.laneAt(op) == l }) {
			continue
		}
		if err := l.turn.lock(ctx); err != nil {
			release()
			return nil, err
		}
		taken = append(taken, l)
	}
	return release, nil
}

func isDrop(op storage.Op) bool {
	_, ok := op.(*storage.Drop)
	return ok
}

// laneOf is the lane of the operations' first log or queue, or else of their first
// collection: its breaker guards the call, whatever else is in it.
func (j *Journaled) laneOf(ops []storage.Op) *lane {
	if len(ops) == 0 {
		return j.lanes[0]
	}
	for _, op := range ops {
		if targetOf(op).kind != aCollection {
			return j.laneAt(op)
		}
	}
	return j.laneAt(ops[0])
}

func (j *Journaled) laneAt(op storage.Op) *lane {
	_, lane := j.place(op)
	return j.lanes[lane]
}

// noteDirect lets go of what the journal holds of logs that were dropped, and notes
// what was written.
func (j *Journaled) noteDirect(ops []storage.Op, results []storage.Result, begun moment) error {
	now, held := time.Now(), false
	j.mu.Lock()
	for i, op := range ops {
		if results[i].Err != nil {
			continue
		}
		switch op := op.(type) {
		case *storage.Drop:
			j.unmirror(op.Scope)
			if j.journal.dropLog(op.Scope) {
				held, results[i].Exists = true, true
			}
		case *storage.Put, *storage.Del, *storage.Add:
			if results[i].Duplicate {
				j.documents.forget(targetOf(op).name)
			} else {
				begun.wrote(op, now)
			}
		}
	}
	j.mu.Unlock()
	if !held {
		return nil
	}
	// Otherwise what was pending would come back with the next start.
	if err := j.barrier(nil); err != nil {
		return fmt.Errorf("note in the journal that a log was dropped: %w", err)
	}
	return nil
}

// maxTries is how often an append is accepted once more because its log was dropped
// meanwhile.
const maxTries = 10

// claim is what one operation of a caller waits for.
type claim struct {
	e      *entry
	repeat bool // the id was there before
	tries  int  // how often it was accepted once more
	err    error
}

// keep takes operations into the journal and waits for their acknowledgement. asked
// are those that the caller meant.
func (j *Journaled) keep(ctx context.Context, asked, ops []storage.Op) ([]storage.Result, error) {
	claims, err := j.accept(ops)
	if err != nil {
		return failAll(len(ops), err), err
	}
	timer := time.NewTimer(j.cfg.AckAfter)
	defer timer.Stop()
	hurry := false
	results := make([]storage.Result, len(ops))
	for i := 0; i < len(claims); {
		result, done, wait, opened := j.answer(claims[i], ops[i], hurry)
		if done && errors.Is(result.Err, storage.ErrGone) && claims[i].tries < maxTries && means(asked[i]) {
			// The log was dropped while its caller waits: he has been promised nothing
			// yet, and means the log that there will be.
			claims[i] = j.reclaim(ops[i], claims[i].tries+1)
			continue
		}
		if done {
			results[i] = conditional(asked[i], result)
			i++
			continue
		}
		err = nil
		select {
		case <-wait:
		case <-timer.C:
			hurry = true
		case <-opened:
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
	j.noteFallback(results)
	return results, nil
}

// means reports whether an append is for the log of that name, whatever its epoch.
func means(op storage.Op) bool {
	a, ok := op.(*storage.Append)
	return ok && a.Epoch == 0 && !a.IfExists
}

// conditional answers an append to an existing log: that it was dropped is no error.
func conditional(op storage.Op, r storage.Result) storage.Result {
	if a, ok := op.(*storage.Append); ok && a.IfExists && a.Epoch == 0 && errors.Is(r.Err, storage.ErrGone) {
		return storage.Result{}
	}
	return r
}

func (j *Journaled) noteFallback(results []storage.Result) {
	pending := 0
	for i := range results {
		if results[i].Pending {
			pending++
		}
	}
	if pending > 0 && slices.ContainsFunc(j.lanes, (*lane).isOpen) {
		j.fallback.note(pending)
	}
}
