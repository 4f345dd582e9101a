package lifeline_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/gobwas/ws"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
)

// anyServer believes every server: each has an authority of its own.
func anyServer(protocol string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{protocol}} //nolint:gosec // see above
}

// transportOf speaks HTTP/1.1 or 2 with any server.
func transportOf(version int) *http.Transport {
	if version == 2 {
		return &http.Transport{TLSClientConfig: anyServer("h2"), ForceAttemptHTTP2: true}
	}
	return &http.Transport{TLSClientConfig: anyServer("http/1.1")}
}

// secureSite is a Caddyfile whose site has TLS, and HTTP/1.1, 2 and 3.
func secureSite(global, options string) string {
	return "{\n\tadmin ADMIN\n\tskip_install_trust\n\tauto_https disable_redirects\n\tlocal_certs\n" + global +
		"\n}\nhttps://localhost:PORT {\n\tlifeline {\n" + options + "\n\t}\n}\n"
}

// startSecure starts a secureSite, with WebSockets over HTTP/2.
func startSecure(t *testing.T, caddyfile string) *server {
	t.Helper()
	s := newServer(t)
	s.url = "https://localhost:" + s.port
	s.env = append(s.env, "GODEBUG=http2xconnect=1")
	s.client = &http.Client{Transport: transportOf(1)}
	t.Cleanup(s.client.CloseIdleConnections)
	s.launch(s.write(caddyfile))
	s.waitUntil("the server answers", func() bool {
		a, err := s.try(http.MethodGet, "/health", "")
		return err == nil && a.status == http.StatusOK
	})
	return s
}

// streamConn is a WebSocket's stream as far as a client needs a connection.
type streamConn struct {
	net.Conn
	io.Reader
	io.Writer

	end func() error
}

func (c *streamConn) Read(p []byte) (int, error)  { return c.Reader.Read(p) }
func (c *streamConn) Write(p []byte) (int, error) { return c.Writer.Write(p) }
func (c *streamConn) Close() error                { return c.end() }

// connectRequest is an extended CONNECT (RFC 8441, RFC 9220).
func (s *server) connectRequest(ctx context.Context) *http.Request {
	u, err := url.Parse(s.url + "/ws")
	if err != nil {
		s.t.Fatal(err)
	}
	r := &http.Request{Method: http.MethodConnect, URL: u, Host: u.Host, Header: http.Header{"Sec-Websocket-Version": {"13"}}}
	return r.WithContext(ctx)
}

// dialOver opens a WebSocket over HTTP/1.1, 2 or 3.
func (s *server) dialOver(version int) *socket {
	s.t.Helper()
	switch version {
	case 2:
		return s.newSocket(s.dial2(), nil)
	case 3:
		c := s.newSocket(s.dial3(), nil)
		go func() { // as HTTP/3 asks of clients: the server waits for that
			<-c.closed
			_ = c.conn.Close()
		}()
		return c
	}
	dialer := ws.Dialer{TLSConfig: anyServer("http/1.1")}
	conn, early, _, err := dialer.Dial(context.Background(), "wss://localhost:"+s.port+"/ws")
	if err != nil {
		s.t.Fatalf("HTTP/1.1: %v", err)
	}
	return s.newSocket(conn, early)
}

func (s *server) dial2() net.Conn {
	s.t.Helper()
	// That of net/http refuses the pseudo-header.
	transport := &http2.Transport{TLSClientConfig: anyServer("h2")} //nolint:staticcheck // see above
	ctx, cancel := context.WithCancel(context.Background())
	in, out := io.Pipe()
	r := s.connectRequest(ctx)
	r.Header[":protocol"] = []string{"websocket"}
	r.Body = in
	resp, err := transport.RoundTrip(r) //nolint:staticcheck // see above
	if err != nil || resp.StatusCode != http.StatusOK {
		cancel()
		s.t.Fatalf("HTTP/2: %v %v", resp, err)
	}
	return &streamConn{Reader: resp.Body, Writer: out, end: func() error {
		cancel()
		transport.CloseIdleConnections() //nolint:staticcheck // see above
		return resp.Body.Close()
	}}
}

func (s *server) dial3() net.Conn {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := quic.DialAddr(ctx, "localhost:"+s.port, anyServer(http3.NextProtoH3), nil)
	if err != nil {
		s.t.Fatalf("HTTP/3: %v", err)
	}
	stream, err := new(http3.Transport).NewClientConn(conn).OpenRequestStream(ctx)
	if err != nil {
		s.t.Fatalf("HTTP/3: %v", err)
	}
	r := s.connectRequest(ctx)
	r.Proto = "websocket"
	if err := stream.SendRequestHeader(r); err != nil {
		s.t.Fatalf("HTTP/3: %v", err)
	}
	resp, err := stream.ReadResponse()
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("HTTP/3: %v %v", resp, err)
	}
	return &streamConn{Reader: stream, Writer: stream, end: func() error { return conn.CloseWithError(0, "") }}
}

// TestWebSocketOverEachVersion: WebSockets over HTTP/1.1, HTTP/2 and HTTP/3 do the same.
func TestWebSocketOverEachVersion(t *testing.T) {
	s := startSecure(t, secureSite("lifeline {\n storage memory\n}", ""))
	for version := 1; version <= 3; version++ {
		t.Run(fmt.Sprint("HTTP/", version), func(t *testing.T) {
			session := fmt.Sprint("s", version)
			c := s.dialOver(version)
			c.subscribe(t, session, "")
			for i := range 100 {
				s.post(stepEvent(session, fmt.Sprint(i), i))
			}
			c.waitFor(t, 100)
			c.send(t, `{"type":"ping"}`)
			c.frame(t, "pong")
		})
	}
}
