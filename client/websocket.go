package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// Subscriptions are sent in portions, below the hub's 50 messages a second.
const (
	portion      = 20
	portionPause = 500 * time.Millisecond
)

// closeTimeout is how long the close frame may take to be sent.
const closeTimeout = time.Second

// socket is a WebSocket on which the hub has said hello.
type socket struct {
	f        *follower
	conn     net.Conn
	in       *bufio.Reader
	degraded bool // as the hello says

	writing sync.Mutex
	closing sync.Once
}

// frame is a message of the hub.
type frame struct {
	Type, SessionID, Cursor, Code string
	Payload                       json.RawMessage
	ReceivedAt                    time.Time
	Recovered                     *bool
	Gap, Pending                  bool
	Details                       struct{ Field string }
}

func openSocket(ctx context.Context, c *Client, f *follower) (link, error) {
	var refused error
	dialer := ws.Dialer{
		Protocols: []string{"lifeline.v1"}, Header: ws.HandshakeHeaderHTTP(c.header),
		NetDial: c.options.HTTP.DialContext, TLSConfig: webSocketTLS(c.options.HTTP.TLSClientConfig),
		OnStatusError: func(_ int, _ []byte, raw io.Reader) { refused = refusedHandshake(raw) },
	}
	scheme := map[string]string{"http": "ws", "https": "wss"}[c.base.Scheme]
	conn, early, _, err := dialer.Dial(ctx, c.address(scheme, "/ws", nil))
	if refused != nil {
		return nil, refused
	}
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	s := &socket{f: f, conn: conn}
	var begun []byte // came with the handshake
	if early != nil {
		begun, _ = early.Peek(early.Buffered())
		begun = bytes.Clone(begun)
		ws.PutReader(early)
	}
	s.in = bufio.NewReader(io.MultiReader(bytes.NewReader(begun), alive{s}))
	stop := context.AfterFunc(ctx, s.close)
	err = s.hello()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// webSocketTLS is what HTTP uses, but for the protocols that have no Upgrade.
func webSocketTLS(config *tls.Config) *tls.Config {
	if config == nil {
		return nil
	}
	config = config.Clone()
	config.NextProtos = []string{"http/1.1"}
	return config
}

// refusedHandshake is the error for an answer that is no upgrade.
func refusedHandshake(raw io.Reader) error {
	resp, err := http.ReadResponse(bufio.NewReader(raw), nil)
	if err != nil {
		return fmt.Errorf("read the answer to the handshake: %w", err)
	}
	defer resp.Body.Close()
	return refusal(resp)
}

func (s *socket) hello() error {
	m, err := s.read()
	if err != nil {
		return err
	}
	if m.Type != "subscription_confirmed" || m.SessionID != "" {
		return fmt.Errorf("the first message is %q: this is no hub", m.Type)
	}
	var payload struct{ Degraded bool }
	if err := json.Unmarshal(m.Payload, &payload); err != nil {
		return fmt.Errorf("read the hub's hello: %w", err)
	}
	s.degraded = payload.Degraded
	return nil
}

// serve implements link.
func (s *socket) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var subscribing sync.WaitGroup
	defer subscribing.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, s.close)()
	s.f.storageIs(ctx, s.degraded)
	subscribing.Go(func() { s.subscribe(ctx) })
	for {
		m, err := s.read()
		if err == nil {
			err = s.take(ctx, m)
		}
		if err != nil {
			return fmt.Errorf("websocket: %w", err)
		}
	}
}

// subscribe asks for all sessions. When it cannot, reading fails as well.
func (s *socket) subscribe(ctx context.Context) {
	for i, id := range s.f.sessions.ids {
		if i > 0 && i%portion == 0 && !pause(ctx, portionPause) {
			return
		}
		message := struct {
			Type      string   `json:"type"`
			SessionID string   `json:"sessionId"`
			Since     string   `json:"since,omitempty"`
			Types     []string `json:"types,omitempty"`
		}{"subscribe", id, s.f.sessions.cursor(id), s.f.sessions.types}
		if s.send(message) != nil {
			s.close()
			return
		}
	}
}

// take acts on a message. An error ends the connection.
func (s *socket) take(ctx context.Context, m frame) error {
	switch m.Type {
	case "event":
		e, err := newEvent(m.Payload)
		if err != nil {
			return err
		}
		e.Session, e.Cursor, e.ReceivedAt, e.Pending = m.SessionID, m.Cursor, m.ReceivedAt, m.Pending
		return s.f.deliver(ctx, e)
	case "cursor":
		s.f.sessions.move(m.SessionID, m.Cursor)
	case "epoch":
		why := Epoch
		if m.Gap {
			why = Gap
		}
		return s.f.reset(ctx, m.SessionID, why, m.Cursor)
	case "subscription_confirmed":
		if m.Gap || m.Recovered != nil && !*m.Recovered {
			return s.f.reset(ctx, m.SessionID, Gap, m.Cursor)
		}
		s.f.sessions.move(m.SessionID, m.Cursor)
	case "status":
		var state Storage
		if err := json.Unmarshal(m.Payload, &state); err != nil {
			return fmt.Errorf("read the state of storage: %w", err)
		}
		s.f.storage(ctx, state)
	case "error":
		return errorOf(m)
	}
	return nil
}

// errorOf is the error that a message of the hub tells.
func errorOf(m frame) *Error {
	e := &Error{Status: http.StatusBadRequest, Code: m.Code, Session: m.SessionID, Field: m.Details.Field}
	_ = json.Unmarshal(m.Payload, &e.Message) // a text, or nothing
	switch m.Code {
	case "forbidden":
		e.Status = http.StatusForbidden
	case "unavailable":
		e.Status = http.StatusServiceUnavailable
	case "too_many_subscriptions": // a stream or poll may still follow them
		e.Status, e.passing = http.StatusTooManyRequests, true
	}
	return e
}

// closed is the error that a close frame tells.
func closed(c wsutil.ClosedError) *Error {
	e := &Error{
		Status:  map[ws.StatusCode]int{4401: http.StatusUnauthorized, 4403: http.StatusForbidden, 4429: http.StatusTooManyRequests}[c.Code],
		Code:    fmt.Sprintf("closed with %d", c.Code),
		Message: c.Reason,
	}
	var reason struct{ RetryAfter json.Number }
	if json.Unmarshal([]byte(c.Reason), &reason) == nil {
		e.Message, e.RetryAfter = "", waitOf(reason.RetryAfter.String())
	}
	return e
}

// read reads a message; it answers pings meanwhile.
func (s *socket) read() (m frame, err error) {
	data, err := wsutil.ReadServerText(struct {
		io.Reader
		io.Writer
	}{s.in, s})
	if c, ok := errors.AsType[wsutil.ClosedError](err); ok {
		return m, closed(c)
	}
	if err != nil {
		return m, fmt.Errorf("read: %w", err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("read a message of the hub: %w", err)
	}
	return m, nil
}

// alive reads from a socket. Whatever comes is a sign of life; when nothing has come
// for a while it asks for one.
type alive struct{ s *socket }

func (a alive) Read(p []byte) (int, error) {
	o := a.s.f.options
	n, err := a.readFor(p, o.HeartbeatInterval)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	if err := a.s.send(map[string]string{"type": "ping"}); err != nil {
		return 0, err
	}
	n, err = a.readFor(p, o.HeartbeatTimeout)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errSilent
	}
	return n, err
}

func (a alive) readFor(p []byte, d time.Duration) (int, error) {
	if err := a.s.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return 0, err //nolint:wrapcheck // passed on by an io.Reader
	}
	return a.s.conn.Read(p) //nolint:wrapcheck // passed on by an io.Reader
}

func (s *socket) send(message any) error {
	data, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	return wsutil.WriteClientText(s, data) //nolint:wrapcheck // only whether it was sent matters
}

// Write writes whole frames.
func (s *socket) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.f.options.HeartbeatTimeout)); err != nil {
		return 0, err //nolint:wrapcheck // passed on by an io.Writer
	}
	return s.conn.Write(p) //nolint:wrapcheck // passed on by an io.Writer
}

// close implements link. It says goodbye, and does not wait for the answer.
func (s *socket) close() {
	s.closing.Do(func() {
		goodbye := ws.MaskFrameInPlace(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
		_ = s.conn.SetWriteDeadline(time.Now().Add(closeTimeout)) // also for a write under way
		s.writing.Lock()
		defer s.writing.Unlock()
		_ = s.conn.SetWriteDeadline(time.Now().Add(closeTimeout))
		_ = ws.WriteFrame(s.conn, goodbye) // the hub may be gone
		_ = s.conn.Close()
	})
}
