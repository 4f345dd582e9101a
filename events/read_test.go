package events

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func TestRead(t *testing.T) {
	s := newTestSite(t)
	a := s.do("GET", "/api/events/s", "")
	if a.status != 200 || a.body != `{"sessionId":"s","count":0,"events":[],"cursor":"v1.0.0-0","hasMore":false}` {
		t.Errorf("unknown session: %d %s", a.status, a.body)
	}
	s.fill(t, 1, 105)
	a = s.do("GET", "/api/events/s", "")
	v := a.json(t)
	if fmt.Sprint(keysOf(v)) != "[before count cursor events hasMore sessionId]" || v["count"] != 100.0 || v["hasMore"] != true {
		t.Errorf("%v", v)
	}
	if ids := a.ids(t); !strings.HasPrefix(ids, "6 7 ") || !strings.HasSuffix(ids, " 104 105") {
		t.Errorf("newest hundred: %s", ids)
	}
	head := v["cursor"].(string)

	page := s.do("GET", "/api/events/s?limit=3&before="+head, "")
	if got := page.ids(t); got != "102 103 104" || page.json(t)["hasMore"] != true {
		t.Errorf("before: %s", page.body)
	}
	older := s.do("GET", "/api/events/s?before="+page.json(t)["before"].(string), "")
	if got := older.ids(t); !strings.HasPrefix(got, "2 3 ") || !strings.HasSuffix(got, " 100 101") {
		t.Errorf("paging back: %s", older.body)
	}
	page = s.do("GET", "/api/events/s?since=1970-01-01T00:00:00Z&limit=2", "")
	if got := page.ids(t); got != "1 2" || page.json(t)["hasMore"] != true {
		t.Errorf("since: %s", page.body)
	}
	next := s.do("GET", "/api/events/s?limit=2&since="+page.json(t)["cursor"].(string), "")
	if got := next.ids(t); got != "3 4" {
		t.Errorf("next: %s", got)
	}
	// The + of a zone, not escaped, arrives as a space.
	if got := s.do("GET", "/api/events/s?limit=1&since=1970-01-01T01:00:00+01:00", "").ids(t); got != "1" {
		t.Errorf("zone: %s", got)
	}
	if got := s.do("GET", "/api/events/s?since=&before=&limit=", "").json(t)["count"]; got != 100.0 {
		t.Errorf("empty parameters are absent ones: %v", got)
	}
	gap := s.do("GET", "/api/events/s?since=v1.00000000002a.1-1", "")
	if v := gap.json(t); v["gap"] != true {
		t.Errorf("foreign epoch: %s", gap.body)
	}
}

func TestReadParameters(t *testing.T) {
	s := newTestSite(t)
	const number = " must be a whole number from 1 to 1000"
	tests := []struct{ path, query, field, message string }{
		{"s", "limit=0", "limit", "limit" + number},
		{"s", "limit=-1", "limit", "limit" + number},
		{"s", "limit=1001", "limit", "limit" + number},
		{"s", "limit=ten", "limit", "limit" + number},
		{"s", "limit=1.5", "limit", "limit" + number},
		{"s", "limit=1&limit=2", "limit", "limit is given twice"},
		{"s", "since=yesterday", "since", `since is "yesterday": neither a cursor nor an RFC 3339 time`},
		{"s", "before=v1.x", "before", `before is "v1.x": neither a cursor nor an RFC 3339 time`},
		{"s", "since=v1.0.1-1&before=v1.0.1-1", "before", "before cannot be given together with since"},
		{"s", "since=v1.0.1-1&since=v1.0.1-1", "since", "since is given twice"},
		{"s", "wait=5", "wait", ""},
		{"s", "wait=1", "wait", ""},
		{"s/recent", "types=a:b", "types", ""},
		{"s/recent", "types=", "types", ""},
		{"s/recent", "limit=0", "limit", "limit" + number},
		{"s/recent", "seconds=0", "seconds", "seconds must be a whole number from 1 to 31622400"},
		{"s/recent", "seconds=60s", "seconds", "seconds must be a whole number from 1 to 31622400"},
		{"poll/s", "limit=0", "limit", "limit" + number},
		{"poll/s", "since=x", "since", `since is "x": neither a cursor nor an RFC 3339 time`},
		{"stream/s", "types=x", "types", `types "x" is not of the form namespace:name`},
		{"stream/s", "wait=1", "wait", ""},
		{"stream", "session=s&types=x", "types", `types "x" is not of the form namespace:name`},
		{"stream/s", "since=x&since=y", "since", "since is given twice"},
		{"s", "x=%zz&apiKey=geheim%zz", "", "it contains a semicolon or a % that starts no escape"},
	}
	for _, tt := range tests {
		a := s.do("GET", "/api/events/"+tt.path+"?"+tt.query, "")
		if a.status != 400 {
			t.Errorf("%s?%s: %d %s", tt.path, tt.query, a.status, a.body)
			continue
		}
		v := a.json(t)
		field, _ := v["field"].(string)
		message, _ := v["message"].(string)
		if field != tt.field || message != tt.message || strings.Contains(a.body, "geheim") {
			t.Errorf("%s?%s: %s", tt.path, tt.query, a.body)
		}
		if tt.message == "" && v["error"] != `unknown parameter "`+tt.field+`"` {
			t.Errorf("%s?%s: %s", tt.path, tt.query, a.body)
		}
	}
	// What existing clients add by themselves is none of our business.
	for _, query := range []string{"_=1700000000", "cache=no&x=1&x=2", "apiKey=x", "before=v1.0.1-1"} {
		s.do("GET", "/api/events/s?"+query, "").want(t, 200, "")
		s.do("GET", "/api/events/poll/s?"+query, "").want(t, 200, "")
	}
}

func TestRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t)
		s.fill(t, 1, 3)
		time.Sleep(50 * time.Second)
		s.fill(t, 4, 60)
		time.Sleep(20 * time.Second)
		get := func(query string) answer {
			t.Helper()
			a := s.do("GET", "/api/events/s/recent"+query, "")
			a.want(t, 200, "")
			return a
		}
		a := get("")
		v := a.json(t)
		if fmt.Sprint(keysOf(v)) != "[count cutoffTime events sessionId]" || v["count"] != 50.0 ||
			v["cutoffTime"] != time.Now().Add(-time.Minute).UTC().Format("2006-01-02T15:04:05.000000Z") {
			t.Errorf("%v", v)
		}
		if ids := a.ids(t); !strings.HasPrefix(ids, "11 12 ") || !strings.HasSuffix(ids, " 60") {
			t.Errorf("%s", ids)
		}
		if ids := get("?limit=100").ids(t); !strings.HasPrefix(ids, "4 5 ") {
			t.Errorf("last minute: %s", ids)
		}
		if ids := get("?limit=100&seconds=71").ids(t); !strings.HasPrefix(ids, "1 2 ") {
			t.Errorf("last 71 s: %s", ids)
		}
		if a := get("?seconds=10"); !strings.Contains(a.body, `"count":0,`) || !strings.Contains(a.body, `"events":[]}`) {
			t.Errorf("last 10 s: %s", a.body)
		}
	})
}

// A page says what storage says of it, and events pass through byte for byte,
// whatever their size.
func TestWritePage(t *testing.T) {
	big := `{"x":"` + strings.Repeat("<é&", joinSize) + `"}`
	small := "{ \"a\" :\t1.0}"
	page := storage.LogPage{
		Cursor: storage.Cursor{Epoch: 1, Pos: storage.Position{Micros: 7, Seq: 2}},
		Gap:    true, Degraded: true, HasMore: true,
	}
	for _, data := range []string{small, big, big, small, small, big} {
		page.Entries = append(page.Entries, storage.LogEntry{Data: []byte(data)})
	}
	s := newTestSite(t, func(_ *Site, b *siteBackend, _ *Config) {
		b.read = func(context.Context, storage.LogQuery) (storage.LogPage, error) { return page, nil }
	})
	a := s.do("GET", "/api/events/%3Cü%3E", "")
	want := `{"sessionId":"<ü>","count":6,"events":[` + strings.Join([]string{small, big, big, small, small, big}, ",") +
		`],"cursor":"v1.000000000001.7-2","hasMore":true,"gap":true,"degraded":true}`
	if a.body != want {
		t.Errorf("%d bytes, want %d", len(a.body), len(want))
	}
	if a.header.Get("Content-Length") != fmt.Sprint(len(want)) || a.header.Get("Lifeline-Degraded") != "true" {
		t.Errorf("headers %v", a.header)
	}
	for _, e := range page.Entries { // they belong to storage
		if d := string(e.Data); d != small && d != big {
			t.Fatalf("an event was changed: %.40s", d)
		}
	}
}

// Every kind of page says that it is what this server knows by itself.
func TestPagesDegraded(t *testing.T) {
	for _, degraded := range []bool{false, true} {
		s := newTestSite(t, func(_ *Site, b *siteBackend, _ *Config) {
			b.read = func(context.Context, storage.LogQuery) (storage.LogPage, error) {
				e := storage.LogEntry{Data: []byte("{}"), Received: time.Now(), Pending: true}
				return storage.LogPage{Entries: []storage.LogEntry{e}, Degraded: degraded}, nil
			}
		})
		for _, path := range []string{"/api/events/s", "/api/events/s/recent", "/api/events/poll/s"} {
			a := s.do("GET", path, "")
			v := a.json(t)
			if v["count"] != 1.0 || (v["degraded"] == true) != degraded || (a.header.Get("Lifeline-Degraded") == "true") != degraded {
				t.Errorf("%s, degraded %v: %v %s", path, degraded, a.header, a.body)
			}
		}
	}
}

// The same in the other order of sizes, where a buffer could be reused wrongly.
func TestJoiner(t *testing.T) {
	for _, sizes := range [][]int{{joinSize + 1, 1, 1}, {1, joinSize}, {joinSize - 1, 1, 1}, {0}, {joinSize, joinSize, 2}} {
		w := httptest.NewRecorder()
		j := joiner{w: w}
		want := ""
		parts := make([]string, 0, len(sizes))
		data := make([][]byte, 0, len(sizes))
		for i, n := range sizes {
			parts = append(parts, strings.Repeat(string(rune('a'+i)), n))
			data = append(data, []byte(parts[i]))
		}
		for i, d := range data {
			j.write(d)
			want += parts[i]
		}
		j.flush()
		if w.Body.String() != want {
			t.Errorf("%v: wrong bytes", sizes)
		}
		for i, d := range data {
			if string(d) != parts[i] {
				t.Errorf("%v: changed what it was given", sizes)
			}
		}
	}
}
