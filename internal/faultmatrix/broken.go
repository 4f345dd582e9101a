package faultmatrix

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/actionflows/lifeline/storage"
)

// What can be broken on purpose, so that the checker has something to find.
const (
	BrokenDedup     = "dedup"     // each attempt of an append is stored anew
	BrokenRefill    = "refill"    // that Redis lost data is never seen
	BrokenHasty     = "hasty"     // acknowledged before the journal has it
	BrokenForgetful = "forgetful" // what is pending is thrown away at the start
	BrokenParts     = "parts"     // readers ignore what they saw while it was pending
	BrokenEpoch     = "epoch"     // lost data leaves the epoch as it is
	BrokenLoud      = "loud"      // what is refilled is published anew
)

// attemptMark separates an entry's id from the number of the attempt; againMark
// that of an event which is published anew.
const (
	attemptMark = "#"
	againMark   = "!"
)

// broken wraps a driver so that what stands above it seems to have that defect.
func broken(what string, d storage.Driver) storage.Driver {
	m := &meddler{Driver: d, what: what, taken: make(map[string]map[storage.Producer]uint64)}
	switch what {
	case BrokenDedup, BrokenRefill, BrokenEpoch, BrokenLoud:
	default:
		return d
	}
	if p, ok := d.(storage.Partitioned); ok {
		return &partitioned{meddler: m, p: p}
	}
	return m
}

// meddler stands between the journal and its driver, and does damage to appends
// and to what is read of logs.
type meddler struct {
	storage.Driver
	what     string
	attempts atomic.Uint64

	mu    sync.Mutex
	taken map[string]map[storage.Producer]uint64 // log → producer → highest number that was taken
}

// partitioned is a meddler over a driver in partitions.
type partitioned struct {
	*meddler
	p storage.Partitioned
}

var _ storage.Partitioned = (*partitioned)(nil)

func (p *partitioned) Lanes() []string                          { return p.p.Lanes() }
func (p *partitioned) Partition(op storage.Op) (string, int)    { return p.p.Partition(op) }
func (p *partitioned) Beat(ctx context.Context, lane int) error { return p.p.Beat(ctx, lane) }

func (p *partitioned) OnLoss(fn func(string)) {
	if p.what == BrokenRefill {
		fn = func(string) {}
	}
	p.p.OnLoss(fn)
}

// Apply implements [storage.Driver].
func (m *meddler) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	changed := make([]storage.Op, len(ops))
	for i, op := range ops {
		changed[i] = op
		if a, ok := op.(*storage.Append); ok && a.Link.Number > 0 {
			changed[i] = m.damage(*a)
		}
	}
	results, err := m.Driver.Apply(ctx, changed)
	if err == nil && m.what == BrokenRefill {
		results, err = m.goOn(ctx, changed, results)
	}
	for i := range results {
		if a, ok := ops[i].(*storage.Append); ok && results[i].Err == nil && a.Link.Number > 0 {
			m.note(a.Log, a.Link)
			results[i].Link = a.Link
		}
		m.level(&results[i].Cursor)
	}
	return results, err
}

func (m *meddler) damage(a storage.Append) *storage.Append {
	switch m.what {
	case BrokenDedup:
		a.ID += attemptMark + fmt.Sprint(m.attempts.Add(1))
		a.Link, a.Rebase = storage.Link{}, false
	case BrokenEpoch:
		a.Epoch = 0
	case BrokenLoud:
		m.mu.Lock()
		if m.taken[a.Log][a.Link.Producer] >= a.Link.Number {
			a.ID += againMark
		}
		m.mu.Unlock()
	}
	return &a
}

// goOn has logs that miss something go on without it.
func (m *meddler) goOn(ctx context.Context, ops []storage.Op, results []storage.Result) ([]storage.Result, error) {
	var again []storage.Op
	var places []int
	rebased := make(map[string]bool)
	for i, r := range results {
		a, ok := ops[i].(*storage.Append)
		if !ok || !errors.Is(r.Err, storage.ErrGap) {
			continue
		}
		b := *a
		b.Rebase = !rebased[b.Log]
		rebased[b.Log] = true
		again, places = append(again, &b), append(places, i)
	}
	if len(again) == 0 {
		return results, nil
	}
	second, err := m.Driver.Apply(ctx, again)
	for i, r := range second {
		results[places[i]] = r
	}
	return results, err
}

func (m *meddler) note(log string, l storage.Link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.taken[log] == nil {
		m.taken[log] = make(map[storage.Producer]uint64)
	}
	m.taken[log][l.Producer] = max(m.taken[log][l.Producer], l.Number)
}

// ReadLog implements [storage.Driver].
func (m *meddler) ReadLog(ctx context.Context, log string, q storage.LogQuery) (storage.LogPage, error) {
	if m.what == BrokenEpoch {
		q.After, q.Before = timeless(q.After), timeless(q.Before)
	}
	page, err := m.Driver.ReadLog(ctx, log, q)
	if err != nil {
		return page, err
	}
	if m.what == BrokenRefill || m.what == BrokenDedup {
		m.mu.Lock()
		last := maps.Clone(page.State.Last)
		if last == nil {
			last = make(map[storage.Producer]uint64)
		}
		for p, n := range m.taken[log] {
			last[p] = max(last[p], n)
		}
		m.mu.Unlock()
		page.State.Last = last
	}
	m.level(&page.Cursor)
	for i := range page.Entries {
		m.level(&page.Entries[i].Cursor)
	}
	if m.what == BrokenEpoch {
		// Nobody is told of anything: a log that lost entries is as it was.
		page.Gap = false
		if page.State.Epoch != 0 {
			page.State.Epoch = 1
		}
	}
	return page, nil
}

// level makes all epochs one.
func (m *meddler) level(c *storage.Cursor) {
	if m.what == BrokenEpoch && c.Epoch != 0 {
		c.Epoch = 1
	}
}

func timeless(c *storage.Cursor) *storage.Cursor {
	if c == nil {
		return nil
	}
	d := *c
	d.Epoch = 0
	return &d
}

// hasty answers before it does, in the order of the requests.
type hasty struct {
	n       *node
	queue   chan request
	running sync.WaitGroup
}

func newHasty(n *node) *hasty {
	h := &hasty{n: n, queue: make(chan request, 1<<16)}
	h.running.Go(func() {
		for q := range h.queue {
			h.n.answer(q)
		}
	})
	return h
}

func (h *hasty) promise(q request) reply {
	h.queue <- q
	return reply{N: q.N}
}

func (h *hasty) close() {
	close(h.queue)
	h.running.Wait()
}

// Those of hubs and their readers.
const (
	BrokenFill   = "fill"   // a hub does not hear of other nodes' events
	BrokenResume = "resume" // a reader goes on one event too early
	BrokenTwice  = "twice"  // a hub gives again what a reader saw pending
	BrokenNever  = "never"  // a hub does not show what is pending
	BrokenQuiet  = "quiet"  // a hub does not say of what it takes that it is pending
	BrokenWhole  = "whole"  // a hub does not say of what it shows that it is degraded
	BrokenSmooth = "smooth" // a hub does not say that there is a gap
)

// readersDefect reports whether a defect is one of the readers, not of the nodes.
func readersDefect(what string) bool { return what == BrokenParts || what == BrokenResume }
