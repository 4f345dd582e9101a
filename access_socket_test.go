package lifeline_test

import (
	"errors"
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
