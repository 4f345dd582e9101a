package events

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
	"github.com/actionflows/lifeline/storage/resilient"
)

// cable is a node's way to the storage that all share.
type cable struct {
	storage.Driver
	cut atomic.Bool
}

var errCut = &storage.UnavailableError{Reason: "cut off"}

func (c *cable) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	if c.cut.Load() {
		results := make([]storage.Result, len(ops))
		for i := range results {
			results[i].Err = errCut
		}
		return results, errCut
	}
	return c.Driver.Apply(ctx, ops)
}

func (c *cable) ReadLog(ctx context.Context, log string, q storage.LogQuery) (storage.LogPage, error) {
	if c.cut.Load() {
		return storage.LogPage{}, errCut
	}
	return c.Driver.ReadLog(ctx, log, q)
}

func (c *cable) Health(ctx context.Context) error {
	if c.cut.Load() {
		return errCut
	}
	return c.Driver.Health(ctx)
}

func (c *cable) Close() error { return nil } // the others still use it

// journaledNode is a backend as a hub over Redis has it.
type journaledNode struct {
	storage.Store
	*resilient.Journaled
}

func (n *journaledNode) Records() *storage.Store { return &n.Store }

// newNode starts a hub over shared storage; cut off, its breaker is open.
func newNode(t *testing.T, shared storage.Driver) (h *Hub, setCut func(bool)) {
	t.Helper()
	b, err := breaker.New(breaker.Config{Name: "redis"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	c := &cable{Driver: shared}
	j, err := resilient.NewJournaled(resilient.JournaledConfig{
		Driver: c, Breakers: []*breaker.Breaker{b}, Dir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	h = newTestHub(t, &journaledNode{storage.Store{Driver: j, History: storage.DefaultHistory}, j})
	return h, func(cut bool) {
		c.cut.Store(cut)
		if cut {
			b.Trip(errors.New("cut off"))
		}
	}
}

// The same over real journals: what the first node ships after the outage is a
// duplicate of what the second has stored meanwhile.
func TestNodesPostedToTwice(t *testing.T) {
	shared := memory.New(memory.Options{})
	t.Cleanup(func() {
		if err := shared.Close(); err != nil {
			t.Error(err)
		}
	})
	one, setCut := newNode(t, shared)
	two, _ := newNode(t, shared)
	atOne, atTwo := live(t, one), live(t, two)
	first := publishEvent(t, one, "1").Cursor
	atOne.events("1")
	setCut(true)
	for _, id := range []string{"2", "3", "4"} {
		publishEvent(t, one, id)
	}
	joined := follow(t, one, &first)
	joined.events("2", "3", "4")
	publishEvent(t, two, "5")
	publishEvent(t, two, "3")
	setCut(false)
	stored := func() bool { return !one.Degraded() && one.cfg.Backend.Status().Pending == 0 }
	eventually(t, "an end of the outage", stored)
	publishEvent(t, one, "6")
	eventually(t, "the last event's storing", stored)
	for _, h := range []*Hub{one, two} {
		h.grown(testSession)
	}
	atOne.events("1", "2", "3", "4", "5", "6")
	joined.events("2", "3", "4", "5", "6")
	atTwo.events("1", "5", "3", "2", "4", "6")
}
