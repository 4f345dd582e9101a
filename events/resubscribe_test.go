package events

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

// During a replay the change and its confirmation come between two of its pages.
func TestTypesAgainWhileJoining(t *testing.T) {
	b := newFake()
	var step atomic.Pointer[func(string)]
	h := newHub(Config{Backend: b}, fastIntervals(), func(s string) {
		if f := step.Load(); f != nil {
			(*f)(s)
		}
	})
	defer h.Close()
	first := publishEvent(t, h, "first").Cursor
	var want []string
	for i := range 3 * replayPage {
		kind := []string{"step:started", "chain:started"}[i%2]
		typed(t, h, kind, fmt.Sprint(i))
		if (i < replayPage) == (kind == "chain:started") {
			want = append(want, fmt.Sprint(i))
		}
	}
	live(t, h)
	g := follower{t: t, hub: h, changed: make(chan struct{})}
	g.out = outbox{maxBytes: 1 << 30, maxFrames: 1 << 30, wake: func() { go g.write() }}
	g.sub = &subscriber{sink: &g, out: &g.out, since: &first, types: typeFilter{"chain:*"}, replays: make(chan struct{}, 1)}
	pages := 0
	at := func(s string) {
		if s == "reading" {
			if pages++; pages == 2 {
				g.sub.confirmAgain(typeFilter{"step:*"})
			}
		}
	}
	step.Store(&at)
	h.begin(g.sub, h.register(h.ctx, testSession, g.sub))
	t.Cleanup(g.leave)
	got := g.wait("all", func(r []received) bool { return len(onlyEvents(r)) == len(want) })
	if ids := idsOf(onlyEvents(got)); !slices.Equal(ids, want) {
		t.Errorf("got %.400s", fmt.Sprint(ids))
	}
	again := slices.IndexFunc(got, func(r received) bool { return r.Type == confirmationType && r.Recovered == nil })
	if again != replayPage/2+1 {
		t.Fatalf("the second confirmation is frame %d", again)
	}
	if seq := parseCursor(t, got[again].Cursor).Pos.Seq; seq != replayPage+1 {
		t.Errorf("confirmed at number %d", seq)
	}
}

// Before the first confirmation one answer will do, and the last types count.
func TestTypesAgainBeforeConfirmation(t *testing.T) {
	for name, since := range map[string]*storage.Cursor{"from now": nil, "from the beginning": {}} {
		t.Run(name, func(t *testing.T) {
			hold := make(chan struct{})
			h := newHub(Config{Backend: newFake()}, fastIntervals(), func(s string) {
				if s == "learned" {
					<-hold
				}
			})
			defer h.Close()
			f := follow(t, h, since, func(f *follower) { f.types = typeFilter{"step:*"} })
			f.sub.confirmAgain(typeFilter{"chain:*"})
			close(hold)
			f.wait("confirmation", confirmed)
			publishEvent(t, h, "1")
			typed(t, h, "chain:started", "2")
			f.events("2")
			if got := f.wait("", func([]received) bool { return true }); len(got) != 2 {
				t.Errorf("got %s", describe(got))
			}
		})
	}
}

// The confirmation comes behind the events that its cursor covers.
func TestSubscribeAgainComesBehindWhatIsDue(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	f := follow(t, h, nil)
	f.wait("confirmation", confirmed)
	tp := h.topic(testSession)
	tp.mu.Lock()
	tp.pumping = true // it never is: what is published is due
	tp.mu.Unlock()
	publishEvent(t, h, "1")
	f.sub.confirmAgain(nil)
	got := f.wait("three frames", func(r []received) bool { return len(r) == 3 })
	if got[1].ID != "1" || got[2].Cursor != got[1].Cursor {
		t.Errorf("got %s", describe(got))
	}
}

// What others have written to storage may have a type that is none.
func TestTypeOfWhatIsNoEvent(t *testing.T) {
	for _, data := range []string{`{"type":5}`, `{"type":null}`, `{"type":{"type":"a:b"}}`, `{"type":`, `[]`, ``, `5`} {
		if kind := typeOf([]byte(data)); kind != "" {
			t.Errorf("%s: %q", data, kind)
		}
	}
}

// After the last page the answer comes before what is live.
func TestTypesAgainAtTheEndOfAReplay(t *testing.T) {
	var h *Hub
	var g follower
	var once sync.Once
	h = newHub(Config{Backend: newFake()}, fastIntervals(), func(s string) {
		if s == "joining" {
			once.Do(func() {
				g.sub.confirmAgain(typeFilter{"chain:*"})
				publishEvent(t, h, "3")
				typed(t, h, "chain:started", "4")
			})
		}
	})
	defer h.Close()
	live(t, h)
	first := publishEvent(t, h, "1").Cursor
	last := publishEvent(t, h, "2").Cursor
	g = follower{t: t, hub: h, changed: make(chan struct{})}
	g.out = outbox{maxBytes: 1 << 30, maxFrames: 1 << 30, wake: func() { go g.write() }}
	g.sub = &subscriber{sink: &g, out: &g.out, since: &first, replays: make(chan struct{}, 1)}
	h.begin(g.sub, h.register(h.ctx, testSession, g.sub))
	t.Cleanup(g.leave)
	got := g.wait("all", func(r []received) bool { return len(r) > 0 && r[len(r)-1].ID == "4" })
	if len(got) != 4 || got[1].ID != "2" || got[2].Type != confirmationType || got[2].Cursor != last.String() {
		t.Errorf("got %s", describe(got))
	}
}
