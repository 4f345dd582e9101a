package events

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func idsIn(t *testing.T, a answer) (ids []string) {
	t.Helper()
	events, _ := a.json(t)["events"].([]any)
	for _, e := range events {
		ids = append(ids, e.(map[string]any)["id"].(string))
	}
	return ids
}

// inBackground makes a request whose answer comes later.
func (s *testSite) inBackground(target string, edits ...func(*http.Request)) <-chan answer {
	answers := make(chan answer, 1)
	go func() { answers <- s.do("GET", target, "", edits...) }()
	return answers
}

func TestLongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t)
		defer s.Hub.Close()
		s.do("POST", "/api/events", event("1")).want(t, 201, "")
		start := time.Now()
		first := s.do("GET", "/api/events/poll/s?wait=30", "")
		if got := idsIn(t, first); fmt.Sprint(got) != "[1]" || time.Since(start) != 0 {
			t.Fatalf("what is there already: %v after %v", got, time.Since(start))
		}
		since := "/api/events/poll/s?wait=30s&since=" + first.json(t)["cursor"].(string)
		time.Sleep(time.Second)
		waiting := s.inBackground(since)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		select {
		case a := <-waiting:
			t.Fatalf("answered at once: %s", a.body)
		default:
		}
		s.do("POST", "/api/events", event("2")).want(t, 201, "")
		if got := idsIn(t, <-waiting); fmt.Sprint(got) != "[2]" {
			t.Fatalf("answered with %v", got)
		}
		time.Sleep(time.Second)
		start = time.Now()
		late := s.do("GET", since[:strings.Index(since, "since=")]+"since=2999-01-01T00:00:00Z", "")
		late.want(t, 200, "")
		took := time.Since(start)
		if v := late.json(t); took != 30*time.Second || v["count"] != 0.0 || v["timestamp"] == nil {
			t.Fatalf("after %v: %s", took, late.body)
		}
		// It has cost nothing of the poll rate.
		s.do("GET", "/api/events/poll/s", "").want(t, 200, "")
		s.do("GET", "/api/events/poll/s", "").want(t, 429, "Rate limit exceeded")
	})
}

// Answers to one client come in portions, and his second poll ends his first.
func TestLongPollsOfOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t)
		defer s.Hub.Close()
		s.do("POST", "/api/events", event("1")).want(t, 201, "")
		all := "/api/events/poll/s?wait=5&since=1970-01-01T00:00:00Z"
		start := time.Now()
		for range 3 {
			if got := idsIn(t, s.do("GET", all, "")); fmt.Sprint(got) != "[1]" {
				t.Fatalf("answered with %v", got)
			}
		}
		if took := time.Since(start); took != 2*longPollPause {
			t.Fatalf("three answers in %v", took)
		}
		time.Sleep(time.Second)
		none := "/api/events/poll/s?wait=20&since=2999-01-01T00:00:00Z"
		first := s.inBackground(none)
		synctest.Wait()
		start = time.Now()
		second := s.inBackground(none)
		if a := <-first; a.status != 200 || a.json(t)["count"] != 0.0 || time.Since(start) != 0 {
			t.Fatalf("the first was answered after %v: %s", time.Since(start), a.body)
		}
		// Another client is another matter.
		third := s.inBackground(none, header("X-Forwarded-For", ""), func(r *http.Request) { r.RemoteAddr = "[::1]:7" })
		<-second
		if time.Since(start) != 20*time.Second {
			t.Fatalf("the second was answered after %v", time.Since(start))
		}
		<-third
		time.Sleep(time.Second)
		s.Hub.longPolls.mu.Lock()
		defer s.Hub.longPolls.mu.Unlock()
		if n := len(s.Hub.longPolls.flights); n != 0 {
			t.Fatalf("%d are remembered", n)
		}
	})
}

func TestLongPollEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t, func(_ *Site, _ *siteBackend, c *Config) { c.Limits.MaxPolls = 2 })
		defer s.Hub.Close()
		none := func(session string) string { return "/api/events/poll/" + session + "?wait=30" }
		ctx, cancel := context.WithCancel(t.Context())
		gone := s.inBackground(none("a"), func(r *http.Request) { *r = *r.WithContext(ctx) })
		held := s.inBackground(none("b"))
		synctest.Wait()
		refused := s.do("GET", none("c"), "")
		refused.want(t, 503, "too many long polls")
		if refused.header.Get("Retry-After") == "" {
			t.Error("without Retry-After")
		}
		start := time.Now()
		cancel()
		<-gone
		s.Hub.Close()
		<-held
		if time.Since(start) > time.Second {
			t.Fatalf("answered %v after the end", time.Since(start))
		}
		for wait, ok := range map[string]bool{
			"31": false, "-1": false, "1h": false, "x": false, "": true, "0": true, "500ms": true, "30": true, "30s": true,
		} {
			q := query{url.Values{"wait": {wait}}}
			if _, problem := q.wait(); (problem == nil) != ok {
				t.Errorf("wait=%s: %v", wait, problem)
			}
		}
	})
}

// A session with much that is not wanted holds a poll for what is.
func TestLongPollWithTypes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t, func(_ *Site, _ *siteBackend, c *Config) { c.Limits.MaxQueueFrames = 2 })
		defer s.Hub.Close()
		waiting := s.inBackground("/api/events/poll/s?wait=30&types=chain:*,file:created")
		synctest.Wait()
		for i := range 20 {
			s.do("POST", "/api/events", event(fmt.Sprint(i))).want(t, 201, "")
		}
		wanted := strings.Replace(event("wanted"), "step:started", "chain:compiled", 1)
		s.do("POST", "/api/events", wanted).want(t, 201, "")
		if got := idsIn(t, <-waiting); fmt.Sprint(got) != "[wanted]" {
			t.Fatalf("answered with %v", got)
		}
	})
}

func TestTypes(t *testing.T) {
	s := newTestSite(t, func(_ *Site, b *siteBackend, _ *Config) { b.History.MaxLen = 5000 })
	var want []string
	for i := range 3000 {
		e := event(fmt.Sprint(i))
		if i%100 == 7 {
			e = strings.Replace(e, "step:started", "error:occurred", 1)
			want = append(want, fmt.Sprint(i))
		}
		if _, err := s.backend.AddEvent(t.Context(), "s", fmt.Sprint(i), []byte(e)); err != nil {
			t.Fatal(err)
		}
	}
	// Forward, page by page.
	var got []string
	cursor := "1970-01-01T00:00:00Z"
	for range 10 {
		a := s.do("GET", "/api/events/s?types=error:occurred&limit=7&since="+cursor, "")
		ids := idsIn(t, a)
		got = append(got, ids...)
		v := a.json(t)
		cursor = v["cursor"].(string)
		if v["hasMore"] != true {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("forward: %v", got)
	}
	// And back.
	got = nil
	before := ""
	for range 20 {
		a := s.do("GET", "/api/events/s?types=error:*&limit=7"+before, "")
		got = append(idsIn(t, a), got...)
		b, more := a.json(t)["before"].(string)
		if !more {
			break
		}
		before = "&before=" + b
	}
	if !slices.Equal(got, want) {
		t.Errorf("back: %v", got)
	}
	if a := s.do("GET", "/api/events/s?types=x:y&limit=1", ""); a.json(t)["count"] != 0.0 {
		t.Error(a.body)
	}
	for query, message := range map[string]string{
		"types=x":    `types "x" is not of the form namespace:name`,
		"types=":     `types "" is not of the form namespace:name`,
		"types=a:b,": `types "" is not of the form namespace:name`,
		"types=" + strings.Repeat("a:b,", 50) + "a:b": "types names 51 types, at most 50 are allowed",
	} {
		a := s.do("GET", "/api/events/s?"+query, "")
		if a.want(t, 400, "invalid parameter"); a.json(t)["message"] != message {
			t.Errorf("%s: %s", query, a.body)
		}
	}
}
