package events

import (
	"strings"
	"testing"
	"time"
)

// TestCloseWithin draws the moments of 1000 connections.
func TestCloseWithin(t *testing.T) {
	var r registry
	r.init()
	all := make([]*wsConn, 1000)
	for i := range all {
		all[i] = new(wsConn)
		all[i].grant(Grant{})
		r.add(all[i])
	}
	begin := time.Unix(1000, 0)
	at := func(d time.Duration) int { return len(r.takeDue(begin.Add(d))) }

	r.closeWithin(time.Minute, begin)
	r.remove(all[0])
	r.closeWithin(time.Hour, begin) // a second reload; whoever has a moment keeps it
	if n := at(30*time.Second - 1); n != 0 {
		t.Errorf("%d are closed before half of the time", n)
	}
	middle := at(45 * time.Second)
	if middle < 400 || middle > 600 {
		t.Errorf("%d of 1000 are closed in half of the rest", middle)
	}
	if n := at(time.Minute); n != 999-middle {
		t.Errorf("then %d", n)
	}
	if n := at(time.Hour); n != 0 {
		t.Errorf("%d are closed twice", n)
	}

	r.closeWithin(time.Minute, begin)
	r.closeWithin(0, begin) // and a configuration that lets them stay
	if n := at(time.Hour); n != 0 || r.due != nil {
		t.Errorf("%d are closed after all", n)
	}
}

// TestCloseWithinEndsConnections: a WebSocket with 1001 and when to come again, a
// stream just so; one that came later stays.
func TestCloseWithinEndsConnections(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(_ *Config, i *intervals) { i.sweep = time.Millisecond })
	s := hubServer(t, h)
	a := connect(t, s, "")
	st := openStream(t, s, "/"+testSession, nil)
	st.wantStart()
	h.CloseWithin(time.Nanosecond)
	if reason := a.wantClose(closeGoingAway); !strings.Contains(reason, "retryAfter") {
		t.Errorf("reason %q", reason)
	}
	st.wantEnd()
	wantSockets(t, h, 0)
	late := connect(t, s, "")
	h.closeDue(h.now().Add(time.Hour))
	late.send(`{"type":"ping"}`)
	late.want(`{"type":"pong"}`)
}
