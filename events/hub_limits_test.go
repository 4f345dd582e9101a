package events

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A slow consumer is closed with 4408 and resumes with its cursor; nobody else
// waits for it, and the publisher never does.
func TestWSSlowConsumer(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(c *Config, i *intervals) {
		c.Limits.MaxQueueFrames = 64
		c.Limits.MaxQueueBytes = 4 << 20
		i.slow = clientTimeout // it reads on only once all is published
	})
	s := hubServer(t, h)
	slow, healthy := connect(t, s, ""), connect(t, s, "")
	cursor, _ := slow.subscribe(testSession)["cursor"].(string)
	healthy.subscribe(testSession)

	const events = 300
	got := make(chan string, events)
	go func() {
		defer close(got)
		for range events {
			m := healthy.read()
			payload, _ := m["payload"].(map[string]any)
			got <- fmt.Sprint(payload["id"])
		}
	}()
	pad := strings.Repeat("x", 64<<10) // more than the socket's buffers hold
	for i := range events {
		id := fmt.Sprint(i)
		data := appendJSON(nil, map[string]string{"id": id, "pad": pad})
		if _, err := h.Publish(t.Context(), Event{Session: testSession, ID: id, Type: "a:b", Data: data}); err != nil {
			t.Fatal(err)
		}
		if seen := <-got; seen != id { // its reader keeps up
			t.Fatalf("the healthy client got %s, want %s", seen, id)
		}
	}
	if reason := slow.wantClose(closeSlow); reason != "slow consumer" {
		t.Errorf("reason %q", reason)
	}
	again := connect(t, s, "")
	again.send(`{"type":"subscribe","sessionId":%q,"since":%q}`, testSession, cursor)
	again.want(`{"type":"subscription_confirmed","recovered":true}`)
	for i := range events {
		again.want(fmt.Sprintf(`{"type":"event","payload":{"id":"%d"}}`, i))
	}
}

func TestWSMessageRate(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(c *Config, _ *intervals) { c.Limits.MessageRate = 5 })
	c := connect(t, hubServer(t, h), "")
	for range 100 {
		c.send(`{"type":"ping"}`)
	}
	if reason := c.wantClose(closeLimit); reason != `{"retryAfter":1}` {
		t.Errorf("reason %q", reason)
	}
}

func TestConnectionLimits(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(c *Config, _ *intervals) {
		c.Limits.MaxConnections, c.Limits.MaxPerIP = 5, 2
	})
	s := hubServer(t, h)
	busy := func(parameters, want string) {
		t.Helper()
		resp, err := http.Get(s.URL + "/" + testSession + parameters)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(string(body), want) {
			t.Errorf("got %d %s", resp.StatusCode, body)
		}
	}
	one := connect(t, s, "?ip=198.51.100.1")
	connect(t, s, "?ip=198.51.100.1")
	busy("?ip=198.51.100.1", "trusted_proxies")
	// One IPv6 network counts as one address, and private ones do not count.
	connect(t, s, "?ip=2001:db8::1")
	connect(t, s, "?ip=2001:db8::2")
	busy("?ip=2001:db8::3", "trusted_proxies")
	connect(t, s, "?ip=192.168.0.1")
	busy("?ip=192.168.0.1", "too many connections")
	// A browser's script learns it from an accepted handshake.
	c := dial(t, s, "/ws?ip=192.168.0.1", http.Header{"Origin": {"https://a.example"}})
	if reason := c.wantClose(closeLimit); reason != `{"retryAfter":10}` {
		t.Errorf("reason %q", reason)
	}
	_ = one.conn.Close()
	wantSockets(t, h, 4)
	connect(t, s, "?ip=198.51.100.1")
}

func TestReadmit(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	kept, gone := connect(t, s, "?user=alice"), connect(t, s, "?user=bob")
	keptStream, goneStream := openStream(t, s, testSession+"?user=alice"), openStream(t, s, testSession+"?user=bob")
	kept.subscribe(testSession)
	h.Readmit(func(p Peer) (int, string) {
		if p.User == "alice" {
			return 0, ""
		}
		return CloseUnauthenticated, "not any longer"
	})
	if reason := gone.wantClose(CloseUnauthenticated); reason != "not any longer" {
		t.Errorf("reason %q", reason)
	}
	goneStream.wantEnd()
	publishEvent(t, h, "1")
	kept.want(`{"type":"event","payload":{"id":"1"}}`)
	keptStream.want("data: " + string(eventData(testSession, "1")))
}

// Close ends every connection with 1001, whatever its client does, within 2 s.
func TestHubClose(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	socket, stream := connect(t, s, ""), openStream(t, s, testSession)
	deaf := connect(t, s, "") // answers no close frame
	socket.subscribe(testSession)
	closed := make(chan struct{})
	begin := time.Now()
	go func() {
		defer close(closed)
		h.Close()
	}()
	socket.wantClose(closeGoingAway)
	stream.wantEnd()
	_ = socket.conn.Close()
	<-closed
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("Close took %s", took) // 2 s, and what a busy machine adds
	}
	deaf.wantClose(closeGoingAway)
	wantSockets(t, h, 0)
	publishEvent(t, h, "1") // storage closes after the hub
	resp, err := http.Get(s.URL + "/" + testSession)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a new stream after Close: %s", resp.Status)
	}
	h.Close()
}

func TestRefuseWebSocket(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	c := dial(t, s, "/refused", http.Header{"Origin": {"https://a.example"}})
	if f := c.frame(); f.Header.OpCode != 0x8 {
		t.Errorf("got %x %q before the close", f.Header.OpCode, f.Payload)
	}
	wantSockets(t, h, 0) // also when the client does not answer
}
