package lifeline_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// headersOf makes an http.Header of "Name: value".
func headersOf(lines []string) http.Header {
	h := make(http.Header)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

// ended waits until a connection has ended.
func ended(t *testing.T, what string, over <-chan struct{}) {
	t.Helper()
	select {
	case <-over:
	case <-time.After(patience):
		t.Fatalf("%s stays open", what)
	}
}

// socketRefused sees how a WebSocket is refused: a browser's is accepted, sent nothing
// and closed, another's is not accepted.
func (s *server) socketRefused(t *testing.T, want refused, headers []string) {
	t.Helper()
	h := headersOf(headers)
	var protocols []string
	if p := h.Get("Sec-Websocket-Protocol"); p != "" {
		protocols = strings.Split(p, ", ")
		h.Del("Sec-Websocket-Protocol")
	}
	c, err := s.tryDial(h, protocols...)
	if h.Get("Origin") == "" && h.Get("Sec-Fetch-Site") == "" {
		var status ws.StatusError
		if !errors.As(err, &status) || int(status) != want.status {
			t.Errorf("WebSocket: %v, want %d", err, want.status)
		}
		return
	}
	if err != nil {
		t.Fatalf("WebSocket: %v", err)
	}
	ended(t, "a refused WebSocket", c.closed)
	if int(c.code) != want.closedWith || len(c.frames) > 0 || len(c.got()) > 0 {
		t.Errorf("WebSocket: closed with %d after %d frames, want %d", c.code, len(c.frames), want.closedWith)
	}
}

// TestRefusedSocketsCount: a browser's WebSocket that is accepted only to be closed
// takes one of the places of its address, and gives it back though its client does
// not even answer the close.
func TestRefusedSocketsCount(t *testing.T) {
	global := "servers {\ntrusted_proxies static 127.0.0.1/32 ::1/128\n}\nlifeline {\n storage memory\nmax_per_ip 2\n}"
	s := start(t, site(global, "api_key secret"))
	from := func(address string, lines ...string) http.Header {
		return headersOf(append(lines, "X-Forwarded-For: "+address))
	}
	first, second := s.dial(from("203.0.113.7", withSecret)), s.dial(from("203.0.113.7", withSecret))
	for _, origin := range []string{"Origin: https://evil.example", "Origin: " + s.url} {
		c := s.dial(from("203.0.113.7", origin))
		ended(t, "one too many", c.closed)
		if c.code != 4429 {
			t.Errorf("closed with %d", c.code)
		}
		want := map[bool]ws.StatusCode{true: 4403, false: 4401}[strings.Contains(origin, "evil")]
		other := s.dial(from("203.0.113.8", origin))
		ended(t, "of another address", other.closed)
		if other.code != want {
			t.Errorf("of another address: closed with %d, want %d", other.code, want)
		}
	}
	if _, err := s.tryDial(from("203.0.113.7", withSecret)); err == nil {
		t.Error("a third of the address is let in")
	}
	first.conn.Close()
	second.conn.Close()
	for range 3 {
		silent := s.silentHandshake(t, "203.0.113.9") // never answers the close
		s.waitUntil("the hub closes the connection", func() bool {
			_, err := silent.Read(make([]byte, 100))
			return errors.Is(err, io.EOF)
		})
	}
	s.dial(from("203.0.113.9", withSecret)).subscribe(t, "s", "")
}

// silentHandshake opens a foreign page's WebSocket that says nothing more.
func (s *server) silentHandshake(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", "localhost:"+s.port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_, err = fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: localhost:%s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: https://evil.example\r\nX-Forwarded-For: %s\r\n\r\n", s.port, address)
	if err == nil {
		err = conn.SetReadDeadline(time.Now().Add(patience))
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
