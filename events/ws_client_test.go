package events

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// hubServer serves a hub without the checks of a site. The peer's address and
// user come from the parameters ip and user.
func hubServer(t testing.TB, h *Hub) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveHub(h, w, r) }))
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	return s
}

func serveHub(h *Hub, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p := Peer{User: q.Get("user"), HasOrigin: r.Header.Get("Origin") != ""}
	p.IP, _ = netip.ParseAddr(q.Get("ip"))
	switch r.URL.Path {
	case "/ws":
		h.ServeWebSocket(w, r, Grant{Peer: p, Read: true, Write: true, All: p.User == ""}, q.Has("compress"))
	case "/refused":
		h.RefuseWebSocket(w, r, p, CloseForbidden, "not you")
	default:
		h.ServeStream(w, r, strings.TrimPrefix(r.URL.Path, "/"), Grant{Peer: p, Read: true, Write: true, All: p.User == ""})
	}
}

// wsClient is a client at the level of frames.
type wsClient struct {
	t    testing.TB
	conn net.Conn
	r    io.Reader
	id   string // from hello
	// status: the client reads status messages; otherwise they are passed over.
	status bool
}

const clientTimeout = 20 * time.Second

func dial(t testing.TB, s *httptest.Server, target string, header http.Header) *wsClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
	defer cancel()
	d := ws.Dialer{Header: ws.HandshakeHeaderHTTP(header)}
	conn, buffered, _, err := d.Dial(ctx, "ws"+strings.TrimPrefix(s.URL, "http")+target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &wsClient{t: t, conn: conn, r: conn}
	if buffered != nil {
		c.r = io.MultiReader(io.LimitReader(buffered, int64(buffered.Buffered())), conn)
	}
	c.r = bufio.NewReader(c.r)
	if err := conn.SetDeadline(time.Now().Add(clientTimeout)); err != nil {
		t.Fatal(err)
	}
	return c
}

// connect opens a WebSocket and reads hello.
func connect(t testing.TB, s *httptest.Server, parameters string) *wsClient {
	t.Helper()
	c := dial(t, s, "/ws"+parameters, nil)
	m := c.read()
	c.id, _ = m["payload"].(map[string]any)["clientId"].(string)
	if m["type"] != confirmationType || c.id == "" {
		t.Fatalf("hello: %v", m)
	}
	return c
}

// frame reads the next frame that is no ping.
func (c *wsClient) frame() ws.Frame {
	c.t.Helper()
	for {
		f, err := ws.ReadFrame(c.r)
		if err != nil {
			c.t.Fatalf("read: %v", err)
		}
		if f.Header.Masked || f.Header.Rsv != 0 || !f.Header.Fin {
			c.t.Fatalf("a frame of the hub with header %+v", f.Header)
		}
		if f.Header.OpCode != ws.OpPing {
			return f
		}
	}
}

// read answers the next message.
func (c *wsClient) read() map[string]any {
	c.t.Helper()
	for {
		f := c.frame()
		if f.Header.OpCode != ws.OpText {
			c.t.Fatalf("got opcode %x: %q", f.Header.OpCode, f.Payload)
		}
		var m map[string]any
		if err := json.Unmarshal(f.Payload, &m); err != nil {
			c.t.Fatalf("%v: %s", err, f.Payload)
		}
		if c.status || m["type"] != "status" {
			return m
		}
	}
}

// want reads a message and checks that it has what the JSON text says.
func (c *wsClient) want(pattern string) map[string]any {
	c.t.Helper()
	got := c.read()
	var want any
	if err := json.Unmarshal([]byte(pattern), &want); err != nil {
		c.t.Fatal(err)
	}
	if err := matches(want, got); err != nil {
		c.t.Fatalf("got %v, want %s: %v", got, pattern, err)
	}
	return got
}

// wantClose reads up to a close frame and the end of the connection.
func (c *wsClient) wantClose(code int) (reason string) {
	c.t.Helper()
	for {
		f := c.frame()
		if f.Header.OpCode != ws.OpClose {
			continue
		}
		if code == closeNone {
			if len(f.Payload) != 0 {
				c.t.Fatalf("closed with %q", f.Payload)
			}
			return ""
		}
		if len(f.Payload) < 2 {
			c.t.Fatalf("closed without a code, want %d", code)
		}
		if got := int(binary.BigEndian.Uint16(f.Payload)); got != code {
			c.t.Fatalf("closed with %d %q, want %d", got, f.Payload[2:], code)
		}
		return string(f.Payload[2:])
	}
}

// wantEnd checks that the hub closes the connection.
func (c *wsClient) wantEnd() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.r); err != nil {
		c.t.Fatalf("the connection has not ended: %v", err)
	}
}

// send writes a text message.
func (c *wsClient) send(format string, args ...any) {
	c.t.Helper()
	c.raw(ws.MaskFrame(ws.NewTextFrame(fmt.Appendf(nil, format, args...))))
}

func (c *wsClient) raw(frames ...ws.Frame) {
	c.t.Helper()
	for _, f := range frames {
		if err := ws.WriteFrame(c.conn, f); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *wsClient) subscribe(session string) map[string]any {
	c.t.Helper()
	c.send(`{"type":"subscribe","sessionId":%q}`, session)
	return c.want(fmt.Sprintf(`{"type":"subscription_confirmed","sessionId":%q,"cursor":"<string>"}`, session))
}

// sync makes sure that the hub has dealt with everything sent before.
func (c *wsClient) sync() {
	c.t.Helper()
	c.send(`{"type":"ping"}`)
	c.want(`{"type":"pong","clientId":"<string>"}`)
}

func wantSockets(t testing.TB, h *Hub, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d WebSockets", n), func() bool { got, _ := h.Counts(); return got == n })
}

// dialStatus answers with which status a handshake is refused.
func dialStatus(t testing.TB, s *httptest.Server, target string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
	defer cancel()
	conn, _, _, err := ws.Dial(ctx, "ws"+strings.TrimPrefix(s.URL, "http")+target)
	if err == nil {
		_ = conn.Close()
		return http.StatusSwitchingProtocols
	}
	var refused ws.StatusError
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	return int(refused)
}
