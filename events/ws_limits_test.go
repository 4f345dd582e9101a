package events

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/actionflows/lifeline/storage"
)

// discard is a socket to nowhere.
type discard struct{}

func (discard) Read([]byte) (int, error)      { return 0, errConnectionEnded }
func (discard) Write(p []byte) (int, error)   { return len(p), nil }
func (discard) Close() error                  { return nil }
func (discard) SetDeadline(t time.Time) error { return nil }

func limits(l Limits) func(*Config, *intervals) {
	return func(c *Config, _ *intervals) { c.Limits = l }
}

// wantRetry checks the reason of a close with 4429.
func wantRetry(t *testing.T, reason string) {
	t.Helper()
	var r struct{ RetryAfter int }
	if err := json.Unmarshal([]byte(reason), &r); err != nil || r.RetryAfter < 1 {
		t.Errorf("reason %q: %v", reason, err)
	}
}

func TestWSConnectionLimit(t *testing.T) {
	h := newTestHub(t, newMemory(t), limits(Limits{MaxConnections: 2}))
	s := hubServer(t, h)
	a := connect(t, s, "")
	connect(t, s, "")
	if status := dialStatus(t, s, "/ws"); status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
	if resp := get(t, s, "/"+testSession); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a stream: %d", resp.StatusCode)
	}
	browser := dial(t, s, "/ws", http.Header{"Origin": {"https://x"}})
	wantRetry(t, browser.wantClose(closeLimit))
	_ = a.conn.Close()
	wantSockets(t, h, 1)
	connect(t, s, "")
	h.SetLimits(Limits{MaxConnections: 3})
	connect(t, s, "")
	if status := dialStatus(t, s, "/ws"); status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
}

func TestWSPerIPLimit(t *testing.T) {
	h := newTestHub(t, newMemory(t), limits(Limits{MaxPerIP: 1}))
	s := hubServer(t, h)
	for _, local := range []string{"", "127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"} {
		connect(t, s, "?ip="+local)
		connect(t, s, "?ip="+local)
	}
	first := connect(t, s, "?ip=198.51.100.7")
	connect(t, s, "?ip=2001:db8::1")
	connect(t, s, "?ip=198.51.100.8")
	for _, ip := range []string{"198.51.100.7", "::ffff:198.51.100.7", "2001:db8::1", "2001:db8::ff:1"} {
		if status := dialStatus(t, s, "/ws?ip="+ip); status != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d", ip, status)
		}
		if status := dialStatus(t, s, "/refused?ip="+ip); status != http.StatusServiceUnavailable {
			t.Errorf("%s, to be refused: status %d", ip, status)
		}
	}
	_ = first.conn.Close()
	eventually(t, "the place", func() bool {
		h.connections.mu.Lock()
		defer h.connections.mu.Unlock()
		return len(h.connections.perIP) == 2
	})
	connect(t, s, "?ip=198.51.100.7")
}

func TestWSMessageRate(t *testing.T) {
	for name, frame := range map[string]ws.Frame{"messages": masked(text, true, ping), "pings": masked(ws.OpPing, true, "")} {
		t.Run(name, func(t *testing.T) {
			h := newTestHub(t, newMemory(t), limits(Limits{MessageRate: 5}))
			now := time.Now()
			h.now = func() time.Time { return now }
			c := connect(t, hubServer(t, h), "")
			for range 6 {
				c.raw(frame)
			}
			for range 5 {
				c.frame()
			}
			wantRetry(t, c.wantClose(closeLimit))
		})
	}
}

func TestWSBucket(t *testing.T) {
	b := bucket{tokens: 3}
	now := time.Now()
	want := func(ok bool) {
		t.Helper()
		if b.take(now, 3) != ok {
			t.Errorf("want %v", ok)
		}
	}
	for range 3 {
		want(true)
	}
	want(false)
	now = now.Add(334 * time.Millisecond)
	want(true)
	want(false)
	now = now.Add(time.Hour) // saves no more than one second's worth
	for range 3 {
		want(true)
	}
	want(false)
}

// A client that does not read is closed with 4408; the others get everything.
func TestWSSlowConsumer(t *testing.T) {
	h := newTestHub(t, newMemory(t), limits(Limits{MaxQueueBytes: 64 << 10}))
	s := hubServer(t, h)
	slow, quick := connect(t, s, ""), connect(t, s, "")
	slow.subscribe(testSession)
	quick.subscribe(testSession)
	data := []byte(fmt.Sprintf(`{"type":"a:b","sessionId":%q,"x":%q}`, testSession, strings.Repeat("x", 32<<10)))
	for n := 0; !isClosing(h.connections.sockets()); n++ {
		if n > 20_000 {
			t.Fatal("a client that does not read is never given up")
		}
		ev := Event{Session: testSession, ID: fmt.Sprint(n), Type: "a:b", Data: data}
		if _, err := h.Publish(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
		quick.want(`{"type":"event"}`)
	}
	slow.wantClose(closeSlow)
	quick.sync()
	wantSockets(t, h, 1)
}

// isClosing reports whether one of the connections has been given up.
func isClosing(sockets []*wsConn) bool {
	for _, c := range sockets {
		if !c.out.isOpen() {
			return true
		}
	}
	return false
}

func TestWSClockwork(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(_ *Config, i *intervals) { i.sweep = time.Hour })
	var mu sync.Mutex
	now := time.Now()
	h.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	after := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	s := hubServer(t, h)
	c := connect(t, s, "")
	sweep := func() { h.connections.sockets()[0].sweep(h.now()) }
	next := func() ws.OpCode {
		f, err := ws.ReadFrame(c.r)
		if err != nil {
			t.Fatal(err)
		}
		return f.Header.OpCode
	}
	after(19 * time.Second)
	sweep() // nothing is due
	after(time.Second)
	sweep()
	if m := c.want(`{"type":"pong"}`); m["clientId"] != nil {
		t.Errorf("the periodic pong is %v", m)
	}
	after(5 * time.Second)
	sweep()
	if op := next(); op != ws.OpPing {
		t.Fatalf("opcode %x, want a ping", op)
	}
	after(8 * time.Second)
	c.sync() // not idle: no pong message is due 7 s later
	// The answer is here before the writer has noted when it left.
	eventually(t, "the note of the last write", func() bool {
		return h.connections.sockets()[0].sent.Load() == h.now().UnixNano()
	})
	after(7 * time.Second)
	sweep()
	after(10 * time.Second)
	sweep()
	if op := next(); op != ws.OpPing {
		t.Fatalf("opcode %x, want a ping", op)
	}
	after(42 * time.Second) // 59 s after the last frame
	sweep()
	if op := next(); op != ws.OpText {
		t.Fatalf("opcode %x, want a pong message", op)
	}
	if op := next(); op != ws.OpPing {
		t.Fatalf("opcode %x, want a ping", op)
	}
	c.raw(masked(ws.OpPong, true, ""))
	c.sync()
	after(60 * time.Second)
	sweep()
	c.wantEnd()
	wantSockets(t, h, 0)
}

func TestWSSweeps(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(_ *Config, i *intervals) {
		i.sweep, i.pong, i.idle = time.Millisecond, time.Millisecond, 0
	})
	connect(t, hubServer(t, h), "").want(`{"type":"pong"}`)
}

func TestWSRefuse(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	c := dial(t, s, "/refused", nil)
	f := c.frame()
	if f.Header.OpCode != ws.OpClose || string(f.Payload[2:]) != "not you" {
		t.Fatalf("got %x %q", f.Header.OpCode, f.Payload)
	}
	// The client says nothing: the connection ends all the same.
	began := time.Now()
	c.wantEnd()
	if d := time.Since(began); d > 1500*time.Millisecond {
		t.Errorf("it took %v", d)
	}
	wantSockets(t, h, 0)
	if status := dialStatus(t, s, "/ws"); status != 101 {
		t.Errorf("status %d", status)
	}
}

func TestWSReadmit(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	alice, bob := connect(t, s, "?user=alice"), connect(t, s, "?user=bob")
	st := openStream(t, s, "/"+testSession+"?user=bob", nil)
	st.next()
	h.Readmit(func(p Peer) (Grant, int, string) {
		if p.User == "bob" {
			return Grant{}, CloseUnauthenticated, "key revoked"
		}
		return Grant{Peer: p, Read: true}, 0, ""
	})
	if reason := bob.wantClose(CloseUnauthenticated); reason != "key revoked" {
		t.Errorf("reason %q", reason)
	}
	st.wantEnd()
	alice.sync()
}

// A connection that may stay, but as another one than it came, loses what is not
// for it.
func TestWSReadmitAsAnother(t *testing.T) {
	b := newMemory(t)
	if _, err := b.SetSession(t.Context(), storage.Session{ID: "s", User: "ann"}); err != nil {
		t.Fatal(err)
	}
	h := newTestHub(t, b)
	c := connect(t, hubServer(t, h), "")
	c.subscribe("s")
	h.Readmit(func(p Peer) (Grant, int, string) { return Grant{Peer: p, Read: true}, 0, "" })
	c.want(`{"type":"error","code":"forbidden","sessionId":"s"}`)
	c.send(`{"type":"input","sessionId":"s2","payload":1}`)
	c.want(`{"type":"error","code":"forbidden","sessionId":"s2"}`)
}

// Close ends everything with 1001 within 2 s, whatever the clients do.
func TestWSClose(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	polite, silent := connect(t, s, ""), connect(t, s, "")
	stuck := connect(t, s, "")
	stuck.subscribe(testSession)
	st := openStream(t, s, "/"+testSession, nil)
	st.next()
	big := []byte(`{"type":"a:b","x":"` + strings.Repeat("x", 1<<20) + `"}`)
	for i := range 16 { // more than the system's buffers take
		if _, err := h.Publish(t.Context(), Event{Session: testSession, ID: fmt.Sprint(i), Type: "a:b", Data: big}); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	closed := make(chan struct{})
	go func() { defer close(closed); h.Close() }()
	polite.wantClose(closeGoingAway)
	polite.raw(masked(ws.OpClose, true, ""))
	polite.wantEnd()
	silent.wantClose(closeGoingAway)
	<-closed
	if d := time.Since(began); d > 2500*time.Millisecond { // 2 s, and a busy machine
		t.Errorf("Close took %v", d)
	}
	if w, st := h.Counts(); w != 0 || st != 0 {
		t.Errorf("%d WebSockets and %d streams are left", w, st)
	}
	h.Close()
	if status := dialStatus(t, s, "/ws"); status != http.StatusServiceUnavailable {
		t.Errorf("a new WebSocket: %d", status)
	}
	if resp := get(t, s, "/"+testSession); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a new stream: %d", resp.StatusCode)
	}
	publishEvent(t, h, "after")
}

func TestWSCloseIsQuickWhenIdle(t *testing.T) {
	h := New(Config{Backend: newMemory(t)})
	began := time.Now()
	h.Close()
	if d := time.Since(began); d > time.Second {
		t.Errorf("it took %v", d)
	}
}
