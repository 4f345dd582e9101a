package events

import (
	"fmt"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

// One id is posted to a node that is cut off, and again to another one. Whoever got
// it while it was pending does not get it again from the log, whether or not his node
// has come to ship its own by then.
func TestHubPostedToTwoNodes(t *testing.T) {
	for _, shipped := range []bool{false, true} {
		t.Run(fmt.Sprintf("shipped %v", shipped), func(t *testing.T) {
			b := newFake()
			h := newTestHub(t, b)
			shared := live(t, h)
			first := publishEvent(t, h, "1").Cursor
			shared.events("1")
			b.setDown(true)
			publishEvent(t, h, "2")
			publishEvent(t, h, "3")
			joined := follow(t, h, &first)
			joined.events("2", "3")
			shared.events("1", "2", "3")
			other := storage.NewProducer()
			b.remote(testSession, other, "4")
			b.remote(testSession, other, "3")
			b.remote(testSession, other, "2")
			if shipped {
				b.setDown(false)
			} else {
				b.set(func() { b.down, b.status.Degraded = false, false })
				h.onStatus(b.Status())
			}
			shared.events("1", "2", "3", "4")
			joined.events("2", "3", "4")
			b.ship()
			b.remote(testSession, other, "5")
			h.grown(testSession)
			shared.events("1", "2", "3", "4", "5")
			joined.events("2", "3", "4", "5")
			eventually(t, "sharing", func() bool { return modeOf(joined) == modeShared })
			h.grown(testSession)
			eventually(t, "an end of what is remembered", func() bool {
				joined.sub.topic.mu.Lock()
				defer joined.sub.topic.mu.Unlock()
				return joined.sub.topic.given.links == nil
			})
		})
	}
}

// One who was away and comes again with a cursor from the outage is served like one
// who stayed.
func TestHubPostedToTwoNodesAndAway(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	stays := live(t, h)
	publishEvent(t, h, "1")
	b.setDown(true)
	publishEvent(t, h, "2")
	cursor := parseCursor(t, stays.events("1", "2")[1].Cursor)
	b.remote(testSession, storage.NewProducer(), "2")
	b.remote(testSession, storage.NewProducer(), "3")
	b.set(func() { b.down = false })
	f := follow(t, h, &cursor)
	f.events("3")
}

// An event that was stored, and was given by its number because what lies before it could
// not be read, is not given again when the log has it as another node's.
func TestHubGivenByNumberAndLost(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	live(t, h).events()
	first := publishEvent(t, h, "1").Cursor
	publishEvent(t, h, "2")
	b.setDown(true)
	f := follow(t, h, &first)
	if got := f.events("2"); got[0].Pending {
		t.Fatalf("it is stored: %+v", got[0])
	}
	other := storage.Link{Producer: storage.NewProducer(), Number: 1}
	b.set(func() {
		l := b.logs[testSession]
		l.entries[1].Link = other
		l.state.Last[b.own], l.state.Last[other.Producer] = 1, 1
		l.numbers[other.Producer] = 1 // the next one is its second
	})
	b.setDown(false)
	b.remote(testSession, other.Producer, "3")
	h.grown(testSession)
	f.events("2", "3")
}

// A subscriber whose cursor is his own is spared what that, or his replay, covers, and
// goes on behind it.
func TestOwnSubscriberAndTwin(t *testing.T) {
	pending := storage.Link{Producer: 1, Number: 3}
	at := storage.Cursor{Epoch: 7, Pos: storage.Position{Micros: 5, Seq: 1}}
	d := &delivery{
		id: "x", data: []byte("{}"), epoch: 7, pos: storage.Position{Micros: 6, Seq: 2},
		link: storage.Link{Producer: 2, Number: 1},
	}
	for name, c := range map[string]struct {
		cursor storage.Cursor
		seen   map[storage.Producer]uint64
		sent   bool
	}{
		"not seen":       {at, nil, true},
		"by the cursor":  {at.With(pending), nil, false},
		"by the replay":  {at, map[storage.Producer]uint64{1: 3}, false},
		"one before it":  {at.With(storage.Link{Producer: 1, Number: 2}), map[storage.Producer]uint64{1: 2}, true},
		"of another one": {at.With(storage.Link{Producer: 3, Number: 9}), nil, true},
	} {
		top := &topic{quoted: []byte(`"s"`)}
		top.given.add("x", pending)
		out := outbox{maxBytes: 1 << 20, maxFrames: 10, wake: func() {}}
		s := &subscriber{topic: top, out: &out, mode: modeOwn, cursor: c.cursor, seen: c.seen}
		s.takeOwn(d)
		if b, _ := out.take(nil); (b != nil) != c.sent || s.cursor.Pos != d.pos {
			t.Errorf("%s: sent %q, cursor %s", name, b, s.cursor)
		}
	}
}

func TestGivenIsBounded(t *testing.T) {
	var g given
	p, other := storage.NewProducer(), storage.NewProducer()
	for n := range uint64(maxGiven + 2) {
		g.add(fmt.Sprint(n), storage.Link{Producer: p, Number: n + 1})
		g.add(fmt.Sprint(n), storage.Link{Producer: p, Number: n + 1})
	}
	if len(g.ids) != maxGiven || len(g.links) != maxGiven {
		t.Errorf("%d and %d are remembered", len(g.ids), len(g.links))
	}
	for n, want := range map[uint64]uint64{0: 0, 1: 0, 2: 3, maxGiven + 1: maxGiven + 2, maxGiven + 2: 0} {
		if got := g.twin(fmt.Sprint(n), storage.Link{Producer: other, Number: 1}); got.Number != want {
			t.Errorf("%d: %+v, want number %d", n, got, want)
		}
	}
	if got := g.twin("5", storage.Link{Producer: p, Number: 6}); got.Number != 0 {
		t.Errorf("an event is its own twin: %+v", got)
	}
}
