package events

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

func TestWSHandshake(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	good := "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	replace := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	tests := map[string]struct {
		request string
		status  int
		header  string // name: value
	}{
		"good":           {good, 101, "Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
		"any case":       {replace("Upgrade: websocket", "upgrade: WebSocket"), 101, "Upgrade: websocket"},
		"no upgrade":     {replace("Upgrade: websocket\r\n", ""), 426, "Upgrade: websocket"},
		"other upgrade":  {replace("Upgrade: websocket", "Upgrade: h2c"), 426, "Connection: Upgrade"},
		"no connection":  {replace("Connection: keep-alive, Upgrade\r\n", ""), 400, ""},
		"version":        {replace("Version: 13", "Version: 8"), 426, "Sec-Websocket-Version: 13"},
		"no key":         {replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400, ""},
		"short key":      {replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"), 400, ""},
		"not base64":     {replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"), 400, ""},
		"POST":           {replace("GET", "POST"), 400, ""},
		"HTTP/1.0":       {replace("HTTP/1.1", "HTTP/1.0"), 400, ""},
		"protocol":       {replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: lifeline.key.eA, lifeline.v1\r\n\r\n"), 101, "Sec-Websocket-Protocol: lifeline.v1"},
		"other protocol": {replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: lifeline.key.eA\r\n\r\n"), 101, "Sec-Websocket-Protocol: "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(clientTimeout))
			if _, err := io.WriteString(conn, tt.request); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.status)
			}
			if field, value, ok := strings.Cut(tt.header, ": "); ok && resp.Header.Get(field) != value {
				t.Errorf("%s: %q, want %q", field, resp.Header.Get(field), value)
			}
		})
	}
	wantSockets(t, h, 0)
}

// What a client sends before it has the answer to its handshake counts.
func TestWSEarlyBytes(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(clientTimeout))
	var b bytes.Buffer
	b.WriteString("GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	ws.MustWriteFrame(&b, ws.MaskFrame(ws.NewTextFrame([]byte(`{"type":"ping"}`))))
	if _, err := conn.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	if _, err := http.ReadResponse(r, nil); err != nil {
		t.Fatal(err)
	}
	c := &wsClient{t: t, conn: conn, r: r}
	c.want(`{"type":"subscription_confirmed"}`)
	c.want(`{"type":"pong"}`)
}

// With a bare connection the handler returns at once, with a wrapped one only
// when the connection has ended.
func TestWSHandlerReturns(t *testing.T) {
	for _, wrapped := range []bool{false, true} {
		t.Run(fmt.Sprint("wrapped ", wrapped), func(t *testing.T) {
			h := newTestHub(t, newMemory(t))
			returned := make(chan struct{})
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(returned)
				if wrapped {
					w = wrappingWriter{w}
				}
				serveHub(h, w, r)
			}))
			defer s.Close()
			defer h.Close()
			c := connect(t, s, "")
			if wrapped {
				select {
				case <-returned:
					t.Fatal("the handler has returned")
				default:
				}
			} else {
				<-returned
			}
			c.subscribe(testSession)
			publishEvent(t, h, "1")
			c.want(`{"type":"event"}`)
			_ = c.conn.Close()
			<-returned
			wantSockets(t, h, 0)
		})
	}
}

type wrappingWriter struct{ http.ResponseWriter }

type wrappedConn struct{ net.Conn }

func (w wrappingWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	return wrappedConn{conn}, rw, err
}

// streamWriter is a response on a stream of HTTP/2.
type streamWriter struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (w streamWriter) Write(p []byte) (int, error)        { return w.conn.Write(p) }
func (w streamWriter) SetReadDeadline(t time.Time) error  { return w.conn.SetReadDeadline(t) }
func (w streamWriter) SetWriteDeadline(t time.Time) error { return w.conn.SetWriteDeadline(t) }

// An extended CONNECT (RFC 8441) is served inside the handler.
func TestWSExtendedConnect(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	client, server := net.Pipe()
	r := httptest.NewRequest(http.MethodConnect, "/ws", server)
	r.Header = http.Header{":protocol": {"websocket"}, "Sec-Websocket-Protocol": {"lifeline.v1"}}
	r.URL.Path = "/ws"
	w := streamWriter{httptest.NewRecorder(), server}
	returned := make(chan struct{})
	go func() { defer close(returned); serveHub(h, w, r) }()
	_ = client.SetDeadline(time.Now().Add(clientTimeout))
	c := &wsClient{t: t, conn: client, r: client}
	c.want(`{"type":"subscription_confirmed"}`)
	if w.Code != 200 || w.Header().Get("Sec-Websocket-Protocol") != "lifeline.v1" || w.Header().Get("Upgrade") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	c.subscribe(testSession)
	publishEvent(t, h, "1")
	c.want(`{"type":"event"}`)
	go h.Close()
	c.wantClose(closeGoingAway)
	_ = client.Close()
	<-returned
}

func TestWSNoHijack(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	for name, value := range map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	serveHub(h, w, r)
	if w.Code != http.StatusInternalServerError {
		t.Errorf("status %d", w.Code)
	}
	if h.connections.reserved != 0 {
		t.Error("the place was not given back")
	}
}
