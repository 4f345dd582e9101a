package lifeline_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// log is what a reader has got: event ids in the order of their coming.
type readerLog struct {
	mu   sync.Mutex
	ids  []string
	last string // cursor or timestamp behind the last one
	err  error
}

func (l *readerLog) add(id, position string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids = append(l.ids, id)
	l.last = position
}

func (l *readerLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *readerLog) got() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.ids)
}

func (l *readerLog) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *readerLog) waitFor(t *testing.T, n int) []string {
	t.Helper()
	waitUntil(t, fmt.Sprintf("%d events have come, have %d, error %v", n, len(l.got()), l.failed()),
		func() bool { return len(l.got()) >= n })
	return l.got()
}

// eventID is the id of an event as it is stored.
func eventID(raw []byte) string {
	var e struct{ ID string }
	_ = json.Unmarshal(raw, &e)
	return e.ID
}

// socket is a WebSocket client.
type socket struct {
	readerLog

	conn   net.Conn
	frames chan map[string]any // everything but events
	closed chan struct{}
	code   ws.StatusCode
}

func (s *server) dial(header http.Header) *socket {
	s.t.Helper()
	c, err := s.tryDial(header)
	if err != nil {
		s.t.Fatalf("dial: %v", err)
	}
	return c
}

func (s *server) tryDial(header http.Header, protocols ...string) (*socket, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dialer := ws.Dialer{Host: header.Get("Host"), Protocols: protocols}
	header = header.Clone()
	header.Del("Host")
	dialer.Header = ws.HandshakeHeaderHTTP(header)
	conn, early, _, err := dialer.Dial(ctx, "ws://localhost:"+s.port+"/ws")
	if err != nil {
		return nil, err
	}
	return s.newSocket(conn, early), nil
}

// newSocket reads a WebSocket that is open; early is what has been read already.
func (s *server) newSocket(conn net.Conn, early *bufio.Reader) *socket {
	c := &socket{conn: conn, frames: make(chan map[string]any, 1000), closed: make(chan struct{})}
	s.t.Cleanup(func() { _ = conn.Close() })
	in := readWriter{Conn: conn, in: conn}
	if early != nil {
		in.in = early
	}
	go c.read(in)
	return c
}

// readWriter reads first what came with the handshake.
type readWriter struct {
	net.Conn

	in io.Reader
}

func (rw readWriter) Read(p []byte) (int, error) { return rw.in.Read(p) }

func (c *socket) read(rw io.ReadWriter) {
	defer close(c.closed)
	for {
		data, err := wsutil.ReadServerText(rw)
		if err != nil {
			if closed, ok := errors.AsType[wsutil.ClosedError](err); ok {
				c.code = closed.Code
			}
			c.fail(err)
			return
		}
		var frame struct {
			Type, Cursor string
			Payload      json.RawMessage
		}
		_ = json.Unmarshal(data, &frame)
		if frame.Type == "event" {
			c.add(eventID(frame.Payload), frame.Cursor)
			continue
		}
		var m map[string]any
		_ = json.Unmarshal(data, &m)
		select {
		case c.frames <- m:
		default: // nobody looks at them in this test
		}
	}
}

func (c *socket) send(t *testing.T, message string) {
	t.Helper()
	if err := wsutil.WriteClientText(c.conn, []byte(message)); err != nil {
		t.Fatalf("send %s: %v", message, err)
	}
}

// frame waits for the next frame of a type.
func (c *socket) frame(t *testing.T, kind string) map[string]any {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case m := <-c.frames:
			if m["type"] == kind {
				return m
			}
		case <-c.closed:
			t.Fatalf("closed (%d) before a %s frame: %v", c.code, kind, c.failed())
		case <-timeout:
			t.Fatalf("no %s frame", kind)
		}
	}
}

// subscribe follows a session and waits for the confirmation.
func (c *socket) subscribe(t *testing.T, session, since string) map[string]any {
	t.Helper()
	m := map[string]string{"type": "subscribe", "sessionId": session}
	if since != "" {
		m["since"] = since
	}
	b, _ := json.Marshal(m)
	c.send(t, string(b))
	for {
		f := c.frame(t, "subscription_confirmed")
		if f["sessionId"] == session {
			return f
		}
	}
}

// stream is an SSE client that, like onmessage, looks at unnamed events only.
type stream struct {
	readerLog

	named  chan string // names of the others
	ended  chan struct{}
	header http.Header
}

func (s *server) follow(session string, query url.Values, headers ...string) *stream {
	s.t.Helper()
	st, _ := s.followBy(http.DefaultClient, session, query, headers...)
	return st
}

// followBy follows by a client of its own, until end is called.
func (s *server) followBy(client *http.Client, session string, query url.Values, headers ...string) (st *stream, end func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	u := s.url + "/api/events/stream/" + url.PathEscape(session) + "?" + query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header = headersOf(headers)
	req.Host = req.Header.Get("Host")
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("stream: %s", resp.Status)
	}
	st = &stream{named: make(chan string, 100), ended: make(chan struct{}), header: resp.Header}
	go func() {
		defer close(st.ended)
		defer resp.Body.Close()
		st.read(bufio.NewReader(resp.Body))
	}()
	return st, func() {
		cancel()
		client.CloseIdleConnections()
	}
}

func (st *stream) read(in *bufio.Reader) {
	var id, name, data string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			st.fail(err)
			return
		}
		field, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ": ")
		switch field {
		case "id":
			id = value
		case "event":
			name = value
		case "data":
			data += value
		case "":
			if name == "" && data != "" {
				st.add(eventID([]byte(data)), id)
			} else if name != "" {
				select {
				case st.named <- name:
				default:
				}
			}
			name, data = "", ""
		}
	}
}

// poll follows a session by polls that know only timestamps, from the first
// answer's timestamp on, until stop is closed.
func (s *server) poll(session, since string, pause time.Duration, stop <-chan struct{}) *readerLog {
	l := &readerLog{last: since}
	go func() {
		for {
			if err := s.pollOnce(l, session); err != nil {
				l.fail(err)
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(pause):
			}
		}
	}()
	return l
}

func (s *server) pollOnce(l *readerLog, session string) error {
	q := url.Values{"since": {l.last}, "limit": {"50"}}
	a, err := s.try(http.MethodGet, "/api/events/poll/"+url.PathEscape(session)+"?"+q.Encode(), "")
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("poll: %s", a)
	}
	var page struct {
		Events    []json.RawMessage
		Timestamp string
	}
	if err := json.Unmarshal([]byte(a.raw), &page); err != nil {
		return err
	}
	for _, e := range page.Events {
		l.add(eventID(e), page.Timestamp)
	}
	l.mu.Lock()
	l.last = page.Timestamp
	l.mu.Unlock()
	return nil
}
