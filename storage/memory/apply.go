package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// Apply implements [storage.Driver]. An entry that is larger than MaxSize by
// itself is refused with [storage.ErrPoison]; a document, item or counter for
// which no history could give way, with a [*storage.UnavailableError].
func (d *Driver) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	results := make([]storage.Result, len(ops))
	for i, op := range ops {
		results[i].Err = storage.Check(op)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(ctx); err != nil {
		for i := range results {
			if results[i].Err == nil {
				results[i].Err = err
			}
		}
		return results, fmt.Errorf("write to memory: %w", err)
	}
	d.operate(ops, results)
	return results, nil
}

// operate carries out the operations that have not been refused yet. Appends to one
// log are placed together, because they succeed or fail together; only a Drop of
// their log parts them.
func (d *Driver) operate(ops []storage.Op, results []storage.Result) {
	now := time.Now()
	appends := make([]*storage.Append, len(ops))
	for i, op := range ops {
		if results[i].Err != nil {
			continue
		}
		switch op := op.(type) {
		case *storage.Append:
			appends[i] = op
		case *storage.Drop:
			d.appendTo(op.Scope, appends, results)
			results[i] = d.drop(op.Scope, now)
		case *storage.Put:
			results[i] = d.put(op, now)
		case *storage.Del:
			results[i] = d.del(op, now)
		case *storage.Push:
			results[i] = d.push(op, now)
		case *storage.Add:
			results[i] = d.add(op, now)
		}
	}
	d.appendAll(appends, results)
}

func (d *Driver) appendAll(appends []*storage.Append, results []storage.Result) {
	for _, g := range sequence.Group(appends) {
		for i, r := range d.append(g.Log, g.Appends) {
			results[g.Places[i]] = r
		}
	}
}

// appendTo carries out the appends to one log and takes them out of the list.
func (d *Driver) appendTo(log string, appends []*storage.Append, results []storage.Result) {
	these := make([]*storage.Append, len(appends))
	for i, a := range appends {
		if a != nil && a.Log == log {
			these[i], appends[i] = a, nil
		}
	}
	d.appendAll(these, results)
}

// drop removes a log, of which a gravestone is left, and a queue.
func (d *Driver) drop(name string, now time.Time) storage.Result {
	queue := d.queue(name, now) != nil
	d.dropQueue(name)
	l := d.logs[name]
	if l == nil || !l.state.Known() {
		return storage.Result{Exists: queue}
	}
	d.clear(l)
	l.state = l.state.Drop(now)
	l.written = now
	return storage.Result{Exists: true}
}
