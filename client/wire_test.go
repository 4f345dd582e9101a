package client

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gobwas/ws/wsutil"
)

// told is a follower whose notices are written down.
func told(t *testing.T, c *Client, ids ...string) (f *follower, log func() []string) {
	t.Helper()
	var lines []string
	note := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	f = newFollower(c, Subscription{
		Sessions: ids, Types: []string{"a:*"},
		OnReset:   func(id string, why Reset) { note("%s %s", id, why) },
		OnStorage: func(s Storage) { note("%v", s) },
	})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case n := <-f.out:
				if n.tell != nil {
					n.tell()
				} else {
					note("%s/%s at %s", n.event.Session, n.event.ID, n.event.Cursor)
				}
			case <-stop:
				return
			}
		}
	}()
	return f, func() []string {
		close(stop)
		<-stopped
		return lines
	}
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func cursorsOf(f *follower) (list []string) {
	for _, id := range f.sessions.ids {
		list = append(list, id+"="+f.sessions.cursor(id))
	}
	return list
}

func event(session, id string) string {
	return fmt.Sprintf(`{"type":"a:b","sessionId":%q,"id":%q}`, session, id)
}

func TestBlocksOfAStream(t *testing.T) {
	c := &Client{options: Options{}.withDefaults()}
	composite := func(a, b string) string {
		return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"a":%q,"b":%q}`, a, b))
	}
	f, log := told(t, c, "a", "b")
	s := &stream{f: f}
	for _, b := range []block{
		{id: composite("a0", "b0")},
		{id: composite("a1", "b0"), data: event("a", "1")},
		{id: composite("a2", "b1"), data: event("b", "2")}, // and what was left out of a
		{id: composite("a2", "b1"), data: event("b", "2")}, // again
		{name: "lifeline.gap", data: `{"sessionId":"a","cursor":"a3"}`},
		{name: "lifeline.epoch", data: `{"sessionId":"b","cursor":"b3"}`},
		{name: "lifeline.status", data: `{"degraded":true,"reasons":["r"],"breakers":[{"name":"n","state":"open"}],"pending":7}`},
		{name: "lifeline.unknown", data: "nonsense"},
	} {
		if err := s.take(t.Context(), b); err != nil {
			t.Errorf("%+v: %v", b, err)
		}
	}
	same(t, log(), "a/1 at a1", "b/2 at b1", "a gap", "b epoch", "{true [r] [{n open}] 7}")
	same(t, cursorsOf(f), "a=a3", "b=b3")
	for _, b := range []block{{id: "!"}, {data: "{"}, {name: "lifeline.gap", data: "["}, {name: "lifeline.status", data: "5"}} {
		if err := s.take(t.Context(), b); err == nil {
			t.Errorf("%+v: no error", b)
		}
	}

	f, log = told(t, c, "a")
	s = &stream{f: f}
	for _, b := range []block{{id: "a1", data: event("a", "1")}, {id: "a2"}} {
		if err := s.take(t.Context(), b); err != nil {
			t.Error(err)
		}
	}
	same(t, log(), "a/1 at a1")
	same(t, cursorsOf(f), "a=a2")
}

func TestLinesOfAStream(t *testing.T) {
	var b block
	for _, line := range []string{": comment", "retry: 3000", "id: x: y", "event:name", "data: one", "data:two", "data", "nonsense"} {
		if b.add(line) {
			t.Errorf("%q ends the block", line)
		}
	}
	if !b.add("") || b != (block{id: "x: y", name: "name", data: "one\ntwo\n"}) {
		t.Errorf("%+v", b)
	}
}

func TestMessagesOfAWebSocket(t *testing.T) {
	f, log := told(t, &Client{options: Options{}.withDefaults()}, "a", "b")
	s := &socket{f: f}
	take := func(message string) error {
		var m frame
		if err := json.Unmarshal([]byte(message), &m); err != nil {
			t.Fatal(err)
		}
		return s.take(t.Context(), m)
	}
	for _, message := range []string{
		`{"type":"subscription_confirmed","sessionId":"a","cursor":"a0"}`,
		`{"type":"subscription_confirmed","sessionId":"b","cursor":"b0","recovered":false}`,
		`{"type":"event","sessionId":"a","cursor":"a1","payload":` + event("a", "1") + `}`,
		`{"type":"event","sessionId":"a","cursor":"a2","payload":` + event("a", "1") + `}`, // again
		`{"type":"event","sessionId":"b","payload":` + event("b", "1") + `}`,               // to everybody
		`{"type":"event","sessionId":"c","payload":` + event("c", "1") + `}`,               // of no session of ours
		`{"type":"event","sessionId":"a","cursor":"a3","payload":{"type":"session:ended","sessionId":"a","id":"2"}}`,
		`{"type":"cursor","sessionId":"b","cursor":"b4"}`,
		`{"type":"epoch","sessionId":"a","cursor":"a5"}`,
		`{"type":"epoch","sessionId":"b","cursor":"b5","gap":true}`,
		`{"type":"status","payload":{"degraded":true,"pending":3}}`,
		`{"type":"pong"}`, `{"type":"command","sessionId":"a","payload":{}}`,
	} {
		if err := take(message); err != nil {
			t.Errorf("%s: %v", message, err)
		}
	}
	same(t, log(), "b gap", "a/1 at a1", "b/1 at ", "a epoch", "b gap", "{true [] [] 3}")
	same(t, cursorsOf(f), "a=a5", "b=b5")
	for code, permanent := range map[string]bool{"forbidden": true, "bad_cursor": true, "too_many_subscriptions": false, "unavailable": false} {
		err := take(`{"type":"error","code":"` + code + `","sessionId":"a","payload":"a text"}`)
		if e, ok := errors.AsType[*Error](err); !ok || e.Permanent() != permanent || e.Session != "a" || e.Message != "a text" {
			t.Errorf("%s: %#v", code, err)
		}
	}
}

func TestClosesOfAWebSocket(t *testing.T) {
	for _, c := range []struct {
		closed    wsutil.ClosedError
		permanent bool
		wait      time.Duration
	}{
		{wsutil.ClosedError{Code: 4401, Reason: "bye"}, true, 0},
		{wsutil.ClosedError{Code: 4403}, true, 0},
		{wsutil.ClosedError{Code: 4408}, false, 0},
		{wsutil.ClosedError{Code: 4429, Reason: `{"retryAfter":7}`}, false, 7 * time.Second},
		{wsutil.ClosedError{Code: 1001, Reason: `{"retryAfter":1.5}`}, false, 1500 * time.Millisecond},
		{wsutil.ClosedError{Code: 1001, Reason: `{"retryAfter":1e9}`}, false, time.Hour},
		{wsutil.ClosedError{Code: 1001, Reason: `{"retryAfter":-5}`}, false, 0},
	} {
		if e := closed(c.closed); e.Permanent() != c.permanent || e.RetryAfter != c.wait {
			t.Errorf("%+v: %+v", c.closed, e)
		}
	}
}

func TestPagesOfPolls(t *testing.T) {
	f, log := told(t, &Client{options: Options{}.withDefaults()}, "a", "b")
	p := &poller{f: f}
	events := []json.RawMessage{[]byte(event("a", "1")), []byte(event("a", "2"))}
	for _, at := range []page{{Events: events, Cursor: "a2"}, {Events: events, Cursor: "a3", Gap: true}, {Cursor: "a4"}} {
		if err := p.take(t.Context(), "a", at); err != nil {
			t.Error(err)
		}
	}
	same(t, log(), "a/1 at ", "a/2 at a2", "a gap")
	same(t, cursorsOf(f), "a=a4", "b=")
	same(t, f.sessions.fresh(), "b")
}

// TestRemembersTheLastIDs: 5,000 of them; what is older comes again if it is sent again.
func TestRemembersTheLastIDs(t *testing.T) {
	all := newSessions(Subscription{Sessions: []string{"s"}})
	at := func(n int) Event { return Event{Session: "s", ID: fmt.Sprint(n)} }
	for n := range maxIDs + 10 {
		if !all.wanted(at(n)) {
			t.Fatalf("%d is not wanted", n)
		}
		all.passed(at(n))
		all.passed(at(n))
	}
	for n := range maxIDs + 10 {
		if all.wanted(at(n)) != (n < 10) {
			t.Errorf("%d is wanted: %v", n, n >= 10)
		}
	}
	if n := len(all.by["s"].seen); n != maxIDs {
		t.Errorf("%d are remembered", n)
	}
}

func TestEventSaysItsName(t *testing.T) {
	e, err := newEvent([]byte(`{"ID":5,"Type":"x","id":"","eventId":"e","type":"a:b","sessionId":"s","TYPE":"y"}`))
	if err != nil || e.ID != "e" || e.Type != "a:b" || e.Session != "s" {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestSilentStream: a comment every 15 s is a sign of life; 40 s without are none.
func TestSilentStream(t *testing.T) {
	answering(t, 0, func(_ int, w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 10 {
			fmt.Fprint(w, ":\n\n")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(15 * time.Second)
		}
		time.Sleep(time.Hour)
	}, func(t *testing.T, c *Client, _ *[]posted) {
		begin := time.Now()
		f, log := told(t, c, "s")
		l, err := f.open(t.Context(), SSE)
		if err != nil {
			t.Fatal(err)
		}
		err = l.serve(t.Context())
		if took := time.Since(begin); !errors.Is(err, errSilent) || took != 9*15*time.Second+40*time.Second {
			t.Errorf("%v after %s", err, took)
		}
		l.close()
		f.http.CloseIdleConnections()
		same(t, log())
		time.Sleep(time.Hour) // the hub's handler ends
	})
}
