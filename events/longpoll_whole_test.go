package events

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// A long poll whose read storage answered incompletely looks again as soon as storage
// shows everything, though nothing is published: what another node had appended would
// otherwise come only with the poll after it.
func TestLongPollLooksAgainWhenStorageIsWhole(t *testing.T) {
	for name, tt := range map[string]struct{ begin, end func(*fakeBackend) }{
		"a read too slow, which nobody tells": {
			func(b *fakeBackend) { b.set(func() { b.down = true }) }, func(b *fakeBackend) { b.set(func() { b.down = false }) },
		},
		"an outage": {func(b *fakeBackend) { b.setDown(true) }, func(b *fakeBackend) { b.setDown(false) }},
		"what the journal has let go of": {
			func(b *fakeBackend) { b.beforeAndIn(t, testSession) }, func(b *fakeBackend) { b.setDown(false) },
		},
	} {
		for _, target := range []string{"/api/events/poll/" + testSession + "?", "/api/events/poll?session=b&session=" + testSession + "&"} {
			t.Run(name+" "+target, func(t *testing.T) {
				b := newFake()
				var waits atomic.Int32
				h := newHub(Config{Backend: b}, fastIntervals(), func(step string) {
					if step == "waiting" {
						waits.Add(1)
					}
				})
				site := &testSite{Site: &Site{Hub: h}}
				defer h.Close()
				if err := site.Provision(); err != nil {
					t.Fatal(err)
				}
				b.remote(testSession, storage.NewProducer(), "1")
				live(t, h) // the head is known
				tt.begin(b)
				waiting := site.inBackground(target + "wait=30&since=1970-01-01T00:00:00Z")
				eventually(t, "a poll that has looked", func() bool { return waits.Load() > 0 })
				select {
				case a := <-waiting:
					t.Fatalf("answered at once: %s", a.body)
				default:
				}
				tt.end(b)
				if a := <-waiting; !strings.Contains(a.body, `"id":"1"`) {
					t.Errorf("answered with %s", a.body)
				}
			})
		}
	}
}

// beforeAndIn adds two events, lets go of the first, and has the outage between them.
func (b *fakeBackend) beforeAndIn(t *testing.T, session string) {
	t.Helper()
	for _, id := range []string{"before", "in it"} {
		if _, err := b.AddEvent(t.Context(), session, id, eventData(session, id)); err != nil {
			t.Fatal(err)
		}
		b.set(func() { b.forgotten = 1 })
		b.setDown(true)
	}
}

// In an outage a poll gives nothing with every answer anew: what lies behind events that
// the journal has let go of comes after them, once they can be read. Who asks for the
// history is shown what there is.
func TestPollBehindAHole(t *testing.T) {
	b := newFake()
	site := &testSite{Site: &Site{Hub: newTestHub(t, b), PollRate: Rate{N: 1 << 20, Per: time.Second}}}
	if err := site.Provision(); err != nil {
		t.Fatal(err)
	}
	b.beforeAndIn(t, testSession)
	const poll, history = "/api/events/poll/" + testSession, "/api/events/" + testSession
	since := "?since=1970-01-01T00:00:00Z"
	for target, want := range map[string]string{
		poll + since: "", poll + since + "&types=step:*": "", poll: "in it", history + since: "in it", history: "in it",
	} {
		if a := site.do("GET", target, ""); a.ids(t) != want || a.json(t)["degraded"] != true {
			t.Errorf("%s: %s", target, a.body)
		}
	}
	since = "?since=" + site.do("GET", poll+since, "").json(t)["cursor"].(string)
	b.setDown(false)
	if a := site.do("GET", poll+since, ""); a.ids(t) != "before in it" {
		t.Errorf("afterwards: %s", a.body)
	}
}

// What one answer looks through without finding the types that are asked for is passed
// at once, and not after the time is over.
func TestLongPollPassesOtherTypes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t, func(_ *Site, b *siteBackend, _ *Config) { b.History.MaxLen = 20_000 })
		defer s.Hub.Close()
		most := filterPages * storage.MaxPage
		for i := range most + 1 {
			e := event(fmt.Sprint(i))
			if i == most {
				e = strings.Replace(e, "step:started", "chain:started", 1)
			}
			if _, err := s.backend.AddEvent(t.Context(), "s", fmt.Sprint(i), []byte(e)); err != nil {
				t.Fatal(err)
			}
		}
		const target = "/api/events/poll/s?wait=30&types=chain:*&since="
		start := time.Now()
		a := s.do("GET", target+"1970-01-01T00:00:00Z", "")
		v := a.json(t)
		if took := time.Since(start); v["count"] != 0.0 || v["hasMore"] != true || took != 0 {
			t.Fatalf("answered after %v with %s", took, a.body)
		}
		if ids := s.do("GET", target+v["cursor"].(string), "").ids(t); ids != fmt.Sprint(most) {
			t.Errorf("then with %s", ids)
		}
	})
}
