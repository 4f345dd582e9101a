package resilient

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// Documents and counters are read from the backend, with this node's own writes
// over them that are not there yet. While the backend is away they are answered
// from what was read or written lately, and what is not known is not available.

// errUnknown is what is answered about what this node does not know.
func errUnknown(l *lane, cause error) error {
	e := &storage.UnavailableError{Reason: "not known here while the storage is away", RetryAfter: time.Second, Err: cause}
	if name := l.breaker.Name(); name != "" {
		e.Reason = name + ": " + e.Reason
	}
	return e
}

// ask has fn ask the backend, unless the lane's breaker is open. known is false
// when it could not be asked, for the reason err; otherwise err is its answer.
func ask[T any](ctx context.Context, j *Journaled, l *lane, fn func(context.Context) (T, error)) (answer T, known bool, err error) {
	if err := j.mayRead(ctx); err != nil {
		return answer, true, err
	}
	if l.isOpen() {
		return answer, false, nil
	}
	bounded, cancel := context.WithTimeout(ctx, j.cfg.ReadTimeout)
	defer cancel()
	answer, err = fn(bounded)
	switch {
	case err == nil:
		return answer, true, nil
	case ctx.Err() != nil:
		return answer, true, ctx.Err()
	case permanent(err) || errors.Is(err, storage.ErrClosed):
		return answer, true, err
	}
	return answer, false, err
}

func (j *Journaled) mayRead(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return storage.ErrClosed
	}
	return nil
}

// Get implements [storage.Driver].
func (j *Journaled) Get(ctx context.Context, collection, id string) (storage.Document, error) {
	l := j.laneAt(&storage.Del{Collection: collection})
	written, err := j.writes(collection, func(e *entry) bool { return e.doc == id })
	if err != nil {
		return storage.Document{}, err
	}
	begun := j.documents.begin()
	d, known, err := ask(ctx, j, l, func(ctx context.Context) (storage.Document, error) {
		return j.driver.Get(ctx, collection, id)
	})
	found := err == nil
	switch {
	case known && err != nil && !errors.Is(err, storage.ErrNotFound):
		return storage.Document{}, err
	case known:
		j.stamps.saw(documentKey{collection, id}, d.Stamp, time.Now().UnixMicro())
		begun.got(collection, id, d, found)
		d, found = overlayDocument(d, found, collection, id, written)
	default:
		if d, found, known = j.recall(collection, id, written); !known {
			return storage.Document{}, errUnknown(l, err)
		}
	}
	if !found {
		return storage.Document{}, storage.ErrNotFound
	}
	return d, nil
}

// recall is what is known here of a document, by the writes that are pending or by
// what was read or written lately.
func (j *Journaled) recall(collection, id string, written []storage.Op) (d storage.Document, found, known bool) {
	if d, found, known = pendingDocument(collection, id, written); known {
		return d, found, true
	}
	d, found, known = j.documents.get(collection, id, time.Now())
	d, found = overlayDocument(d, found, collection, id, written)
	return d, found, known
}

// Scan implements [storage.Driver].
func (j *Journaled) Scan(ctx context.Context, collection, index string, q storage.ScanQuery) ([]storage.Document, error) {
	l := j.laneAt(&storage.Del{Collection: collection})
	written, err := j.writes(collection, func(e *entry) bool { return e.doc != "" })
	if err != nil {
		return nil, err
	}
	return scanOver(index, q, written, func(q storage.ScanQuery) ([]storage.Document, error) {
		begun := j.documents.begin()
		docs, known, err := ask(ctx, j, l, func(ctx context.Context) ([]storage.Document, error) {
			return j.driver.Scan(ctx, collection, index, q)
		})
		if known {
			for _, d := range docs {
				j.stamps.saw(documentKey{collection, d.ID}, d.Stamp, time.Now().UnixMicro())
			}
			if err == nil {
				begun.scanned(collection, index, q, docs)
			}
			return docs, err
		}
		docs, known = j.documents.scan(collection, index, q, time.Now())
		if !known {
			return nil, errUnknown(l, err)
		}
		return docs, nil
	})
}

// Counters implements [storage.Driver]. What this node has added is counted: for
// what is on its way to the backend the answer waits, as long as a read may take.
func (j *Journaled) Counters(ctx context.Context, collection, scope string, q storage.CounterQuery) ([]storage.Counter, error) {
	for range readTries {
		counters, err := j.counters(ctx, collection, scope, q)
		if !errors.Is(err, errSent) {
			return counters, err
		}
	}
	return nil, errUnknown(j.laneAt(&storage.Del{Collection: collection}), errSent)
}

// errSent says that it is not known whether what the backend has counted is with what
// was pending before it was asked.
var errSent = errors.New("what is counted was sent meanwhile")

func (j *Journaled) counters(ctx context.Context, collection, scope string, q storage.CounterQuery) ([]storage.Counter, error) {
	l := j.laneAt(&storage.Del{Collection: collection})
	j.awaitSent(ctx, l, target{aCollection, collection})
	entries, unsent := j.pendingOf(collection, func(e *entry) bool { return !e.sent })
	if err := j.load(entries, unsent); err != nil {
		return nil, err
	}
	unsent = readable(unsent)
	begun := j.documents.begin()
	counters, known, err := ask(ctx, j, l, func(ctx context.Context) ([]storage.Counter, error) {
		return j.driver.Counters(ctx, collection, scope, q)
	})
	if known && err != nil {
		return nil, err
	}
	if known {
		begun.counted(collection, scope, q, counters)
		if j.someSent(entries) {
			return nil, errSent
		}
	} else {
		cause := err
		var ok bool
		if counters, ok = j.documents.counters(collection, scope, q, time.Now()); !ok {
			return nil, errUnknown(l, cause)
		}
		if unsent, err = j.writes(collection, func(*entry) bool { return true }); err != nil {
			return nil, err
		}
	}
	if len(unsent) == 0 {
		return counters, nil
	}
	return overlayCounters(counters, scope, q, unsent), nil
}

// awaitSent waits until nothing acknowledged is on its way to a target, while its
// lane works, for ReadTimeout at most.
func (j *Journaled) awaitSent(ctx context.Context, l *lane, t target) {
	ctx, cancel := context.WithTimeout(ctx, j.cfg.ReadTimeout)
	defer cancel()
	for ctx.Err() == nil && !l.isOpen() {
		changed, opened := j.onItsWay(t)
		if changed == nil {
			return
		}
		select {
		case <-changed:
		case <-opened:
		case <-ctx.Done():
		}
	}
}

// onItsWay is closed when the last acknowledged entry that was sent to a target
// changes; nil: there is none.
func (j *Journaled) onItsWay(t target) (changed, opened <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.journal.chains[t]
	if c == nil || c.lane.open {
		return nil, nil
	}
	for _, e := range slices.Backward(c.pending()) {
		if e.sent {
			return e.changes(), c.lane.opened
		}
	}
	return nil, nil
}

// writes are the acknowledged operations on a collection that are not in the
// backend, of those that are wanted, the oldest first.
func (j *Journaled) writes(collection string, wanted func(*entry) bool) ([]storage.Op, error) {
	entries, ops := j.pendingOf(collection, wanted)
	if err := j.load(entries, ops); err != nil {
		return nil, err
	}
	return readable(ops), nil
}

// pendingOf is the same, but for operations that are to be read from the file.
func (j *Journaled) pendingOf(collection string, wanted func(*entry) bool) (entries []*entry, ops []storage.Op) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.journal.chains[target{aCollection, collection}]
	if c == nil {
		return nil, nil
	}
	for _, e := range c.pending() {
		if wanted(e) {
			entries, ops = append(entries, e), append(ops, e.op)
		}
	}
	return entries, ops
}

// readable are the operations but for those whose record is damaged.
func readable(ops []storage.Op) []storage.Op {
	return slices.DeleteFunc(ops, func(op storage.Op) bool { return op == nil })
}

func (j *Journaled) someSent(entries []*entry) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(entries, func(e *entry) bool { return e.sent })
}

// hasDocument reports whether a document is known to be there.
func (j *Journaled) hasDocument(collection, id string) bool {
	written, err := j.writes(collection, func(e *entry) bool { return e.doc == id })
	if err != nil {
		return false
	}
	_, found, known := j.recall(collection, id, written)
	return found && known
}

// Publish implements [storage.Driver]. A failure never counts.
func (j *Journaled) Publish(ctx context.Context, channel string, data []byte) error {
	return j.driver.Publish(ctx, channel, data)
}

// Health implements [storage.Driver]: it asks the backend, whatever the breaker
// says.
func (j *Journaled) Health(ctx context.Context) error { return j.driver.Health(ctx) }
