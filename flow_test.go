package lifeline_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
)

// driverCaddyfiles are the three drivers; polls may be as frequent as they like.
func driverCaddyfile(t *testing.T, driver string) string {
	t.Helper()
	if driver == "redis" {
		driver = "redis " + redistest.Start(t).URL()
	}
	return site("lifeline {\n storage "+driver+"\n}", "poll_rate 1000 1s")
}

// publishers posts count events from each of n publishers at once, one after the
// other each, and answers the ids by publisher.
func (s *server) publishers(session string, n, count int) [][]string {
	s.t.Helper()
	ids := make([][]string, n)
	var wg sync.WaitGroup
	for p := range n {
		wg.Go(func() {
			for i := range count {
				id := fmt.Sprintf("p%d-%04d", p, i)
				a, err := s.try(http.MethodPost, "/api/events", stepEvent(session, id, i), asJSON)
				if err != nil || a.status/100 != 2 {
					s.t.Errorf("post %s: %v %v", id, a, err)
					return
				}
				ids[p] = append(ids[p], id)
			}
		})
	}
	wg.Wait()
	return ids
}

// history answers all event ids of a session, by pages.
func (s *server) history(session string) []string {
	s.t.Helper()
	var ids []string
	cursor := "1970-01-01T00:00:00Z"
	for {
		a := s.get("/api/events/" + url.PathEscape(session) + "?limit=70&since=" + url.QueryEscape(cursor))
		var page struct {
			Events  []json.RawMessage
			Cursor  string
			HasMore bool
		}
		if err := json.Unmarshal([]byte(a.raw), &page); err != nil || a.status != http.StatusOK {
			s.t.Fatalf("history: %v %v", a, err)
		}
		for _, e := range page.Events {
			ids = append(ids, eventID(e))
		}
		if !page.HasMore {
			return ids
		}
		cursor = page.Cursor
	}
}

// inPublisherOrder checks that got holds the ids of every publisher, each once
// and in its order, and nothing else.
func inPublisherOrder(t *testing.T, who string, got []string, published [][]string) {
	t.Helper()
	want := 0
	for _, ids := range published {
		want += len(ids)
		var mine []string
		prefix, _, _ := strings.Cut(ids[0], "-")
		for _, id := range got {
			if strings.HasPrefix(id, prefix+"-") {
				mine = append(mine, id)
			}
		}
		if !slices.Equal(mine, ids) {
			t.Errorf("%s: publisher %s: got %d events %v, want %d", who, prefix, len(mine), mine, len(ids))
		}
	}
	if len(got) != want {
		t.Errorf("%s: got %d events, want %d", who, len(got), want)
	}
}

func TestEveryTransportSeesEachEventOnce(t *testing.T) {
	for _, driver := range []string{"disk", "memory", "redis"} {
		t.Run(driver, func(t *testing.T) {
			s := start(t, driverCaddyfile(t, driver))
			const session = "a session/ü"
			c := s.dial(nil)
			c.subscribe(t, session, "")
			st := s.follow(session, nil)
			empty := s.get("/api/events/poll/" + url.PathEscape(session))
			if ts := empty.text("timestamp"); ts != "1970-01-01T00:00:00.000000Z" {
				t.Errorf("the timestamp of an empty session is %q", ts)
			}
			stop := make(chan struct{})
			defer close(stop)
			poller := s.poll(session, empty.text("timestamp"), 5*time.Millisecond, stop)

			published := s.publishers(session, 4, 60)
			const all = 4 * 60
			history := s.history(session)
			inPublisherOrder(t, "history", history, published)
			for who, l := range map[string]*readerLog{"websocket": &c.readerLog, "stream": &st.readerLog, "poller": poller} {
				if got := l.waitFor(t, all); !slices.Equal(got, history) {
					t.Errorf("%s: got %v\nhistory is %v", who, got, history)
				}
			}
			s.resumeEverywhere(session, history)
		})
	}
}

// resumeEverywhere comes back with a position from the middle by each transport.
func (s *server) resumeEverywhere(session string, history []string) {
	s.t.Helper()
	const seen = 100
	a := s.get(fmt.Sprintf("/api/events/%s?limit=%d&since=1970-01-01T00:00:00Z", url.PathEscape(session), seen))
	cursor := a.text("cursor")
	rest := history[seen:]

	c := s.dial(nil)
	if f := c.subscribe(s.t, session, cursor); f["recovered"] != true {
		s.t.Errorf("subscribe with a cursor: %v", f)
	}
	st := s.follow(session, url.Values{"since": {cursor}})
	again := s.follow(session, nil, "Last-Event-ID: "+cursor)
	stop := make(chan struct{})
	defer close(stop)
	poller := s.poll(session, cursor, time.Millisecond, stop)
	for who, l := range map[string]*readerLog{
		"websocket": &c.readerLog, "stream": &st.readerLog, "Last-Event-ID": &again.readerLog, "poller": poller,
	} {
		if got := l.waitFor(s.t, len(rest)); !slices.Equal(got, rest) {
			s.t.Errorf("%s resumed: got %v\nwant %v", who, got, rest)
		}
	}
}

func TestPostAnswers(t *testing.T) {
	s := start(t, site("", ""))
	first := s.post(stepEvent("s", "one", 1))
	if first.status != http.StatusCreated || first.body["success"] != true ||
		first.text("eventId") != "one" || first.text("sessionId") != "s" || first.text("cursor") == "" {
		t.Errorf("first: %v", first)
	}
	if _, pending := first.body["pending"]; pending {
		t.Errorf("a healthy event is pending: %v", first)
	}
	again := s.post(stepEvent("s", "one", 1))
	if again.status != http.StatusOK || again.body["duplicate"] != true || again.text("cursor") != first.text("cursor") {
		t.Errorf("again: %v, first was %v", again, first)
	}
	if got := s.history("s"); !slices.Equal(got, []string{"one"}) {
		t.Errorf("history: %v", got)
	}
}

func TestSecondPollIsTooEarly(t *testing.T) {
	s := start(t, site("", ""))
	s.post(stepEvent("s", "one", 1))
	if a := s.get("/api/events/poll/s"); a.status != http.StatusOK || a.body["pollingMode"] != true {
		t.Fatalf("first poll: %v", a)
	}
	a := s.get("/api/events/poll/s")
	if a.status != http.StatusTooManyRequests || a.text("error") != "Rate limit exceeded" {
		t.Errorf("second poll: %v", a)
	}
	retry := a.header.Get("Retry-After")
	if fmt.Sprint(a.body["retryAfter"]) != retry || retry < "1" || retry > "5" {
		t.Errorf("second poll: Retry-After %q, %v", retry, a)
	}
	s.post(stepEvent("other", "one", 1))
	if a := s.get("/api/events/poll/other"); a.status != http.StatusOK {
		t.Errorf("another session: %v", a)
	}
}

func TestHubsAreApart(t *testing.T) {
	s := start(t, "{\nadmin ADMIN\nlifeline {\nstorage memory\n}\nlifeline side {\nstorage memory\n}\n}\n"+
		"http://localhost:PORT {\nhandle_path /side/* {\nlifeline side\n}\nlifeline\nrespond /other fine\n}\n")
	s.post(stepEvent("s", "main", 1))
	a := s.do(http.MethodPost, "/side/api/events", stepEvent("s", "side", 1), asJSON)
	if a.status != http.StatusCreated {
		t.Fatalf("post under a prefix: %v", a)
	}
	if got := s.history("s"); !slices.Equal(got, []string{"main"}) {
		t.Errorf("main hub: %v", got)
	}
	if a := s.get("/side/api/events/s"); a.body["count"] != 1.0 {
		t.Errorf("side hub: %v", a)
	}
	if a := s.get("/other"); a.raw != "fine" {
		t.Errorf("the next handler: %v", a)
	}
}

// TestPagingBack reads a session from its end to its beginning.
func TestPagingBack(t *testing.T) {
	s := start(t, site("", ""))
	published := s.publishers("s", 1, 25)
	var got []string
	query := "limit=10"
	for {
		a := s.get("/api/events/s?" + query)
		var page struct {
			Events  []json.RawMessage
			Before  string
			HasMore bool
		}
		if err := json.Unmarshal([]byte(a.raw), &page); err != nil {
			t.Fatalf("%v: %v", a, err)
		}
		var ids []string
		for _, e := range page.Events {
			ids = append(ids, eventID(e))
		}
		got = append(ids, got...)
		if page.HasMore != (page.Before != "") {
			t.Errorf("hasMore and before do not agree: %v", a)
		}
		if !page.HasMore {
			break
		}
		query = "limit=10&before=" + url.QueryEscape(page.Before)
	}
	if !slices.Equal(got, published[0]) {
		t.Errorf("got %v", got)
	}
}
