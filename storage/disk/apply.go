package disk

import (
	"context"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// Apply implements [storage.Driver]. It answers when everything is on disk. When
// ctx ends before that, the outcome is unknown.
func (d *Driver) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	results := make([]storage.Result, len(ops))
	err := d.apply(ctx, ops, results)
	if err == nil {
		return results, nil
	}
	// The committer may still be working on results: it keeps those.
	failed := make([]storage.Result, len(ops))
	for i, op := range ops {
		if failed[i].Err = check(op); failed[i].Err == nil {
			failed[i].Err = err
		}
	}
	return failed, fmt.Errorf("write to disk: %w", err)
}

func (d *Driver) apply(ctx context.Context, ops []storage.Op, results []storage.Result) error {
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	r := newRequest(ctx)
	r.ops, r.results = ops, results
	for i, op := range ops {
		if err := check(op); err != nil {
			results[i].Err = err
			continue
		}
		r.size += size(op)
		r.count++
	}
	if r.count == 0 {
		return nil
	}
	return d.do(r)
}

// operate carries out the operations of one call that have not been refused yet.
// Appends to one log are placed together, because they succeed or fail together;
// only a Drop of their log parts them.
func (c *committer) operate(tx *bbolt.Tx, r *request) error {
	appends := make([]*storage.Append, len(r.ops))
	for i, op := range r.ops {
		if r.results[i].Err != nil {
			continue
		}
		if c.stuffed.Load() && grows(op) {
			r.results[i].Err = errTooLarge
			continue
		}
		var err error
		switch op := op.(type) {
		case *storage.Append:
			appends[i] = op
		case *storage.Drop:
			if err = c.appendTo(tx, op.Scope, appends, r.results); err == nil {
				r.results[i], err = c.drop(tx, op)
			}
		case *storage.Put:
			r.results[i], err = c.put(tx, op)
		case *storage.Del:
			r.results[i], err = c.del(tx, op)
		case *storage.Push:
			r.results[i], err = c.push(tx, op)
		case *storage.Add:
			r.results[i], err = c.add(tx, op)
		}
		if err != nil {
			return err
		}
	}
	return c.appendAll(tx, appends, r.results)
}

// errTooLarge is the answer when max_size is reached and no history is left that
// could be removed: the rest is for its users to delete.
var errTooLarge = &storage.UnavailableError{Reason: "max_size is reached", RetryAfter: retryFull}

// grows reports whether an operation is one that brings something.
func grows(op storage.Op) bool {
	switch op.(type) {
	case *storage.Del, *storage.Drop:
		return false
	}
	return true
}

func (c *committer) appendAll(tx *bbolt.Tx, appends []*storage.Append, results []storage.Result) error {
	for _, g := range sequence.Group(appends) {
		placed, err := c.append(tx, g.Log, g.Appends)
		if err != nil {
			return err
		}
		for i, result := range placed {
			results[g.Places[i]] = result
		}
	}
	return nil
}

// appendTo carries out the appends to one log and takes them out of the list.
func (c *committer) appendTo(tx *bbolt.Tx, log string, appends []*storage.Append, results []storage.Result) error {
	these := make([]*storage.Append, len(appends))
	for i, a := range appends {
		if a != nil && a.Log == log {
			these[i], appends[i] = a, nil
		}
	}
	return c.appendAll(tx, these, results)
}
