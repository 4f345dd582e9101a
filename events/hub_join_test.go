package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
	"github.com/actionflows/lifeline/storage/resilient"
)

// joinCase is one way to come to a session with three events.
type joinCase struct {
	name  string
	since func(first storage.Cursor) *storage.Cursor
	topic bool // somebody follows already
	down  bool // what is injected is pending
	// injected is who publishes in between; nil: this node.
	remote bool
	// types: the follower leaves out every second of what is injected.
	types bool
}

// Whatever is published between any two steps of a join comes once and in order.
func TestHubJoinAtEveryStep(t *testing.T) {
	cases := []joinCase{
		{name: "from now"},
		{name: "from now, known topic", topic: true},
		{name: "from a cursor", since: func(c storage.Cursor) *storage.Cursor { return &c }},
		{name: "from a cursor, known topic", topic: true, since: func(c storage.Cursor) *storage.Cursor { return &c }},
		{name: "from a time", since: func(c storage.Cursor) *storage.Cursor {
			m := storage.MicrosCursor(c.Pos.Micros)
			return &m
		}},
		{name: "pending", topic: true, down: true, since: func(c storage.Cursor) *storage.Cursor { return &c }},
		{name: "some types", topic: true, types: true, since: func(c storage.Cursor) *storage.Cursor { return &c }},
		{name: "some types, pending", topic: true, types: true, down: true, since: func(c storage.Cursor) *storage.Cursor { return &c }},
		{name: "some types, from now", types: true},
		{name: "other node", topic: true, remote: true, since: func(c storage.Cursor) *storage.Cursor { return &c }},
	}
	for _, c := range cases {
		for _, step := range []string{"registered", "learned", "reading", "read", "joining", "filled"} {
			for _, count := range []int{1, 2, 300} {
				t.Run(fmt.Sprintf("%s/%s/%d", c.name, step, count), func(t *testing.T) { c.run(t, step, count) })
			}
		}
	}
}

func (c joinCase) run(t *testing.T, step string, count int) {
	b := newFake()
	other := storage.NewProducer()
	var want []string
	inject := func(h *Hub) {
		for i := range count {
			id := fmt.Sprint("injected ", i)
			switch {
			case c.types && i%2 == 0:
				typed(t, h, "chain:started", id)
				continue
			case c.remote:
				b.remote(testSession, other, id)
			default:
				publishEvent(t, h, id)
			}
			want = append(want, id)
		}
	}
	var hook atomic.Pointer[func(string)]
	h := newHub(Config{Backend: b}, fastIntervals(), func(s string) {
		if f := hook.Load(); f != nil {
			(*f)(s)
		}
	})
	defer h.Close()
	if c.topic {
		live(t, h)
	}
	var first storage.Cursor
	for i := range 3 {
		res := publishEvent(t, h, fmt.Sprint("old ", i))
		if i == 0 {
			first = res.Cursor
		}
	}
	if c.down {
		b.setDown(true)
	}
	var once sync.Once
	done := make(chan struct{})
	injecting := func(s string) {
		if s == step {
			once.Do(func() { inject(h); close(done) })
		}
	}
	hook.Store(&injecting)
	var since *storage.Cursor
	if c.since != nil {
		since = c.since(first)
	}
	f := follow(t, h, since, func(f *follower) {
		if c.types {
			f.types = typeFilter{"step:*"}
		}
	})
	f.wait("confirmation", confirmed)
	once.Do(func() { inject(h); close(done) }) // a step that this join does not have
	<-done
	if c.since != nil && !c.remote {
		// Nothing but the join itself may bring them.
		f.wait("what was injected", func(r []received) bool { return len(onlyEvents(r)) >= 2+len(want) })
	}
	if c.down {
		b.setDown(false)
	}
	publishEvent(t, h, "last")
	want = append(want, "last")
	c.check(t, f, want, step)
}

func (c joinCase) check(t *testing.T, f *follower, want []string, step string) {
	t.Helper()
	got := onlyEvents(f.wait("last", func(r []received) bool {
		e := onlyEvents(r)
		return len(e) > 0 && e[len(e)-1].ID == "last"
	}))
	ids := idsOf(got)
	switch {
	case c.since == nil:
		// Where the following begins is up to the hub; it must be somewhere in
		// what is injected, and then go on without a hole.
		if at := len(want) - len(ids); at < 0 || !slices.Equal(ids, want[at:]) {
			t.Fatalf("got %v, want the end of %v", ids, want)
		}
		if step == "joining" && len(ids) != len(want) {
			t.Fatalf("got %v, want %v", ids, want)
		}
		return
	case c.down, c.types:
		want = append([]string{"old 1", "old 2"}, want...)
	default:
		want = append([]string{"old 1", "old 2"}, want...)
		checkSequence(t, got, 2)
	}
	if !slices.Equal(ids, want) {
		t.Fatalf("got %.300s, want %.300s", fmt.Sprint(ids), fmt.Sprint(want))
	}
}

func modeOf(f *follower) subscriberMode {
	f.sub.topic.mu.Lock()
	defer f.sub.topic.mu.Unlock()
	return f.sub.mode
}

// An event that is delivered live while pending, and has its place when the
// replay reads it, comes once.
func TestHubJoinWhilePendingGetsPlaced(t *testing.T) {
	b := newFake()
	var once sync.Once
	var h *Hub
	h = newHub(Config{Backend: b}, fastIntervals(), func(step string) {
		if step == "reading" {
			once.Do(func() {
				b.setDown(true)
				publishEvent(t, h, "2")
				b.setDown(false)
			})
		}
	})
	defer h.Close()
	live(t, h)
	first := publishEvent(t, h, "1").Cursor
	f := follow(t, h, &first)
	f.wait("confirmation", confirmed)
	f.events("2")
	publishEvent(t, h, "3")
	f.events("2", "3")
}

// A reader who saw another node's events while they were pending there does not
// get them again, and his cursor keeps saying so until the log has them.
func TestHubJoinWithForeignParts(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	live(t, h)
	other := storage.NewProducer()
	since := publishEvent(t, h, "1").Cursor.With(storage.Link{Producer: other, Number: 1})
	f := follow(t, h, &since)
	f.wait("confirmation", confirmed)
	publishEvent(t, h, "2")
	got := f.events("2")
	if c := parseCursor(t, got[0].Cursor); len(c.Parts) != 1 {
		t.Errorf("cursor %s has lost its part", c)
	}
	b.remote(testSession, other, "seen")
	b.remote(testSession, other, "3")
	publishEvent(t, h, "4")
	got = f.events("2", "3", "4")
	if c := parseCursor(t, got[2].Cursor); len(c.Parts) != 0 {
		t.Errorf("cursor %s has a part that the log covers", c)
	}
}

func TestHubJoinGap(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	first := publishEvent(t, h, "1").Cursor
	publishEvent(t, h, "2")
	last := publishEvent(t, h, "3").Cursor
	b.trim(testSession, 2)
	foreign := storage.Cursor{Epoch: storage.NewEpoch(), Pos: first.Pos}
	ahead := storage.Cursor{Epoch: first.Epoch, Pos: storage.Position{Micros: last.Pos.Micros + 1e9, Seq: 99}}
	tests := map[string]struct {
		since storage.Cursor
		gap   bool
		want  []string
	}{
		"trimmed":     {first, true, []string{"3"}},
		"other epoch": {foreign, true, []string{"3"}},
		"ahead":       {ahead, true, []string{"3"}},
		"future":      {storage.MicrosCursor(last.Pos.Micros + 1e9), false, nil},
		"head":        {last, false, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := follow(t, h, &tt.since)
			got := f.wait("confirmation", confirmed)[0]
			if got.Gap != tt.gap || got.Recovered == nil || *got.Recovered == tt.gap {
				t.Errorf("gap %v, recovered %v", got.Gap, got.Recovered)
			}
			f.events(tt.want...)
			if c := parseCursor(t, got.Cursor); c.Epoch != first.Epoch {
				t.Errorf("confirmed at %s", got.Cursor)
			}
		})
	}
}

func TestHubJoinFails(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	live(t, h)
	c := publishEvent(t, h, "1").Cursor
	b.set(func() { b.readErr = errors.New("timeout") })
	f := follow(t, h, &c)
	f.wait("failure", func([]received) bool { f.mu.Lock(); defer f.mu.Unlock(); return f.failure != nil })
}

// A long history comes whole, page by page, whatever the speed of its reader.
func TestHubJoinLong(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	var first storage.Cursor
	want := make([]string, 0, 3000)
	for i := range 3000 {
		id := fmt.Sprint(i)
		if res := publishEvent(t, h, id); i == 0 {
			first = res.Cursor
		} else {
			want = append(want, id)
		}
	}
	f := follow(t, h, &first, func(f *follower) { f.out.maxBytes = 20_000; f.out.maxFrames = 100 })
	checkSequence(t, f.events(want...), 2)
}

// One client's replay holds up neither others nor live events: while it waits
// for its reader it takes no place among the replays.
func TestHubReplaysDoNotWaitForEachOther(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b, func(c *Config, _ *intervals) { c.Limits.MaxReplays = 1 })
	c := publishEvent(t, h, "0").Cursor
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprint(i+1))
		publishEvent(t, h, want[i])
	}
	stalled := make(chan struct{})
	a := follow(t, h, &c, func(f *follower) { f.stalled = stalled; f.out.maxBytes = 100 })
	follow(t, h, &c).events(want...)
	close(stalled)
	a.events(want...)
}

// memoryBackend is the real storage in memory.
type memoryBackend struct{ *storage.Store }

func (b memoryBackend) Records() *storage.Store                       { return b.Store }
func (memoryBackend) CircuitBreakerStats() []breaker.Stats            { return nil }
func (memoryBackend) UsingFallback() bool                             { return false }
func (memoryBackend) Status() resilient.Status                        { return resilient.Status{} }
func (memoryBackend) OnStatus(func(resilient.Status)) (cancel func()) { return func() {} }

func newMemory(t testing.TB) memoryBackend {
	d := memory.New(memory.Options{})
	t.Cleanup(func() { _ = d.Close() })
	return memoryBackend{&storage.Store{Driver: d, History: storage.History{MaxLen: 100_000}}}
}

// Followers come, with and without cursor, while publishers run at full speed.
func TestHubJoinAtFullSpeed(t *testing.T) {
	backends := map[string]func() Backend{
		"memory":         func() Backend { return newMemory(t) },
		"with a journal": func() Backend { return newFake() },
	}
	for name, backend := range backends {
		t.Run(name, func(t *testing.T) { joinAtFullSpeed(t, newTestHub(t, backend())) })
	}
}

func joinAtFullSpeed(t *testing.T, h *Hub) {
	first := publishEvent(t, h, "first").Cursor
	live(t, h)
	ctx, stop := context.WithCancel(t.Context())
	var publishers sync.WaitGroup
	for p := range 2 {
		publishers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if i > 2000 { // followers that check every frame are slower than this
					time.Sleep(time.Millisecond)
				}
				publishEvent(t, h, fmt.Sprintf("%d/%d", p, i))
			}
		})
	}
	var followers []*follower
	for i := range 16 {
		var since *storage.Cursor
		if i%2 == 0 {
			since = &first
		}
		f := follow(t, h, since)
		f.wait("some events", func(r []received) bool { return len(onlyEvents(r)) > 20*(i%3) })
		followers = append(followers, f)
	}
	stop()
	publishers.Wait()
	last := publishEvent(t, h, "last").Cursor.Pos.Seq
	for _, f := range followers {
		events := onlyEvents(f.wait("last", func(r []received) bool { return r[len(r)-1].ID == "last" }))
		begin := last - uint64(len(events)) + 1
		checkSequence(t, events, begin)
		if f.sub.since != nil && begin != 2 {
			t.Errorf("from the beginning on: number %d came first", begin)
		}
	}
}
