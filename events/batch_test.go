package events

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// AddEvents adds one by one, as a test has it.
func (b *siteBackend) AddEvents(ctx context.Context, events []storage.NewEvent) []storage.Result {
	return addEach(ctx, b, events)
}

func (b *fakeBackend) AddEvents(ctx context.Context, events []storage.NewEvent) []storage.Result {
	return addEach(ctx, b, events)
}

func addEach(ctx context.Context, b Backend, events []storage.NewEvent) []storage.Result {
	results := make([]storage.Result, len(events))
	for i, e := range events {
		var err error
		if results[i], err = b.AddEvent(ctx, e.Session, e.ID, e.Data); err != nil {
			results[i].Err = err
		}
	}
	return results
}

var ndjson = header("Content-Type", "application/x-ndjson")

// statuses are the statuses of a batch's results.
func statusesOf(t *testing.T, a answer) (statuses []string) {
	t.Helper()
	v := a.json(t)
	results, _ := v["results"].([]any)
	for _, r := range results {
		statuses = append(statuses, fmt.Sprint(r.(map[string]any)["status"]))
	}
	return statuses
}

func TestBatch(t *testing.T) {
	s := newTestSite(t)
	for name, send := range map[string]func(events ...string) answer{
		"array": func(events ...string) answer {
			return s.do("POST", "/api/events", " [ "+strings.Join(events, " ,\n")+"\n]\n")
		},
		"ndjson": func(events ...string) answer {
			return s.do("POST", "/api/events", strings.Join(events, "\r\n\n")+"\n", ndjson)
		},
	} {
		t.Run(name, func(t *testing.T) {
			session := func(id string) string { return strings.Replace(event(id), `"s"`, `"`+name+`"`, 1) }
			a := send(session("1"), session("2"), session("3"))
			a.want(t, 201, "")
			v := a.json(t)
			if v["success"] != true || v["accepted"] != 3.0 || fmt.Sprint(statusesOf(t, a)) != "[201 201 201]" {
				t.Error(a.body)
			}
			first := v["results"].([]any)[0].(map[string]any)
			if first["eventId"] != "1" || first["cursor"] == nil || first["sessionId"] != name {
				t.Error(a.body)
			}
			again := send(session("2"), session("4"))
			if again.want(t, 201, ""); fmt.Sprint(statusesOf(t, again)) != "[200 201]" {
				t.Error(again.body)
			}
			some := send(`{"type":"a:b"}`, session("5"), `{}`, session("6"))
			some.want(t, 207, "")
			if v := some.json(t); fmt.Sprint(statusesOf(t, some)) != "[400 201 400 201]" || v["success"] != false || v["accepted"] != 2.0 {
				t.Error(some.body)
			}
			if !strings.Contains(some.body, `{"status":400,"error":"invalid event","message":"sessionId is missing","field":"sessionId"}`) {
				t.Error(some.body)
			}
			none := send(`{}`, `7`)
			if none.want(t, 400, ""); fmt.Sprint(statusesOf(t, none)) != "[400 400]" {
				t.Error(none.body)
			}
			var ids []string
			for _, e := range s.do("GET", "/api/events/"+name, "").json(t)["events"].([]any) {
				ids = append(ids, e.(map[string]any)["id"].(string))
			}
			if fmt.Sprint(ids) != "[1 2 3 4 5 6]" {
				t.Errorf("stored in the order %v", ids)
			}
		})
	}
}

func TestBatchBounds(t *testing.T) {
	s := newTestSite(t, func(_ *Site, _ *siteBackend, c *Config) { c.Limits.MaxMessage = 300 })
	many := func(n int) string {
		events := make([]string, n)
		for i := range events {
			events[i] = event(fmt.Sprint(i))
		}
		return "[" + strings.Join(events, ",") + "]"
	}
	s.do("POST", "/api/events", many(maxBatchEvents)).want(t, 201, "")
	s.do("POST", "/api/events", many(maxBatchEvents+1)).want(t, 413, "batch too large")
	s.do("POST", "/api/events", "[]").want(t, 400, "empty batch")
	s.do("POST", "/api/events", "\n\n", ndjson).want(t, 400, "empty batch")
	s.do("POST", "/api/events", "["+strings.Repeat(" ", maxBatch-2)+"]").want(t, 400, "empty batch")
	s.do("POST", "/api/events", "["+strings.Repeat(" ", maxBatch)+"]", func(r *http.Request) { r.ContentLength = -1 }).want(t, 413, "batch too large")
	s.do("POST", "/api/events", "x", func(r *http.Request) { r.ContentLength = maxBatch + 1 }).want(t, 413, "body too large")
	long := strings.Replace(event("long"), "}", `,"x":"`+strings.Repeat("x", 300)+`"}`, 1)
	if a := s.do("POST", "/api/events", "["+event("a")+","+long+"]"); a.status != 207 || fmt.Sprint(statusesOf(t, a)) != "[201 413]" {
		t.Error(a.body)
	}
	for body, want := range map[string]string{
		"[" + event("b"):                    "unexpected end at byte",
		"[" + event("b") + event("b") + "]": "a comma or ] is expected at byte",
		"[" + event("b") + ",]":             "at byte",
		"[" + event("b") + "] x":            "found more after it at byte",
		"[":                                 "unexpected end at byte 1",
	} {
		a := s.do("POST", "/api/events", body)
		a.want(t, 400, "invalid JSON")
		if m, _ := a.json(t)["message"].(string); !strings.Contains(m, want) {
			t.Errorf("%q: %s", body, a.body)
		}
	}
	if a := s.do("GET", "/api/events/s?limit=1000", ""); strings.Contains(a.body, `"id":"b"`) {
		t.Error("an array that is no JSON left something behind")
	}
}

// What storage does to each event is told of each; when it takes none the batch is
// to be sent again.
func TestBatchOutcome(t *testing.T) {
	var results []storage.Result
	var errs []error
	s := newTestSite(t, func(_ *Site, b *siteBackend, _ *Config) {
		b.add = func(context.Context) (r storage.Result, err error) {
			r, err = results[0], errs[0]
			results, errs = results[1:], errs[1:]
			return r, err
		}
	})
	away := &storage.UnavailableError{Reason: "away", RetryAfter: 7 * time.Second}
	send := func(rs []storage.Result, es []error) answer {
		results, errs = rs, es
		return s.do("POST", "/api/events", "["+event("1")+","+event("2")+"]")
	}
	pending := storage.Result{Pending: true}
	a := send([]storage.Result{{}, pending}, []error{nil, nil})
	if a.want(t, 201, ""); a.header.Get("Lifeline-Degraded") != "true" {
		t.Errorf("%d %s", a.status, a.body)
	}
	a = send([]storage.Result{{}, {Pending: true, Volatile: true}}, []error{nil, nil})
	if a.want(t, 202, ""); fmt.Sprint(statusesOf(t, a)) != "[201 202]" || !strings.Contains(a.body, `"durable":false`) {
		t.Error(a.body)
	}
	a = send([]storage.Result{{}, {}}, []error{nil, away})
	if a.want(t, 207, ""); fmt.Sprint(statusesOf(t, a)) != "[201 503]" || a.header.Get("Retry-After") != "7" {
		t.Error(a.body)
	}
	a = send([]storage.Result{{}, {}}, []error{away, away})
	if a.want(t, 503, ""); a.header.Get("Retry-After") != "7" || a.json(t)["accepted"] != 0.0 {
		t.Error(a.body)
	}
}

// Whose session it is counts for each event of a batch.
func TestBatchOfSeveralOwners(t *testing.T) {
	s := newTestSite(t, mixedSite)
	if _, err := s.Hub.store().SetSession(t.Context(), storage.Session{ID: "s", User: "ann"}); err != nil {
		t.Fatal(err)
	}
	free := strings.Replace(event("2"), `"s"`, `"free"`, 1)
	a := s.do("POST", "/api/events", "["+event("1")+","+free+","+event("3")+"]", as("bob"))
	if a.want(t, 207, ""); fmt.Sprint(statusesOf(t, a)) != "[403 201 403]" {
		t.Error(a.body)
	}
	if a := s.do("POST", "/api/events", "["+event("1")+"]", as("bob")); a.status != 403 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.do("POST", "/api/events", "["+event("1")+","+event("3")+"]", as("ann")); a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if got := idsIn(t, s.do("GET", "/api/events/s", "", as("ann"))); fmt.Sprint(got) != "[1 3]" {
		t.Errorf("stored are %v", got)
	}
}
