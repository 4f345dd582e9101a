package events

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// live is a follower who has been confirmed.
func live(t testing.TB, h *Hub) *follower {
	t.Helper()
	f := follow(t, h, nil)
	f.wait("confirmation", confirmed)
	return f
}

func patient(_ *Config, i *intervals) { i.reorder = time.Hour }

// publishHeld publishes ids whose answers are kept back, and answers how to let
// each publisher go on, which returns once it has.
func publishHeld(t *testing.T, b *fakeBackend, h *Hub, ids ...string) (release map[string]func()) {
	t.Helper()
	release = make(map[string]func())
	for _, id := range ids {
		let := b.hold(id)
		done := make(chan struct{})
		appended := func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			_, ok := b.log(testSession).ids[id]
			return ok
		}
		go func() {
			defer close(done)
			publishEvent(t, h, id)
		}()
		eventually(t, "append", appended)
		release[id] = func() { let(); <-done }
	}
	return release
}

// eventually waits for a condition that nothing announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// Answers of concurrent publishers come in any order; subscribers see the log's,
// without a read.
func TestTopicReorders(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b, patient)
	f := live(t, h)
	release := publishHeld(t, b, h, "1", "2", "3", "4")
	reads := b.reads
	for _, id := range []string{"4", "2", "3", "1"} {
		release[id]()
	}
	got := f.events("1", "2", "3", "4")
	for i, r := range got {
		if c := parseCursor(t, r.Cursor); c.Pos.Seq != uint64(i+1) || len(c.Parts) != 0 {
			t.Errorf("event %s has cursor %s", r.ID, r.Cursor)
		}
	}
	b.set(func() {
		if b.reads != reads {
			t.Errorf("%d reads for what publishers have reported", b.reads-reads)
		}
	})
}

// What nobody reports is read: events of other nodes, before the next own one.
func TestTopicFillsGap(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	f := live(t, h)
	other := storage.NewProducer()
	publishEvent(t, h, "1")
	b.remote(testSession, other, "2")
	b.remote(testSession, other, "3")
	publishEvent(t, h, "4")
	f.events("1", "2", "3", "4")
}

func TestTopicGrowth(t *testing.T) {
	for _, notice := range []string{testSession, ""} {
		b := newFake()
		h := newTestHub(t, b)
		f := live(t, h)
		b.remote(testSession, storage.NewProducer(), "1")
		b.growth <- notice
		f.events("1")
	}
}

func TestTopicCatchesUp(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b, func(_ *Config, i *intervals) { i.catchUp = shards * time.Millisecond })
	f := live(t, h)
	b.remote(testSession, storage.NewProducer(), "1")
	f.events("1")
}

// A publisher who was told of a failure may have succeeded.
func TestTopicUnreported(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	f := live(t, h)
	b.set(func() { b.addErr = errors.New("timeout") })
	if _, err := h.Publish(t.Context(), Event{Session: testSession, ID: "1", Data: eventData(testSession, "1")}); err == nil {
		t.Fatal("no error")
	}
	f.events("1")
}

func TestTopicDuplicate(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	f := live(t, h)
	publishEvent(t, h, "1")
	if res := publishEvent(t, h, "1"); !res.Duplicate {
		t.Error("not a duplicate")
	}
	// One whose first publisher never reported is delivered for the second.
	b.remote(testSession, b.own, "2")
	b.set(func() {
		l := b.log(testSession)
		l.ids["2"] = storage.Result{Cursor: storage.Cursor{Epoch: l.state.Epoch, Pos: l.state.Head}}
	})
	publishEvent(t, h, "2")
	f.events("1", "2")
	publishEvent(t, h, "3")
	f.events("1", "2", "3")
}

// While pending, events come at once, in their producer's order, with a cursor
// that says so; when they get their places they do not come again.
func TestTopicPending(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b, patient)
	f := live(t, h)
	publishEvent(t, h, "1")
	b.setDown(true)
	release := publishHeld(t, b, h, "2", "3")
	release["3"]()
	release["2"]()
	got := f.events("1", "2", "3")
	want := parseCursor(t, got[0].Cursor)
	for i, r := range got[1:] {
		want = want.With(storage.Link{Producer: b.own, Number: uint64(i + 2)})
		if !r.Pending || r.Cursor != want.String() {
			t.Errorf("event %s: pending %v, cursor %s, want %s", r.ID, r.Pending, r.Cursor, want)
		}
	}
	b.setDown(false)
	eventually(t, "the fill", func() bool {
		tp := h.topic(testSession)
		tp.mu.Lock()
		defer tp.mu.Unlock()
		return len(tp.cursor.Parts) == 0
	})
	publishEvent(t, h, "4")
	got = f.events("1", "2", "3", "4")
	if c := parseCursor(t, got[3].Cursor); c.Pos.Seq != 4 || len(c.Parts) != 0 {
		t.Errorf("after the outage: cursor %s", got[3].Cursor)
	}
}

// What storage has mirrored of other nodes is delivered during the outage, in its
// place, also behind an event that was delivered while it was pending.
func TestTopicMirror(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	f := live(t, h)
	publishEvent(t, h, "1")
	b.set(func() { b.down, b.mirror = true, true }) // unannounced, so the topic reads again
	publishEvent(t, h, "2")
	f.events("1", "2")
	b.ship()
	b.remote(testSession, storage.NewProducer(), "other")
	h.topic(testSession).catchUp()
	got := f.events("1", "2", "other")
	if c := parseCursor(t, got[2].Cursor); c.Pos.Seq != 3 || got[2].Pending {
		t.Errorf("cursor %s", c)
	}
	publishEvent(t, h, "3")
	f.events("1", "2", "other", "3")
	b.setDown(false)
	publishEvent(t, h, "4")
	f.events("1", "2", "other", "3", "4")
}

// Other nodes' events that the log places among ours come when it can be read.
func TestTopicPendingAmongOthers(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	f := live(t, h)
	b.setDown(true)
	publishEvent(t, h, "own 1")
	publishEvent(t, h, "own 2")
	b.remote(testSession, storage.NewProducer(), "other")
	b.setDown(false)
	publishEvent(t, h, "own 3")
	f.events("own 1", "own 2", "other", "own 3")
}

// A refill is quiet: one epoch notice, nothing twice.
func TestTopicEpoch(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	f := live(t, h)
	publishEvent(t, h, "1")
	publishEvent(t, h, "2")
	f.events("1", "2")
	b.refill(testSession)
	res := publishEvent(t, h, "3")
	f.events("1", "2", "3")
	frames := f.wait("epoch", func(r []received) bool { return len(r) >= 5 })
	if types := []string{frames[3].Type, frames[4].Type}; !slices.Equal(types, []string{"epoch", "event"}) {
		t.Fatalf("got %s", describe(frames))
	}
	if frames[4].Cursor != res.Cursor.String() {
		t.Errorf("cursor %s, want %s", frames[4].Cursor, res.Cursor)
	}
}

// What was trimmed before the hub could read it is missing, and said to be.
func TestTopicTrimmed(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	f := live(t, h)
	publishEvent(t, h, "1")
	f.events("1")
	other := storage.NewProducer()
	for i := range 5 {
		b.remote(testSession, other, fmt.Sprint("lost ", i))
	}
	b.trim(testSession, 5)
	publishEvent(t, h, "2")
	f.events("1", "lost 4", "2")
	frames := f.wait("gap", func(r []received) bool { return len(r) >= 5 })
	if frames[2].Type != "epoch" || !frames[2].Gap {
		t.Fatalf("got %s", describe(frames))
	}
}

// A reading that fails is repeated; nothing is lost meanwhile.
func TestTopicReadFails(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	f := live(t, h)
	b.set(func() { b.readErr = errors.New("timeout") })
	b.remote(testSession, storage.NewProducer(), "1")
	publishEvent(t, h, "2")
	eventually(t, "failed reads", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.reads > 3 })
	b.set(func() { b.readErr = nil })
	f.events("1", "2")
}

// Without the head nothing can be promised: the subscription fails.
func TestTopicHeadFails(t *testing.T) {
	b := newFake()
	b.readErr = errors.New("timeout")
	h := newTestHub(t, b)
	f := follow(t, h, nil)
	f.wait("failure", func([]received) bool { f.mu.Lock(); defer f.mu.Unlock(); return f.failure != nil })
	if h.topic(testSession) != nil {
		t.Error("the topic outlived its last subscriber")
	}
}

// A topic whose head could not be read owes what came since, and no history.
func TestTopicBeginsDegraded(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	for i := range 3 {
		publishEvent(t, h, fmt.Sprint("old ", i))
	}
	b.setDown(true)
	f := live(t, h)
	publishEvent(t, h, "1")
	f.events("1")
	b.remote(testSession, storage.NewProducer(), "2")
	b.setDown(false)
	f.events("1", "2")
	publishEvent(t, h, "3")
	f.events("1", "2", "3")
}

// More out of order than can be held is read from the log.
func TestTopicHoldsLittle(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	f := live(t, h)
	let := publishHeld(t, b, h, "0")
	want := []string{"0"}
	for i := 1; i < 3*maxHeld; i++ {
		id := fmt.Sprint(i)
		publishEvent(t, h, id)
		want = append(want, id)
	}
	f.events(want...)
	let["0"]()
	publishEvent(t, h, "last")
	f.events(append(want, "last")...)
}

func TestTopicEndsWithLastSubscriber(t *testing.T) {
	h := newTestHub(t, newFake())
	a, b := live(t, h), live(t, h)
	a.leave()
	publishEvent(t, h, "1")
	b.events("1")
	b.leave()
	if h.topic(testSession) != nil {
		t.Error("the topic is still there")
	}
	publishEvent(t, h, "2")
	a.events()
}

// Many publishers, whose answers come in any order, and other nodes.
func TestTopicFullSpeed(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	f := live(t, h)
	const publishers, each = 8, 300
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			other := storage.NewProducer()
			for i := range each {
				if i%50 == 49 {
					b.remote(testSession, other, fmt.Sprintf("%d/%d", p, i))
					continue
				}
				publishEvent(t, h, fmt.Sprintf("%d/%d", p, i))
			}
		})
	}
	wg.Wait()
	publishEvent(t, h, "last")
	frames := f.wait("all", func(r []received) bool { return len(onlyEvents(r)) > publishers*each })
	checkSequence(t, onlyEvents(frames), 1)
}

// checkSequence checks that events are the log's from number first on.
func checkSequence(t testing.TB, events []received, first uint64) {
	t.Helper()
	for i, r := range events {
		if c := parseCursor(t, r.Cursor); c.Pos.Seq != first+uint64(i) {
			t.Fatalf("event %d (%s) has cursor %s, want number %d", i, r.ID, r.Cursor, first+uint64(i))
		}
	}
}
