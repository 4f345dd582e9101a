package events

import (
	"testing"

	"github.com/actionflows/lifeline/storage"
)

// A reader who could be given only a part keeps his own cursor, and gets the
// rest, and nothing twice, when storage is whole again.
func TestHubJoinDegraded(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	other := live(t, h)
	first := publishEvent(t, h, "1").Cursor
	b.remote(testSession, storage.NewProducer(), "2")
	publishEvent(t, h, "3")
	other.events("1", "2", "3")
	b.setDown(true)
	f := follow(t, h, &first)
	frames := f.wait("confirmation", confirmed)
	if !frames[0].Degraded || frames[0].Gap || frames[0].Cursor != first.String() {
		t.Errorf("confirmation %+v", frames[0])
	}
	eventually(t, "the join", func() bool { return modeOf(f) == modeOwn })
	publishEvent(t, h, "4")
	got := f.events("3", "4")
	if want := first.With(storage.Link{Producer: b.own, Number: 3}); got[1].Cursor != want.String() || !got[1].Pending {
		t.Errorf("cursor %s, want %s", got[1].Cursor, want)
	}
	if others := other.events("1", "2", "3", "4"); others[3].Cursor == got[1].Cursor {
		t.Error("both have one cursor")
	}
	b.setDown(false)
	f.events("3", "4", "2")
	res := publishEvent(t, h, "5")
	got = f.events("3", "4", "2", "5")
	if got[3].Cursor != res.Cursor.String() {
		t.Errorf("cursor %s, want %s", got[2].Cursor, res.Cursor)
	}
	eventually(t, "sharing", func() bool { return modeOf(f) == modeShared })
}

// A reader from before what the journal still holds gets nothing out of its place
// in an outage, and afterwards everything once: a part for what is published
// meanwhile would say that he has the events before it.
func TestHubJoinDegradedBeyondJournal(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	other := live(t, h)
	since := publishEvent(t, h, "0").Cursor
	head := since
	for _, id := range []string{"1", "2", "3"} {
		head = publishEvent(t, h, id).Cursor
	}
	b.set(func() { b.forgotten = 2 })
	b.setDown(true)
	publishEvent(t, h, "4")
	old, nothing, next := follow(t, h, &since), storage.MicrosCursor(0), follow(t, h, &head)
	unknown := follow(t, h, &nothing)
	for _, f := range []*follower{old, unknown, next} {
		f.wait("confirmation", confirmed)
		eventually(t, "the join", func() bool { return modeOf(f) != modeJoining })
	}
	publishEvent(t, h, "5")
	next.events("4", "5")
	other.events("0", "1", "2", "3", "4", "5")
	old.events()
	b.setDown(false)
	publishEvent(t, h, "6")
	old.events("1", "2", "3", "4", "5", "6")
	unknown.events("0", "1", "2", "3", "4", "5", "6")
	next.events("4", "5", "6")
	for _, f := range []*follower{old, unknown, next} {
		eventually(t, "sharing", func() bool { return modeOf(f) == modeShared })
	}
}

// At the head, the next pending event is given although the journal has forgotten
// those before it.
func TestHubJoinDegradedAtHeadWithoutJournal(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	live(t, h)
	publishEvent(t, h, "1")
	head := publishEvent(t, h, "2").Cursor
	b.set(func() { b.forgotten = 2 })
	b.setDown(true)
	f := follow(t, h, &head)
	f.wait("confirmation", confirmed)
	eventually(t, "the join", func() bool { return modeOf(f) != modeJoining })
	publishEvent(t, h, "3")
	f.events("3")
	b.setDown(false)
	publishEvent(t, h, "4")
	f.events("3", "4")
}

// What is pending does not overtake its publisher's events that the journal has not
// shown, as those that have got a place in another epoch meanwhile: they would count as
// given, and never be.
func TestPendingBehindAHole(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b, patient)
	f := live(t, h)
	for _, id := range []string{"1", "2", "3"} {
		publishEvent(t, h, id)
	}
	f.events("1", "2", "3")
	b.refill(testSession)
	publishEvent(t, h, "4") // waits for what lies before it there
	b.set(func() { b.forgotten = 4 })
	b.setDown(true)
	publishEvent(t, h, "5")
	reads := func() (n int) { b.set(func() { n = b.reads }); return n }
	before := reads()
	h.topic(testSession).doubt()
	eventually(t, "a degraded read", func() bool {
		tp := h.topic(testSession)
		tp.mu.Lock()
		defer tp.mu.Unlock()
		return reads() > before && !tp.filling
	})
	f.events("1", "2", "3")
	b.setDown(false)
	f.events("1", "2", "3", "4", "5")
}

// Reads that fall back although storage calls itself whole are repeated.
func TestHubJoinDegradedUnannounced(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	live(t, h)
	first := publishEvent(t, h, "1").Cursor
	b.remote(testSession, storage.NewProducer(), "2")
	b.set(func() { b.down = true })
	f := follow(t, h, &first)
	f.wait("confirmation", confirmed)
	eventually(t, "the join", func() bool { return modeOf(f) != modeJoining })
	b.set(func() { b.down = false })
	f.events("2")
}

// A session's followers are given nothing from a degraded page that leaves out what lies
// before it: its part of the cursor would say that they have that.
func TestHubFillDegradedWithAHole(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	f := live(t, h)
	publishEvent(t, h, "1")
	f.events("1")
	for _, id := range []string{"2", "3"} { // nobody reports them
		if _, err := b.AddEvent(t.Context(), testSession, id, eventData(testSession, id)); err != nil {
			t.Fatal(err)
		}
	}
	b.set(func() { b.forgotten = 3 })
	b.setDown(true)
	reads := func() (n int) {
		b.set(func() { n = b.reads })
		return n
	}
	before := reads()
	publishEvent(t, h, "4")
	eventually(t, "a reading", func() bool { return reads() > before })
	b.setDown(false)
	f.events("1", "2", "3", "4")
}

func TestLeavesOut(t *testing.T) {
	shown := []storage.LogEntry{{ID: "1"}, {ID: "2"}}
	of := func(degraded bool, reader, log storage.Epoch) storage.LogPage {
		return storage.LogPage{
			Entries: shown, Degraded: degraded,
			Cursor: storage.Cursor{Epoch: reader}, State: storage.LogState{Epoch: log},
		}
	}
	for name, c := range map[string]struct {
		page storage.LogPage
		sent []storage.LogEntry
		want bool
	}{
		"all of it":                        {of(true, 7, 7), shown, false},
		"a part":                           {of(true, 7, 7), shown[:1], true},
		"of another epoch, degraded":       {of(true, 7, 8), shown, true},
		"of another epoch, which was told": {of(false, 7, 8), shown, false},
		"of a log nobody knows":            {of(true, 7, 0), shown, false},
		"of a reader without an epoch":     {of(true, 0, 8), shown, false},
	} {
		if got := leavesOut(c.page, c.sent); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSubscriberHasBefore(t *testing.T) {
	at := func(epoch storage.Epoch, micros int64) storage.Cursor {
		return storage.Cursor{Epoch: epoch, Pos: storage.Position{Micros: micros, Seq: 1}}
	}
	link := func(n uint64) storage.Link { return storage.Link{Producer: 1, Number: n} }
	none := storage.MicrosCursor(9)
	for name, c := range map[string]struct {
		s      subscriber
		topic  storage.Cursor
		number uint64
		want   bool
	}{
		"the first":                 {subscriber{cursor: at(7, 4)}, at(7, 5), 1, true},
		"the first, something left": {subscriber{cursor: at(7, 5), withheld: true}, at(7, 5), 1, false},
		"seen pending":              {subscriber{cursor: at(7, 4).With(link(2))}, at(7, 5), 3, true},
		"not the one before":        {subscriber{cursor: at(7, 4).With(link(1))}, at(7, 5), 3, false},
		"replayed":                  {subscriber{cursor: at(7, 4), seen: map[storage.Producer]uint64{1: 2}}, at(7, 5), 3, true},
		"behind the topic":          {subscriber{cursor: at(7, 4)}, at(7, 5), 3, false},
		"level with it":             {subscriber{cursor: at(7, 5)}, at(7, 5), 3, true},
		"level, something left":     {subscriber{cursor: at(7, 5), withheld: true}, at(7, 5), 3, false},
		"of another epoch":          {subscriber{cursor: at(8, 6)}, at(7, 5), 3, false},
		"nothing known of epoch":    {subscriber{cursor: none}, none, 3, false},
	} {
		c.s.topic = &topic{cursor: c.topic}
		if got := c.s.hasBefore(&delivery{pending: true, link: link(c.number)}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestTopicInPlace(t *testing.T) {
	pos := storage.Position{Micros: 5, Seq: 2}
	e := storage.LogEntry{Pos: pos, Cursor: storage.Cursor{Epoch: 7, Pos: pos}}
	for _, c := range []struct {
		epoch storage.Epoch
		want  bool
	}{{7, true}, {0, true}, {8, false}} {
		tp := &topic{cursor: storage.Cursor{Epoch: c.epoch}}
		if got := tp.inPlace(e); got != c.want {
			t.Errorf("topic in epoch %s: %v", c.epoch, got)
		}
	}
}
