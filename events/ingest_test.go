package events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/actionflows/lifeline/storage"
)

func TestIngest(t *testing.T) {
	s := newTestSite(t)
	in := `{"type":"step:started", "sessionId":"s","id":"1","timestamp":"2026-02-10T04:15:00.000Z"}`
	a := s.do("POST", "/api/events", in)
	a.want(t, 201, "")
	v := a.json(t)
	if fmt.Sprint(keysOf(v)) != "[cursor eventId receivedAt sessionId success]" ||
		v["success"] != true || v["eventId"] != "1" || v["sessionId"] != "s" {
		t.Errorf("%s", a.body)
	}
	c, err := storage.ParseCursor(v["cursor"].(string))
	if err != nil || c.Timestamp() != v["receivedAt"] {
		t.Errorf("cursor %v (%v), received at %v", v["cursor"], err, v["receivedAt"])
	}
	read := s.do("GET", "/api/events/s", "")
	if !strings.Contains(read.body, `"events":[`+in+`]`) {
		t.Errorf("stored as %s", read.body)
	}

	again := s.do("POST", "/api/events", in)
	again.want(t, 200, "")
	w := again.json(t)
	if w["duplicate"] != true || w["cursor"] != v["cursor"] || w["success"] != true {
		t.Errorf("repeated: %s", again.body)
	}
}

func TestIngestContent(t *testing.T) {
	s := newTestSite(t)
	for i, kind := range []string{
		"application/json", "application/json; charset=utf-8", `application/json;charset="UTF-8"`, "Application/JSON",
	} {
		s.do("POST", "/api/events", event(fmt.Sprint(i)), header("Content-Type", kind)).want(t, 201, "")
	}
	for kind, message := range map[string]string{
		"":                                 "there is none",
		"text/plain":                       "not text/plain",
		"application/json; charset=utf-16": "no charset but utf-8",
		"application/json; charset":        "it is malformed",
	} {
		a := s.do("POST", "/api/events", event("x"), header("Content-Type", kind))
		a.want(t, 415, "unsupported media type")
		v := a.json(t)
		if m, _ := v["message"].(string); !strings.HasPrefix(m, "JSON with Content-Type") || !strings.HasSuffix(m, message) || v["field"] != "Content-Type" {
			t.Errorf("%q: %s", kind, a.body)
		}
	}
	a := s.do("POST", "/api/events", event("x"), header("Content-Encoding", "gzip"))
	a.want(t, 415, "unsupported media type")
	if a.json(t)["field"] != "Content-Encoding" {
		t.Error(a.body)
	}
}

func TestIngestBody(t *testing.T) {
	const limit = 300
	s := newTestSite(t, func(_ *Site, _ *siteBackend, c *Config) { c.Limits.MaxMessage = limit })
	pad := func(n int) string {
		e := event("x")
		return e[:len(e)-1] + strings.Repeat(" ", n-len(e)) + "}"
	}
	s.do("POST", "/api/events", pad(limit)).want(t, 201, "")
	unknownLength := func(r *http.Request) { r.ContentLength = -1 }
	for _, edits := range [][]func(*http.Request){nil, {unknownLength}} {
		a := s.do("POST", "/api/events", pad(limit+1), edits...)
		a.want(t, 413, "event too large")
		if !strings.Contains(a.body, "at most 300 bytes") || !strings.Contains(a.body, `"details":{"limit":300}`) {
			t.Error(a.body)
		}
	}
	// A length that is too large is refused before the client is asked for the body.
	s.do("POST", "/api/events", "x", func(r *http.Request) {
		r.ContentLength, r.Body = limit+1, io.NopCloser(errReader{})
	}).want(t, 413, "event too large")
	a := s.do("POST", "/api/events", event("y"), func(r *http.Request) {
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"type"`), errReader{}))
	})
	a.want(t, 400, "incomplete body")

	for body, want := range map[string]string{
		event("z") + "\n" + event("z"): `found more after it at byte 88`,
		"\n":                           `found nothing at byte 1`,
		`{"type":`:                     `unexpected end at byte 8`,
		"{\"ü\":\"\xff\"}":             `not valid UTF-8 at byte 7`,
	} {
		a := s.do("POST", "/api/events", body)
		a.want(t, 400, "invalid JSON")
		if m, _ := a.json(t)["message"].(string); !strings.HasSuffix(m, want) {
			t.Errorf("%q: %s", body, a.body)
		}
	}
	a = s.do("POST", "/api/events", `{"type":"a:b","sessionId":"poll"}`)
	a.want(t, 400, "invalid event")
	if a.json(t)["field"] != "sessionId" {
		t.Error(a.body)
	}
	// None of these left anything behind.
	if n := s.do("GET", "/api/events/s", "").json(t)["count"]; n != 1.0 {
		t.Errorf("%v events", n)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestIngestOutcome(t *testing.T) {
	at := time.Date(2026, 2, 10, 4, 15, 0, 123_456_000, time.UTC)
	result := storage.Result{Cursor: storage.Cursor{Epoch: 5, Pos: storage.Position{Micros: at.UnixMicro(), Seq: 3}}, ReceivedAt: at}
	with := func(change func(*storage.Result)) storage.Result {
		r := result
		change(&r)
		return r
	}
	const head = `{"success":true,"eventId":"1","sessionId":"s","cursor":"v1.000000000005.1770696900123456-3","receivedAt":"2026-02-10T04:15:00.123456Z"`
	tests := []struct {
		result storage.Result
		status int
		body   string
	}{
		{result, 201, head + `}`},
		{with(func(r *storage.Result) { r.Volatile = true }), 201, head + `}`},
		{with(func(r *storage.Result) { r.Pending = true }), 201, head + `,"pending":true}`},
		{with(func(r *storage.Result) { r.Pending, r.Volatile = true, true }), 202, head + `,"pending":true,"durable":false}`},
		{with(func(r *storage.Result) { r.Duplicate = true }), 200, head + `,"duplicate":true}`},
		{with(func(r *storage.Result) { r.Duplicate, r.Pending = true, true }), 200, head + `,"pending":true,"duplicate":true}`},
		{with(func(r *storage.Result) { r.Duplicate, r.Pending, r.Volatile = true, true, true }), 200, head + `,"pending":true,"duplicate":true,"durable":false}`},
	}
	for _, tt := range tests {
		status, a := acceptance(Event{ID: "1", Session: "s"}, tt.result)
		if got := string(appendJSON(nil, a)); status != tt.status || got != tt.body {
			t.Errorf("%+v:\n%d %s, want\n%d %s", tt.result, status, got, tt.status, tt.body)
		}
	}
}

// An event that only the journal has is acknowledged by 201 where that is on disk,
// by 202 where it is not, and says that storage is degraded before the hub knows.
func TestIngestPending(t *testing.T) {
	for _, tt := range []struct {
		result   storage.Result
		status   int
		degraded string
	}{
		{storage.Result{}, 201, ""},
		{storage.Result{Pending: true}, 201, "true"},
		{storage.Result{Pending: true, Volatile: true}, 202, "true"},
	} {
		s := newTestSite(t, func(_ *Site, b *siteBackend, _ *Config) {
			b.add = func(context.Context) (storage.Result, error) { return tt.result, nil }
		})
		a := s.do("POST", "/api/events", event("1"))
		a.want(t, tt.status, "")
		v := a.json(t)
		_, undurable := v["durable"]
		if a.header.Get("Lifeline-Degraded") != tt.degraded || v["success"] != true ||
			(v["pending"] == true) != tt.result.Pending || undurable != tt.result.Volatile {
			t.Errorf("%+v: %v %s", tt.result, a.header, a.body)
		}
	}
}

func TestStorageErrors(t *testing.T) {
	tests := []struct {
		name       string
		err        error
		status     int
		text       string
		retryAfter string
		message    string
		logged     string
	}{
		{"unavailable", &storage.UnavailableError{Reason: "redis is down", RetryAfter: 2500 * time.Millisecond}, 503, "storage unavailable", "3", "redis is down", ""},
		{"no time", &storage.UnavailableError{Reason: "disk is full", Err: errors.New("/secret/path")}, 503, "storage unavailable", "1", "disk is full", ""},
		{"poison", storage.ErrPoison, 503, "session unavailable", "30", "this session's log cannot be written; others can", ""},
		{"closed", storage.ErrClosed, 503, "storage unavailable", "1", "the hub is shutting down", ""},
		{"late", context.DeadlineExceeded, 500, "internal error", "", "", "storage operation took too long"},
		{"other", errors.New("at 10.0.0.1: what?"), 500, "internal error", "", "", "storage operation failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			core, logs := observer.New(zap.DebugLevel)
			s := newTestSite(t, func(s *Site, b *siteBackend, _ *Config) {
				s.Logger = zap.New(core)
				err := fmt.Errorf("wrapped: %w", tt.err)
				b.add = func(context.Context) (storage.Result, error) { return storage.Result{}, err }
				b.read = func(context.Context, storage.LogQuery) (storage.LogPage, error) { return storage.LogPage{}, err }
			})
			requests := []answer{
				s.do("POST", "/api/events", event("1")), s.do("GET", "/api/events/s", ""),
				s.do("GET", "/api/events/s/recent", ""), s.do("GET", "/api/events/poll/s", ""),
				s.do("GET", "/api/events/poll/s", ""), // a poll that failed costs nothing
			}
			for _, a := range requests {
				a.want(t, tt.status, tt.text)
				message, _ := a.json(t)["message"].(string)
				if a.header.Get("Retry-After") != tt.retryAfter || message != tt.message {
					t.Errorf("Retry-After %q, %s", a.header.Get("Retry-After"), a.body)
				}
			}
			entries := logs.All()
			switch {
			case tt.logged == "" && len(entries) > 0:
				t.Errorf("logged: %v", entries)
			case tt.logged != "" && (len(entries) != len(requests) || entries[0].Message != tt.logged):
				t.Errorf("logged: %v", entries)
			}
		})
	}
}

// A request that was cancelled must not look like an acknowledgement, and is no
// error of ours.
func TestCancelled(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	s := newTestSite(t, func(s *Site, b *siteBackend, _ *Config) {
		s.Logger = zap.New(core)
		b.add = func(ctx context.Context) (storage.Result, error) { return storage.Result{}, ctx.Err() }
	})
	a := s.do("POST", "/api/events", event("1"), func(r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		*r = *r.WithContext(ctx)
	})
	a.want(t, 503, "request cancelled")
	if logs.Len() > 0 {
		t.Errorf("logged: %v", logs.All())
	}
}
