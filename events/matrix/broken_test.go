package matrix

import (
	"context"
	"sync"

	"github.com/actionflows/lifeline/internal/faultmatrix"
	"github.com/actionflows/lifeline/storage"
)

// breakDriver stands between hub and journal: hasty acknowledges events before the
// journal has them. end waits for what is under way.
func breakDriver(what string, d storage.Driver) (broken storage.Driver, end func()) {
	switch what {
	case faultmatrix.BrokenQuiet:
		return quiet{d}, func() {}
	case faultmatrix.BrokenHasty:
	default:
		return d, func() {}
	}
	h := &hasty{Driver: d, queue: make(chan []storage.Op, 1<<16)}
	h.running.Go(func() {
		for ops := range h.queue {
			_, _ = d.Apply(context.Background(), ops)
		}
	})
	return h, func() {
		close(h.queue)
		h.running.Wait()
	}
}

// quiet does not say what is pending.
type quiet struct{ storage.Driver }

func (q quiet) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	results, err := q.Driver.Apply(ctx, ops)
	for i := range results {
		results[i].Pending = false
	}
	return results, err
}

type hasty struct {
	storage.Driver
	queue   chan []storage.Op
	running sync.WaitGroup
}

func (h *hasty) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	for _, op := range ops {
		if _, ok := op.(*storage.Append); !ok {
			return h.Driver.Apply(ctx, ops)
		}
	}
	h.queue <- ops
	return make([]storage.Result, len(ops)), nil
}

// breakEvents damages what a hub learns of events.
func breakEvents(what string, e storage.Events) storage.Events {
	switch what {
	case faultmatrix.BrokenFill:
		return deaf{e}
	case faultmatrix.BrokenTwice:
		return forgetsParts{e}
	case faultmatrix.BrokenNever:
		return hidesPending{e}
	case faultmatrix.BrokenWhole:
		return changesPages{e, func(p *storage.LogPage) { p.Degraded = false }}
	case faultmatrix.BrokenSmooth:
		return changesPages{e, func(p *storage.LogPage) { p.Gap = false }}
	}
	return e
}

// changesPages says something else about what it has read.
type changesPages struct {
	storage.Events
	change func(*storage.LogPage)
}

func (c changesPages) ReadEvents(ctx context.Context, s string, q storage.LogQuery) (storage.LogPage, error) {
	page, err := c.Events.ReadEvents(ctx, s, q)
	c.change(&page)
	return page, err
}

// deaf does not hear that other nodes have stored something.
type deaf struct{ storage.Events }

func (deaf) Growth(ctx context.Context, _ func(string)) error {
	<-ctx.Done()
	return ctx.Err()
}

// forgetsParts does not know what a reader saw while it was pending, and gives it
// again.
type forgetsParts struct{ storage.Events }

func (f forgetsParts) ReadEvents(ctx context.Context, s string, q storage.LogQuery) (storage.LogPage, error) {
	if q.After != nil {
		after := *q.After
		after.Parts = nil
		q.After = &after
	}
	return f.Events.ReadEvents(ctx, s, q)
}

// hidesPending passes over entries that are pending as if they had been shown.
type hidesPending struct{ storage.Events }

func (h hidesPending) ReadEvents(ctx context.Context, s string, q storage.LogQuery) (storage.LogPage, error) {
	page, err := h.Events.ReadEvents(ctx, s, q)
	var kept []storage.LogEntry
	for _, e := range page.Entries {
		if !e.Pending {
			kept = append(kept, e)
		}
	}
	page.Entries = kept
	return page, err
}
