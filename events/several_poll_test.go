package events

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func eventIn(session, id string) string {
	return fmt.Sprintf(`{"type":"step:started","sessionId":%q,"id":%q,"timestamp":"2026-02-10T04:15:00.000Z"}`, session, id)
}

// put posts events to a session.
func (s *testSite) put(t *testing.T, session string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		s.do("POST", "/api/events", eventIn(session, id)).want(t, 201, "")
	}
}

// inSessions are the answers about each session.
func (a answer) inSessions(t *testing.T) map[string]answer {
	t.Helper()
	a.want(t, 200, "")
	var v struct{ Sessions map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	each := make(map[string]answer)
	for session, body := range v.Sessions {
		each[session] = answer{true, 200, a.header, string(body)}
	}
	return each
}

// Of each session the answer has what a poll of that one has.
func TestPollSeveral(t *testing.T) {
	s := newTestSite(t, unlimited)
	odd := `b"] ü&`
	s.put(t, "a", "1", "2", "3")
	s.put(t, odd, "4", "5")
	first := s.do("GET", "/api/events/poll/a?limit=1&since=1970-01-01T00:00:00Z", "").json(t)["cursor"].(string)
	from := url.Values{"session": {"a", odd, "none"}, "since[a]": {first}, "limit": {"1"}, "since": {"1970-01-01T00:00:00Z"}}
	a := s.do("GET", "/api/events/poll?"+from.Encode(), "")
	each := a.inSessions(t)
	for session, since := range map[string]string{"a": first, odd: "1970-01-01T00:00:00Z", "none": "1970-01-01T00:00:00Z"} {
		alone := s.do("GET", "/api/events/poll/"+url.PathEscape(session)+"?limit=1&since="+since, "")
		if each[session].body != alone.body {
			t.Errorf("session %q: %s\nalone: %s", session, each[session].body, alone.body)
		}
	}
	if got := each["a"].ids(t) + " " + each[odd].ids(t); got != "2 4" || len(each) != 3 {
		t.Errorf("%s: %s", got, a.body)
	}
	all := s.do("GET", "/api/events/poll?session=a&session="+url.QueryEscape(odd), "").inSessions(t)
	if got := all["a"].ids(t) + " " + all[odd].ids(t); got != "1 2 3 4 5" {
		t.Errorf("without since: %s", got)
	}
	// The id of a stream is as good as a cursor of each.
	id := encodeComposite(fmt.Sprintf(`{"a":%q}`, first))
	if got := s.do("GET", "/api/events/poll?session=a&since="+id, "").inSessions(t)["a"].ids(t); got != "2 3" {
		t.Errorf("since a stream's id: %s", got)
	}
	if got := s.do("GET", "/api/events/poll?session=a&types=chain:*", "").inSessions(t)["a"].ids(t); got != "" {
		t.Errorf("of another type: %s", got)
	}
}

func TestSeveralRefuses(t *testing.T) {
	s := newTestSite(t, unlimited)
	many := "session=0"
	for i := range maxSeveral {
		many += fmt.Sprintf("&session=%d", i+1)
	}
	cursor := "v1.00000000000a.5-1"
	for _, tt := range []struct{ query, field, message string }{
		{"", "session", "session is missing"},
		{"since=" + cursor, "session", "session is missing"},
		{many, "session", "given 51 times, at most 50"},
		{"session=a&session=", "session", `"" is empty`},
		{"session=poll", "session", "is reserved"},
		{"session=%ff", "session", "not valid UTF-8"},
		{"session=a&session=b&session=a", "session", `"a" is given twice`},
		{"session=a&since[b]=" + cursor, "since[b]", "not asked for"},
		{"session=a&since[" + strings.Repeat("x", 201) + "]=x", "since", "names no session"},
		{"session=a&since[a]=x", "since[a]", "neither a cursor"},
		{"session=a&since[a]=" + cursor + "&since[a]=" + cursor, "since[a]", "given twice"},
		{"session=a&since=" + cursor, "since", "since[<session>]"},
		{"session=a&since=v1.0.0-0&since=v1.0.0-0", "since", "given twice"},
		{"session=a&since=x", "since", "not base64url"},
		{"session=a&since=" + encodeComposite(`{"b":"v1.0.0-0"}`), "since", `session "b", which is not asked for`},
		{"session=a;b", "", "semicolon"},
	} {
		for _, route := range []string{"poll", "stream"} {
			a := s.do("GET", "/api/events/"+route+"?"+tt.query, "")
			v := a.json(t)
			field, _ := v["field"].(string)
			if message, _ := v["message"].(string); a.status != 400 || field != tt.field || !strings.Contains(message, tt.message) {
				t.Errorf("%s?%.80s: %d %s", route, tt.query, a.status, a.body)
			}
		}
	}
	for query, field := range map[string]string{
		"limit=0": "limit", "limit=1001": "limit", "wait=31": "wait", "types=x": "types", "wait=1&wait=2": "wait",
	} {
		if a := s.do("GET", "/api/events/poll?session=a&"+query, ""); a.status != 400 || a.json(t)["field"] != field {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
	a := s.do("GET", "/api/events/stream?session=a", "", header("Last-Event-ID", "x"))
	if a.status != 400 || a.json(t)["field"] != "Last-Event-ID" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// The events in one answer are bounded, and the default limit is always allowed.
func TestPollSeveralLimit(t *testing.T) {
	s := newTestSite(t, unlimited)
	fifty := "/api/events/poll?since=1970-01-01T00:00:00Z"
	for i := range maxSeveral {
		fifty += fmt.Sprintf("&session=%d", i)
	}
	s.do("GET", fifty, "").want(t, 200, "")
	s.do("GET", fifty+"&limit=100", "").want(t, 200, "")
	a := s.do("GET", fifty+"&limit=101", "")
	if a.status != 400 || !strings.Contains(a.body, "from 1 to 100") {
		t.Errorf("%d %s", a.status, a.body)
	}
	s.do("GET", "/api/events/poll?session=a&session=b&limit=1000", "").want(t, 200, "")
}

// A poll spends one of each session, or none.
func TestPollSeveralRate(t *testing.T) {
	s := newTestSite(t)
	s.put(t, "a", "1")
	s.put(t, "b", "2")
	s.do("GET", "/api/events/poll/b", "").want(t, 200, "")
	for range 2 {
		refused := s.do("GET", "/api/events/poll?session=a&session=b&session=none", "")
		refused.want(t, 429, "Rate limit exceeded")
		v := refused.json(t)
		if v["field"] != "session" || v["details"].(map[string]any)["sessionId"] != "b" || !strings.Contains(v["message"].(string), `"b"`) ||
			refused.header.Get("Retry-After") != "5" || v["retryAfter"] != 5.0 {
			t.Error(refused.header, refused.body)
		}
	}
	s.do("GET", "/api/events/poll?session=a&session=none", "").want(t, 200, "") // nothing was spent
	s.do("GET", "/api/events/poll/a", "").want(t, 429, "Rate limit exceeded")   // now it is
	s.do("GET", "/api/events/poll?session=none&session=none2", "").want(t, 200, "")
	if n := s.Limiter.count; n != 2 {
		t.Errorf("%d entries, those of unknown sessions among them", n)
	}
}

// What could not be answered has cost nothing, of none of the sessions.
func TestPollSeveralStorageError(t *testing.T) {
	fail := true
	s := newTestSite(t, func(_ *Site, b *siteBackend, _ *Config) {
		b.read = func(_ context.Context, q storage.LogQuery) (storage.LogPage, error) {
			if fail && q.After != nil {
				return storage.LogPage{}, &storage.UnavailableError{Reason: "away"}
			}
			return storage.LogPage{State: storage.LogState{Head: storage.Position{Micros: 1, Seq: 1}}}, nil
		}
	})
	target := "/api/events/poll?session=a&session=b&session=c&since[b]=v1.0.0-0"
	a := s.do("GET", target, "")
	a.want(t, 503, "storage unavailable")
	if v := a.json(t); v["details"].(map[string]any)["sessionId"] != "b" || a.header.Get("Retry-After") == "" || s.Limiter.count != 0 {
		t.Errorf("%d entries: %s", s.Limiter.count, a.body)
	}
	s.do("GET", target+"&wait=1", "").want(t, 503, "storage unavailable")
	fail = false
	s.do("GET", target, "").want(t, 200, "")
	s.do("GET", target, "").want(t, 429, "Rate limit exceeded")
}

func TestPollSeveralDegraded(t *testing.T) {
	s := newTestSite(t, unlimited, func(_ *Site, b *siteBackend, _ *Config) {
		b.read = func(_ context.Context, q storage.LogQuery) (storage.LogPage, error) {
			return storage.LogPage{Degraded: q.After != nil}, nil
		}
	})
	a := s.do("GET", "/api/events/poll?session=a&session=b&since[b]=v1.0.0-0", "")
	each := a.inSessions(t)
	if a.header.Get("Lifeline-Degraded") != "true" || strings.Contains(each["a"].body, "degraded") || !strings.Contains(each["b"].body, `"degraded":true`) {
		t.Error(a.header, a.body)
	}
}

func TestSeveralForbidden(t *testing.T) {
	s := newTestSite(t, mixedSite)
	for session, user := range map[string]string{"hers": "ann", "his": "bob"} {
		if _, err := s.Hub.store().SetSession(t.Context(), storage.Session{ID: session, User: user}); err != nil {
			t.Fatal(err)
		}
	}
	for _, route := range []string{"poll", "stream", "poll?wait=5"} {
		target := "/api/events/" + route
		if target += "?"; strings.Contains(route, "?") {
			target = "/api/events/" + route + "&"
		}
		a := s.do("GET", target+"session=his&session=hers&session=c", "", as("bob"))
		a.want(t, 403, "forbidden")
		if v := a.json(t); v["field"] != "session" || v["details"].(map[string]any)["sessionId"] != "hers" || !strings.Contains(v["message"].(string), `"hers"`) {
			t.Error(a.body)
		}
	}
	s.do("GET", "/api/events/poll?session=his&session=c", "", as("bob")).want(t, 200, "")
	s.do("GET", "/api/events/poll?session=his&session=hers", "", withKey).want(t, 200, "")
}

// A long poll of several sessions is answered when something comes into any of them.
func TestLongPollSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t)
		defer s.Hub.Close()
		since := func(a answer) string {
			q := url.Values{"wait": {"20"}}
			for session, of := range a.inSessions(t) {
				q.Add("session", session)
				q.Add("since["+session+"]", of.json(t)["cursor"].(string))
			}
			return "/api/events/poll?" + q.Encode()
		}
		target := since(s.do("GET", "/api/events/poll?session=a&session=b&session=c", ""))
		for n, session := range []string{"b", "a", "c", "c"} {
			waiting := s.inBackground(target)
			time.Sleep(5 * time.Second)
			synctest.Wait()
			select {
			case a := <-waiting:
				t.Fatalf("answered at once: %s", a.body)
			default:
			}
			id := fmt.Sprint(n)
			s.put(t, session, id)
			a := <-waiting
			for of, got := range a.inSessions(t) {
				want := ""
				if of == session {
					want = id
				}
				if got.ids(t) != want {
					t.Fatalf("session %s: %s", of, got.body)
				}
			}
			target = since(a)
		}
		start := time.Now()
		for session, of := range s.do("GET", target, "").inSessions(t) {
			if of.ids(t) != "" || of.json(t)["timestamp"] == nil {
				t.Errorf("session %s: %s", session, of.body)
			}
		}
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("an empty answer after %v", took)
		}
	})
}

// A client has one long poll about a session, whether it asks for others too.
func TestLongPollsSeveralOfOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t, func(_ *Site, _ *siteBackend, c *Config) { c.Limits.MaxLongPolls = 4 })
		defer s.Hub.Close()
		poll := func(wait int, sessions ...string) string {
			return fmt.Sprintf("/api/events/poll?wait=%d&session=%s", wait, strings.Join(sessions, "&session="))
		}
		start := time.Now()
		abc := s.inBackground(poll(30, "a", "b", "c"))
		d := s.inBackground(poll(20, "d"))
		synctest.Wait()
		refused := s.do("GET", poll(1, "a", "e"), "") // one too many
		refused.want(t, 503, "too many long polls")
		a, b := s.inBackground("/api/events/poll/a?wait=10"), s.inBackground(poll(10, "b"))
		for _, of := range (<-abc).inSessions(t) {
			if of.ids(t) != "" || time.Since(start) != 0 {
				t.Errorf("after %v: %s", time.Since(start), of.body)
			}
		}
		s.put(t, "b", "1")
		if got := (<-b).inSessions(t)["b"].ids(t); got != "1" {
			t.Errorf("b: %s", got)
		}
		<-a
		<-d
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("d was answered after %v", took)
		}
		time.Sleep(time.Second)
		s.Hub.longPolls.mu.Lock()
		defer s.Hub.longPolls.mu.Unlock()
		if n := len(s.Hub.longPolls.flights); n != 0 {
			t.Errorf("%d are remembered", n)
		}
	})
}

// Sessions with much that is not wanted hold a poll for what is, also when more comes
// at once than is told.
func TestLongPollSeveralWithTypes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t, func(_ *Site, _ *siteBackend, c *Config) { c.Limits.MaxQueueFrames = 2 })
		defer s.Hub.Close()
		waiting := s.inBackground("/api/events/poll?session=a&session=b&wait=30&types=chain:*")
		synctest.Wait()
		for i := range 50 {
			s.put(t, []string{"a", "b"}[i%2], fmt.Sprint(i))
		}
		s.do("POST", "/api/events", `{"type":"chain:started","sessionId":"b","id":"x"}`).want(t, 201, "")
		each := (<-waiting).inSessions(t)
		if got := each["a"].ids(t) + "/" + each["b"].ids(t); got != "/x" {
			t.Errorf("answered with %s", got)
		}
	})
}

func TestLimiterTakesAllOrNothing(t *testing.T) {
	l := NewPollLimiter()
	l.perClient = 3
	var c pollClient
	rate := Rate{N: 1, Per: time.Minute}
	if of, _, err := l.takeAll(c, []string{"a", "b", "c", "d"}, rate); err == nil || of != "d" || l.count != 0 {
		t.Errorf("%s %v, %d entries", of, err, l.count)
	}
	sessions := []string{"a", "b", "c"}
	if of, _, err := l.takeAll(c, sessions, rate); err != nil || l.count != 3 {
		t.Errorf("%s %v, %d entries", of, err, l.count)
	}
	slices.Reverse(sessions)
	if of, wait, err := l.takeAll(c, sessions, rate); err == nil || of != "c" || wait > time.Minute || wait < 50*time.Second {
		t.Errorf("%s %v %v", of, wait, err)
	}
}
