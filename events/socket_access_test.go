package events

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// A browser learns from a close code why it was not let in; anything else gets
// the plain answer.
func TestRefusedWebSocket(t *testing.T) {
	s := newTestSite(t, func(s *Site, _ *siteBackend, _ *Config) {
		s.Access = Access{Keys: []string{testKey}, Origins: []string{"https://app.example"}}
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.ServeHTTP(w, r) }))
	defer server.Close()
	protocol := keyProtocol + base64.RawURLEncoding.EncodeToString([]byte(testKey))
	tests := []struct {
		name      string
		header    http.Header
		query     string
		protocols []string
		status    int // of the handshake; 0: it succeeds
		code      ws.StatusCode
	}{
		{name: "nobody", status: 401},
		{name: "wrong key", header: http.Header{"Authorization": {"Bearer x"}}, status: 401},
		{name: "nobody, own page", header: http.Header{"Origin": {server.URL}}, code: 4401},
		{name: "nobody, listed page", header: http.Header{"Origin": {"https://app.example"}}, code: 4401},
		{name: "foreign page", header: http.Header{"Origin": {"https://evil.example"}}, query: "?apiKey=" + testKey, code: 4403},
		{name: "null", header: http.Header{"Origin": {"null"}}, code: 4403},
		{name: "key in query", query: "?apiKey=" + testKey},
		{name: "key as subprotocol", header: http.Header{"Origin": {"https://app.example"}}, protocols: []string{"lifeline.v1", protocol}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			d := ws.Dialer{Header: ws.HandshakeHeaderHTTP(tt.header), Protocols: tt.protocols}
			conn, buffered, _, err := d.Dial(ctx, "ws"+strings.TrimPrefix(server.URL, "http")+"/ws"+tt.query)
			if tt.status != 0 {
				var refused ws.StatusError
				if !errors.As(err, &refused) || int(refused) != tt.status {
					t.Fatalf("%v, want status %d", err, tt.status)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			from := io.Reader(conn)
			if buffered != nil { // what came together with the handshake's answer
				from = buffered
			}
			checkFirstFrame(t, struct {
				io.Reader
				io.Writer
			}{from, conn}, tt.code)
		})
	}
}

// checkFirstFrame wants a close with code, or for 0 the hello.
func checkFirstFrame(t *testing.T, conn io.ReadWriter, code ws.StatusCode) {
	t.Helper()
	data, err := wsutil.ReadServerText(conn)
	if code == 0 {
		if err != nil || !strings.Contains(string(data), "subscription_confirmed") {
			t.Errorf("%s, %v", data, err)
		}
		return
	}
	var closed wsutil.ClosedError
	if !errors.As(err, &closed) || closed.Code != code || closed.Reason == "" {
		t.Errorf("%s, %v, want close %d", data, err, code)
	}
}
