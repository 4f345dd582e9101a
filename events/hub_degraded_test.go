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
