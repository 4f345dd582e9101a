package lifeline_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/actionflows/lifeline/internal/redistest"
)

// value is the value of one series of the metrics.
func (s *server) value(series string) float64 {
	s.t.Helper()
	name, _, _ := strings.Cut(series, "{")
	for _, line := range s.metric(name) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.t.Fatalf("%s: %v", line, err)
			}
			return n
		}
	}
	s.t.Fatalf("no series %s among %q", series, s.metric(name))
	return 0
}

// limited fails unless a limit has been met so often, or more often.
func (s *server) limited(limit string, times float64) {
	s.t.Helper()
	if n := s.value(fmt.Sprintf(`caddy_lifeline_limited_total{hub="default",limit=%q}`, limit)); n < times {
		s.t.Errorf("limited %s: %v, want %v", limit, n, times)
	}
}

func (s *server) refused(a answer, status int, words ...string) {
	s.t.Helper()
	if a.status != status {
		s.t.Errorf("want %d: %v", status, a)
	}
	for _, word := range words {
		if !strings.Contains(a.raw, word) {
			s.t.Errorf("%v does not say %s", a, word)
		}
	}
	if due := status == 429 || status == 503; due && a.header.Get("Retry-After") == "" {
		s.t.Errorf("%v has no Retry-After", a)
	}
}

var handshake = []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-Websocket-Version: 13", "Sec-Websocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}

// TestEachLimitIsMet: limits of a Caddyfile, met by clients, with their answers and
// metrics, which a reload leaves as they are.
func TestEachLimitIsMet(t *testing.T) {
	config := "{\n admin ADMIN\n servers {\n trusted_proxies static 127.0.0.1/8 ::1\n}\n lifeline {\n storage memory\n" +
		"max_message 4KiB\n message_rate 3\n max_connections 4\n max_per_ip 1\n max_subscriptions 1\n" +
		"max_queue 64KiB 20\n max_polls 1\n max_sessions 1\n max_logs 2\n}\n}\n" +
		"http://localhost:PORT {\n lifeline {\n anonymous read write\n}\n}\n"
	s := start(t, config)
	post := func(session, id string) answer { return s.post(stepEvent(session, id, 1)) }

	if a := post("a", "1"); a.status != http.StatusCreated {
		t.Fatal(a)
	}
	s.refused(s.post(`{"type":"a:b","sessionId":"a","x":"`+strings.Repeat("x", 5000)+`"}`), 413, "max_message", "4096")
	s.limited("max_message", 1)

	if a := post("b", "1"); a.status != http.StatusCreated {
		t.Fatal(a)
	}
	s.refused(post("c", "1"), 503, "max_logs")
	s.limited("max_logs", 1)

	for _, id := range []string{"one", "two"} {
		if a := s.do(http.MethodPost, "/api/sessions", `{"id":"`+id+`"}`, asJSON); a.status != http.StatusCreated {
			t.Fatal(a)
		}
	}
	s.refused(s.get("/api/sessions/one"), 404)
	s.limited("max_sessions", 1)

	c := s.dial(nil)
	c.subscribe(t, "a", "")
	c.send(t, `{"type":"subscribe","sessionId":"b"}`)
	if f := c.frame(t, "error"); !strings.Contains(fmt.Sprint(f["payload"]), "max_subscriptions") {
		t.Errorf("a second subscription: %v", f)
	}
	s.limited("max_subscriptions", 1)
	for range 10 {
		_ = ws.WriteFrame(c.conn, ws.MaskFrame(ws.NewTextFrame([]byte(`{"type":"ping"}`))))
	}
	<-c.closed
	if c.code != 4429 {
		t.Errorf("too many messages: closed with %d", c.code)
	}
	s.limited("message_rate", 1)

	far := http.Header{"X-Forwarded-For": {"203.0.113.7"}}
	held := s.dial(far)
	held.frame(t, "subscription_confirmed")
	s.refused(s.get("/ws", append(handshake, "X-Forwarded-For: 203.0.113.7")...), 503, "max_per_ip", "trusted_proxies")
	s.limited("max_per_ip", 1)

	s.waitUntil("the hub has as many connections as it may", func() bool {
		_, err := s.tryDial(nil)
		return err != nil
	})
	s.refused(s.get("/ws", handshake...), 503, "max_connections")
	s.limited("max_connections", 1)

	go s.try(http.MethodGet, "/api/events/poll/nobody?wait=20", "") //nolint:errcheck // it is held until the server ends
	s.waitUntil("a poll waits", func() bool { return s.value(`caddy_lifeline_connections{hub="default",transport="poll"}`) == 1 })
	s.refused(s.get("/api/events/poll/none?wait=20"), 503, "max_polls")
	s.limited("max_polls", 1)

	if out, code := s.reload(config); code != 0 {
		t.Fatal(out)
	}
	for _, limit := range []string{"max_message", "max_logs", "max_sessions", "max_subscriptions", "message_rate", "max_per_ip", "max_connections", "max_polls"} {
		s.limited(limit, 1)
	}
	if n := s.value(`caddy_lifeline_events_received_total{hub="default",source="http"}`); n != 2 {
		t.Errorf("%v events received", n)
	}
	if n := s.value(`caddy_lifeline_publish_seconds_count{hub="default"}`); n != 2 {
		t.Errorf("%v publishes timed", n)
	}
	if n := s.value(`caddy_lifeline_connections{hub="default",transport="websocket"}`); n < 1 {
		t.Errorf("%v WebSockets", n)
	}
}

// TestSlowConsumerIsCounted: max_queue of a Caddyfile ends a client that does not read.
func TestSlowConsumerIsCounted(t *testing.T) {
	s := start(t, site("lifeline {\n storage memory\n max_queue 64KiB 20\n}", ""))
	dialer := ws.Dialer{}
	conn, _, _, err := dialer.Dial(t.Context(), "ws://localhost:"+s.port+"/ws")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := ws.WriteFrame(conn, ws.MaskFrame(ws.NewTextFrame([]byte(`{"type":"subscribe","sessionId":"s"}`)))); err != nil {
		t.Fatal(err)
	}
	line := `{"type":"a:b","sessionId":"s","x":"` + strings.Repeat("x", 60<<10) + "\"}\n"
	s.waitUntil("it is given up", func() bool {
		a := s.do(http.MethodPost, "/api/events", strings.Repeat(line, 50), "Content-Type: application/x-ndjson")
		if a.status != http.StatusCreated {
			t.Fatal(a)
		}
		return s.value(`caddy_lifeline_slow_consumers_total{hub="default"}`) == 1
	})
	s.limited("max_queue", 1)
	if n := s.value(`caddy_lifeline_events_delivered_total{hub="default",transport="websocket"}`); n < 1 {
		t.Errorf("%v delivered", n)
	}
	if n := s.value(`caddy_lifeline_delivery_seconds_count{hub="default"}`); n < 1 {
		t.Errorf("%v deliveries timed", n)
	}
}

// TestMaxLogs: the sessions that there are count after a restart, with each storage,
// and those that another node has begun.
func TestMaxLogs(t *testing.T) {
	r := redistest.Start(t)
	for name, storage := range map[string]string{"disk": "disk DIR/events", "redis": "redis " + r.URL()} {
		t.Run(name, func(t *testing.T) {
			config := site("lifeline {\n storage "+storage+"\n max_logs 2\n}", "")
			s := start(t, config)
			for _, session := range []string{"a", "b"} {
				if a := s.post(stepEvent(session, "1", 1)); a.status != http.StatusCreated {
					t.Fatal(a)
				}
			}
			s.refused(s.post(stepEvent("c", "1", 1)), 503, "max_logs")
			s.terminate()
			s.start(config)
			s.waitUntil("they are counted again", func() bool {
				a := s.post(stepEvent("c", "1", 1))
				return a.status == http.StatusServiceUnavailable && strings.Contains(a.raw, "max_logs")
			})
			if a := s.post(stepEvent("a", "2", 2)); a.status != http.StatusCreated {
				t.Errorf("an event of a session that is there: %v", a)
			}
			if a := s.do(http.MethodDelete, "/api/sessions/a", ""); a.status != http.StatusOK {
				t.Fatal(a)
			}
			s.waitUntil("its place is free", func() bool { return s.post(stepEvent("d", "1", 1)).status == http.StatusCreated })
			if name != "redis" {
				return
			}
			other := start(t, config)
			other.waitUntil("the other node counts them", func() bool {
				a := other.post(stepEvent("e", "1", 1))
				return a.status == http.StatusServiceUnavailable && strings.Contains(a.raw, "max_logs")
			})
			r.Freeze() // nobody can tell: the journal takes what it may
			if a := other.post(stepEvent("f", "1", 1)); a.status != http.StatusCreated || a.body["pending"] != true {
				t.Errorf("in an outage: %v", a)
			}
			r.Thaw()
			other.waitUntil("they are counted again", func() bool {
				a := other.post(stepEvent("g", "1", 1))
				return a.status == http.StatusServiceUnavailable && strings.Contains(a.raw, "max_logs")
			})
		})
	}
}
