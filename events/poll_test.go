package events

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// unlimited lets tests poll as often as they like.
func unlimited(s *Site, _ *siteBackend, _ *Config) { s.PollRate = Rate{N: 1 << 20, Per: time.Second} }

// ids are the ids of the events in an answer.
func (a answer) ids(t *testing.T) string {
	t.Helper()
	var v struct {
		Count  int
		Events []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	if v.Count != len(v.Events) {
		t.Errorf("count %d of %d events", v.Count, len(v.Events))
	}
	ids := make([]string, 0, len(v.Events))
	for _, e := range v.Events {
		ids = append(ids, e.ID)
	}
	return strings.Join(ids, " ")
}

// fill publishes events numbered from first to last.
func (s *testSite) fill(t *testing.T, first, last int) {
	t.Helper()
	for i := first; i <= last; i++ {
		s.do("POST", "/api/events", event(fmt.Sprint(i))).want(t, 201, "")
	}
}

func TestPollShape(t *testing.T) {
	s := newTestSite(t, unlimited)
	a := s.do("GET", "/api/events/poll/s", "")
	want := `{"sessionId":"s","count":0,"events":[],"timestamp":"1970-01-01T00:00:00.000000Z","pollingMode":true,"cursor":"v1.0.0-0","hasMore":false}`
	if a.body != want {
		t.Errorf("empty: %s", a.body)
	}
	s.fill(t, 1, 12)
	a = s.do("GET", "/api/events/poll/s", "")
	if got := a.ids(t); got != "3 4 5 6 7 8 9 10 11 12" {
		t.Errorf("without since: %s", got)
	}
	v := a.json(t)
	if v["hasMore"] != false || v["pollingMode"] != true {
		t.Errorf("%s", a.body)
	}
	head, err := storage.ParseCursor(v["cursor"].(string))
	if err != nil || head.Timestamp() != v["timestamp"] {
		t.Errorf("cursor %v, timestamp %v: %v", v["cursor"], v["timestamp"], err)
	}
	empty := s.do("GET", "/api/events/poll/s?since="+v["cursor"].(string), "").json(t)
	if empty["count"] != 0.0 || empty["timestamp"] != v["timestamp"] || empty["cursor"] != v["cursor"] {
		t.Errorf("at the head: %v", empty)
	}
	if got := s.do("GET", "/api/events/poll/s?since=1970-01-01T00:00:00Z", "").json(t)["count"]; got != 12.0 {
		t.Errorf("all there is: %v", got)
	}
	if got := s.do("GET", "/api/events/poll/s?limit=2", "").ids(t); got != "11 12" {
		t.Errorf("limit: %s", got)
	}
}

// A client that knows only the timestamp, and echoes it, gets each event once.
func TestPollByTimestamp(t *testing.T) {
	for _, position := range []string{"timestamp", "cursor"} {
		t.Run(position, func(t *testing.T) {
			s := newTestSite(t, unlimited)
			since, seen := "", ""
			for i := range 20 {
				s.fill(t, 3*i+1, 3*i+i%4) // none to three new ones
				for more := true; more; {
					a := s.do("GET", "/api/events/poll/s?limit=2&since="+since, "")
					a.want(t, 200, "")
					v := a.json(t)
					if v["gap"] == true {
						t.Fatalf("gap: %s", a.body)
					}
					since, more = v[position].(string), v["hasMore"] == true
					seen += a.ids(t) + " "
				}
			}
			want := ""
			for i := range 20 {
				for n := 3*i + 1; n <= 3*i+i%4; n++ {
					want += fmt.Sprint(n, " ")
				}
			}
			if got := strings.Join(strings.Fields(seen), " "); got != strings.TrimSpace(want) {
				t.Errorf("seen %s\nwant %s", got, want)
			}
		})
	}
}

// A client that cuts the timestamp to milliseconds, as JavaScript does, gets past
// one that holds more events than it asks for.
func TestPollByTimestampCutShort(t *testing.T) {
	s := newTestSite(t, unlimited)
	const burst = 900
	ops := make([]storage.Op, burst) // together they stand 1 µs apart
	for i := range ops {
		ops[i] = &storage.Append{Log: "e:s", ID: fmt.Sprint(i), Data: fmt.Appendf(nil, `{"id":"%d"}`, i)}
	}
	if _, err := s.backend.Driver.Apply(t.Context(), ops); err != nil {
		t.Fatal(err)
	}
	since, seen := "1970-01-01T00:00:00.000Z", map[string]bool{}
	for more, polls := true, 0; more; polls++ {
		a := s.do("GET", "/api/events/poll/s?limit=100&since="+since, "")
		a.want(t, 200, "")
		if polls > burst/100 {
			t.Fatalf("%d of %d events, and it is still at %s", len(seen), burst, since)
		}
		for id := range strings.FieldsSeq(a.ids(t)) {
			seen[id] = true
		}
		v := a.json(t)
		whole, fraction, _ := strings.Cut(v["timestamp"].(string), ".")
		since, more = whole+"."+fraction[:3]+"Z", v["hasMore"] == true
	}
	if len(seen) != burst {
		t.Errorf("%d of %d events", len(seen), burst)
	}
}

func TestPollRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t, func(s *Site, _ *siteBackend, _ *Config) {
			s.Access = Access{AnonymousRead: true, AnonymousWrite: true, Keys: []string{"k1", "k2"}}
			s.Access.User = func(r *http.Request) string { return r.Header.Get("Remote-User") }
			s.ClientIP = func(r *http.Request) netip.Addr { return netip.MustParseAddr(r.Header.Get("Client")) }
		})
		from4, from6 := header("Client", "192.0.2.1"), header("Client", "2001:db8::1")
		s.do("POST", "/api/events", event("1"), from4).want(t, 201, "")
		poll := func(status int, edits ...func(*http.Request)) answer {
			t.Helper()
			a := s.do("GET", "/api/events/poll/s", "", edits...)
			a.want(t, status, "")
			return a
		}
		poll(200, from4)
		a := poll(429, from4)
		want := `{"error":"Rate limit exceeded","message":"this session was polled too recently, try again in 5 s","retryAfter":5}`
		if a.body != want || a.header.Get("Retry-After") != "5" {
			t.Errorf("%v %s", a.header, a.body)
		}
		poll(200, from6)
		poll(429, header("Client", "2001:db8::2"))
		poll(200, header("Client", "2001:db8:0:1::1"))
		poll(200, from4, header("Remote-User", "ann"))
		poll(200, from4, header("Remote-User", "bob"))
		poll(429, from4, header("Remote-User", "bob"))
		poll(200, from4, header("Authorization", "Bearer k1"))
		poll(200, from4, header("Authorization", "Bearer k2"))
		poll(429, from4, header("Authorization", "Bearer k2"))
		// What is refused or wrong spends nothing, and neither does waiting.
		s.do("GET", "/api/events/poll/s?since=x", "", header("Client", "192.0.2.2")).want(t, 400, "")
		poll(200, header("Client", "192.0.2.2"))
		time.Sleep(1500 * time.Millisecond)
		if got := poll(429, from4).json(t)["retryAfter"]; got != 4.0 {
			t.Errorf("after 1.5 s: retryAfter %v", got)
		}
		time.Sleep(3500 * time.Millisecond)
		poll(200, from4)
	})
}

// An invented key must not buy a poll rate of its own.
func TestPollRateOfInventedKey(t *testing.T) {
	s := newTestSite(t, func(s *Site, _ *siteBackend, _ *Config) {
		s.Access = Access{AnonymousRead: true, AnonymousWrite: true}
	})
	s.fill(t, 1, 1)
	s.do("GET", "/api/events/poll/s?apiKey=x", "").want(t, 200, "")
	s.do("GET", "/api/events/poll/s?apiKey=y", "").want(t, 429, "Rate limit exceeded")
}

// The limiter outlives a site, as it does in a reload.
func TestPollRateAcrossSites(t *testing.T) {
	limiter := NewPollLimiter()
	share := func(s *Site, b *siteBackend, _ *Config) {
		s.Limiter = limiter
		b.read = func(context.Context, storage.LogQuery) (storage.LogPage, error) {
			return storage.LogPage{Degraded: true}, nil // possibly known
		}
	}
	newTestSite(t, share).do("GET", "/api/events/poll/s", "").want(t, 200, "")
	newTestSite(t, share).do("GET", "/api/events/poll/s", "").want(t, 429, "Rate limit exceeded")
}

func TestPollBounds(t *testing.T) {
	s := newTestSite(t)
	s.fill(t, 1, 1)
	for range 3 { // of an unknown session nothing is kept
		s.do("GET", "/api/events/poll/unknown", "").want(t, 200, "")
	}
	if s.Limiter.count != 0 {
		t.Errorf("%d entries", s.Limiter.count)
	}
	s.Limiter.perClient = 0
	a := s.do("GET", "/api/events/poll/s", "")
	a.want(t, 429, "Rate limit exceeded")
	if !strings.Contains(a.body, "too many sessions") {
		t.Error(a.body)
	}
	s.Limiter.perClient, s.Limiter.max = 64, 1
	s.do("GET", "/api/events/poll/s", "").want(t, 200, "")
	a = s.do("GET", "/api/events/poll/s", "", header("X", ""), func(r *http.Request) { r.RemoteAddr = "127.0.0.2:1" })
	a.want(t, 503, "too many polls")
	if a.header.Get("Retry-After") != "5" || a.json(t)["retryAfter"] != 5.0 {
		t.Errorf("%v %s", a.header, a.body)
	}
}
