package events

import (
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// lose begins a new epoch without another server's entries, and answers how that one
// brings them back.
func (b *fakeBackend) lose(session string) (bringBack func()) {
	b.refill(session)
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.log(session)
	old := l.entries
	l.entries, l.state = nil, storage.LogState{Epoch: storage.NewEpoch(), Last: make(map[storage.Producer]uint64)}
	var gone []storage.LogEntry
	for _, e := range old {
		if e.Link.Producer == b.own {
			l.take(e)
		} else {
			gone = append(gone, e)
		}
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, e := range gone {
			l.take(e)
		}
	}
}

// Storage has lost everything, this server has brought back its events and another one
// has not yet: who comes then gets those too when they are there, and who had them before
// does not.
func TestWhoComesBeforeEverythingIsBack(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	before := live(t, h)
	other := storage.NewProducer()
	publishEvent(t, h, "1")
	b.remote(testSession, other, "2")
	b.remote(testSession, other, "3")
	publishEvent(t, h, "4")
	before.events("1", "2", "3", "4")

	bringBack := b.lose(testSession)
	publishEvent(t, h, "5")
	before.events("1", "2", "3", "4", "5")
	beginning := storage.MicrosCursor(0)
	all, fromNow := follow(t, h, &beginning), live(t, h)
	all.events("1", "4", "5")
	publishEvent(t, h, "6")
	all.events("1", "4", "5", "6")
	bringBack()
	publishEvent(t, h, "7")
	all.events("1", "4", "5", "6", "2", "3", "7")
	fromNow.events("6", "2", "3", "7")
	before.events("1", "2", "3", "4", "5", "6", "7")
	for _, f := range []*follower{before, all, fromNow} {
		eventually(t, "sharing", func() bool { return modeOf(f) == modeShared })
	}
}

// What never comes back keeps nobody apart for ever.
func TestWhatIsLostIsGivenUp(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b, func(_ *Config, i *intervals) { i.lost = time.Millisecond })
	before := live(t, h)
	publishEvent(t, h, "1")
	b.remote(testSession, storage.NewProducer(), "2")
	publishEvent(t, h, "3")
	before.events("1", "2", "3")
	bringBack := b.lose(testSession)
	publishEvent(t, h, "4")
	before.events("1", "2", "3", "4")
	after := live(t, h)
	eventually(t, "sharing", func() bool {
		h.topic(testSession).catchUp()
		return modeOf(after) == modeShared
	})
	bringBack()
	publishEvent(t, h, "5")
	after.events("2", "5")
	before.events("1", "2", "3", "4", "2", "5")
}
