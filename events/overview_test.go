package events

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func publishTo(t testing.TB, h *Hub, session, kind string) {
	t.Helper()
	id := newEventID()
	_, err := h.Publish(t.Context(), Event{Session: session, ID: id, Type: kind, Data: eventData(session, id)})
	if err != nil {
		t.Fatal(err)
	}
}

// Listed are sessions that somebody follows, that got events lately, or that are
// watched, newest events first.
func TestActiveSessions(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	client := connect(t, s, "")
	client.subscribe("quiet")
	for _, session := range []string{"first", "second", "third"} {
		publishTo(t, h, session, "a:"+session)
	}
	publishTo(t, h, "first", "a:again")
	describe := func(list []ActiveSession) (text []string) {
		for _, a := range list {
			kind := "-"
			if a.Latest != nil {
				kind = a.Latest.Type
			}
			text = append(text, fmt.Sprintf("%s %d %s", a.ID, a.Clients, kind))
		}
		return text
	}
	all := []string{"first 0 a:again", "third 0 a:third", "second 0 a:second", "quiet 1 -", "watched 0 -"}
	list, count := h.ActiveSessions(9, []string{"watched", "third"})
	if got := describe(list); !slices.Equal(got, all) || count != 5 {
		t.Errorf("%d: %q", count, got)
	}
	list, count = h.ActiveSessions(3, []string{"watched"})
	if got := describe(list); !slices.Equal(got, []string{all[0], all[1], all[4]}) || count != 5 {
		t.Errorf("three of %d: %q", count, got)
	}
	list, _ = h.ActiveSessions(1, []string{"watched", "second"})
	if got := describe(list); len(got) != 1 {
		t.Errorf("one: %q", got)
	}
}

// An event of another node counts once it has been read for those who follow.
func TestLatestEventOfAnotherNode(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	f := live(t, h)
	b.remote(testSession, storage.NewProducer(), "elsewhere")
	b.growth <- testSession
	f.events("elsewhere")
	list, _ := h.ActiveSessions(1, nil)
	if len(list) != 1 || list[0].Latest == nil || list[0].Latest.Type != typeOf(eventData(testSession, "elsewhere")) {
		t.Errorf("%+v", list)
	}
}

func TestLatestIsBounded(t *testing.T) {
	var l latest
	of := func(n int, at int64) latestOf { return latestOf{uint64(n), at, fmt.Sprint(n), "a:b"} }
	for n := range 100 {
		l.note(of(n, int64(n)))
	}
	l.note(of(1000, 1)) // older than all that are known
	l.note(of(99, 2))
	if len(l.known) != maxLatest {
		t.Errorf("%d are known", len(l.known))
	}
	for n := 100 - maxLatest; n < 100; n++ {
		if !slices.Contains(l.known, of(n, int64(n))) {
			t.Errorf("%d is forgotten: %v", n, l.known)
		}
	}
}

// Every way to be connected, newest first.
func TestConnections(t *testing.T) {
	s := newTestSite(t)
	if list, count := s.Hub.Connections(9); len(list) != 0 || count != 0 {
		t.Fatalf("%d: %v", count, list)
	}
	hs := hubServer(t, s.Hub)
	anna := connect(t, hs, "?user=anna&ip=192.0.2.1")
	anna.subscribe("a")
	anna.subscribe("b")
	stream := openStream(t, hs, "/a?user=ben", nil)
	stream.wantStart()
	s.inBackground("/api/events/poll?session=a&session=b&session=c&wait=30s")
	eventually(t, "the poll", func() bool { _, count := s.Hub.Connections(9); return count == 3 })
	list, count := s.Hub.Connections(2)
	if count != 3 || len(list) != 2 || list[0].Transport != "poll" || list[0].Sessions != 3 ||
		list[1].Transport != "sse" || list[1].User != "ben" || list[1].Sessions != 1 {
		t.Errorf("%d: %+v", count, list)
	}
	list, _ = s.Hub.Connections(9)
	if c := list[2]; c.ID != anna.id || c.Transport != "websocket" || c.User != "anna" || c.Sessions != 2 ||
		c.IP.String() != "192.0.2.1" || time.Since(c.Since) > time.Minute {
		t.Errorf("%+v", c)
	}
}

// What a publish pays for the newest event of its session: as many sessions as are
// remembered take turns.
func BenchmarkLatest(b *testing.B) {
	h := newTestHub(b, newMemory(b))
	var sessions [shards * maxLatest]string
	for i := range sessions {
		sessions[i] = fmt.Sprintf("0198f5a2-7c1e-7000-8000-%012d", i)
	}
	at, n := time.Now(), 0
	for b.Loop() {
		h.noteLatest(sessions[n%len(sessions)], "step:started", at)
		n++
	}
}

// What a look at a hub costs with 10,000 sessions that are followed.
func BenchmarkActiveSessions(b *testing.B) {
	h := newTestHub(b, newMemory(b))
	for i := range 10_000 {
		session := fmt.Sprintf("0198f5a2-7c1e-7000-8000-%012d", i)
		s := &subscriber{sink: newWatchman(), out: newWatchman().watch(0, h.Limits()), replays: make(chan struct{}, 1)}
		h.begin(s, h.register(b.Context(), session, s))
		defer h.leave(s)
	}
	for b.Loop() {
		h.ActiveSessions(200, nil)
	}
}
