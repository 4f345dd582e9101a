package events

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the handshake of RFC 6455 is made of it
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/actionflows/lifeline/internal/sse"
)

// socket is what a WebSocket runs over: a hijacked connection, or one stream of
// HTTP/2 or HTTP/3. Reading and writing may go on at the same time.
type socket interface {
	io.ReadWriteCloser
	SetDeadline(t time.Time) error
}

// subprotocol is what new clients offer; keyed ones stand beside it.
const subprotocol = "lifeline.v1"

// ServeWebSocket opens a WebSocket for a peer who may read. Where the connection
// is the bare one it returns at once; where somebody has wrapped it, to count
// its bytes for instance, only after its end. With compress, events go compressed
// to clients who offer that (RFC 7692).
func (h *Hub) ServeWebSocket(w http.ResponseWriter, r *http.Request, g Grant, compress bool) {
	answer, ok := checkHandshake(w, r)
	if !ok {
		return
	}
	extension := ""
	if compress {
		extension = agreeToDeflate(r.Header)
	}
	if extension != "" {
		answer.Set("Sec-WebSocket-Extensions", extension)
	}
	if err := h.reserve(g.Peer); err != nil {
		h.refuseBusy(w, r, answer, g.Peer, err)
		return
	}
	sock, rest, err := h.accept(w, r, answer)
	if err != nil {
		h.connections.release(g.Peer)
		return
	}
	c := newWSConn(h, sock, rest, g)
	if extension != "" {
		c.reader.deflate, c.enc = true, encodeDeflated
	}
	c.welcome()
	h.serveSocket(c)
}

// RefuseWebSocket accepts a handshake only to close it with code, so that a
// browser's script learns why it is refused; nothing else is sent. The connection
// counts like any other, and is gone within a second.
func (h *Hub) RefuseWebSocket(w http.ResponseWriter, r *http.Request, p Peer, code int, reason string) {
	answer, ok := checkHandshake(w, r)
	if !ok {
		return
	}
	if err := h.reserve(p); err != nil {
		h.refuseBusy(w, r, answer, p, err)
		return
	}
	sock, rest, err := h.accept(w, r, answer)
	if err != nil {
		h.connections.release(p)
		return
	}
	c := newWSConn(h, sock, rest, Grant{Peer: p})
	c.end(code, reason, true)
	h.enroll(c)
	h.serveSocket(c)
}

// serveSocket serves a connection that is enrolled.
func (h *Hub) serveSocket(c *wsConn) {
	// Where nobody else looks at the connection, its reader needs a small goroutine,
	// not the one of the HTTP server with all that hangs on it.
	_, encrypted := c.sock.(*tls.Conn)
	if (encrypted || c.raw != nil) && h.tasks.begin() {
		c.done = h.tasks.end
		go c.serve()
		return
	}
	c.reader.silent = nil
	c.done = func() {}
	c.serve()
}

// busyRetry is after how many seconds a client who met a limit on connections
// should try again.
const busyRetry = 10

// refuseBusy turns a connection away that is one too many. A browser's script
// sees only what comes after an accepted handshake.
func (h *Hub) refuseBusy(w http.ResponseWriter, r *http.Request, answer http.Header, p Peer, err error) {
	if !p.HasOrigin || errors.Is(err, errHubClosed) {
		writeBusy(w, err)
		return
	}
	sock, rest, err := h.accept(w, r, answer)
	if err != nil {
		return
	}
	c := newWSConn(h, sock, rest, Grant{Peer: p})
	c.end(closeLimit, retryReason(busyRetry), true)
	c.reader.silent = nil
	c.cleanUp(c.readMessages())
}

func writeBusy(w http.ResponseWriter, err error) {
	writeError(w, http.StatusServiceUnavailable, apiError{
		Error: "not accepting connections", Message: err.Error(), RetryAfter: retryAfter(busyRetry * time.Second),
	})
}

// checkHandshake finds out whether the request opens a WebSocket properly and
// with what headers to agree; otherwise it answers what is wrong.
func checkHandshake(w http.ResponseWriter, r *http.Request) (answer http.Header, ok bool) {
	answer = make(http.Header)
	if offers(r.Header, subprotocol) {
		answer.Set("Sec-WebSocket-Protocol", subprotocol)
	}
	if r.Method == http.MethodConnect && wantsWebSocket(r) {
		return answer, true
	}
	bad := func(status int, message string) (http.Header, bool) {
		w.Header().Set("Sec-WebSocket-Version", "13")
		if status == http.StatusUpgradeRequired {
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "Upgrade")
		}
		writeError(w, status, apiError{Error: "not a WebSocket handshake", Message: message})
		return nil, false
	}
	key := r.Header.Values("Sec-Websocket-Key")
	switch {
	case r.Method != http.MethodGet || !r.ProtoAtLeast(1, 1) || r.ProtoMajor > 1:
		return bad(http.StatusBadRequest, "it must be a GET over HTTP/1.1")
	case !hasToken(r.Header, "Upgrade", "websocket"):
		return bad(http.StatusUpgradeRequired, "this path takes WebSocket connections: the header Upgrade: websocket is missing")
	case !hasToken(r.Header, "Connection", "upgrade"):
		return bad(http.StatusBadRequest, "the header Connection: Upgrade is missing; a proxy may have removed it")
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		return bad(http.StatusUpgradeRequired, "Sec-WebSocket-Version must be 13")
	case len(key) != 1 || !isKeyOf16(key[0]):
		return bad(http.StatusBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64")
	}
	answer.Set("Upgrade", "websocket")
	answer.Set("Connection", "Upgrade")
	answer.Set("Sec-WebSocket-Accept", acceptKey(key[0]))
	return answer, true
}

func isKeyOf16(s string) bool {
	b, err := base64.StdEncoding.DecodeString(s)
	return err == nil && len(b) == 16
}

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see above
	return base64.StdEncoding.EncodeToString(sum[:])
}

// hasToken reports whether a header lists a token, in any case.
func hasToken(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// offers reports whether a client offers a subprotocol; these are case-sensitive.
func offers(h http.Header, protocol string) bool {
	for _, line := range h.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(p) == protocol {
				return true
			}
		}
	}
	return false
}

// accept completes the handshake. rest is what the client sent early. After an
// error everything has been answered that can be.
func (h *Hub) accept(w http.ResponseWriter, r *http.Request, answer http.Header) (sock socket, rest []byte, err error) {
	rc := http.NewResponseController(w)
	if r.Method == http.MethodConnect {
		return acceptStream(w, r, rc, answer)
	}
	conn, rw, err := rc.Hijack()
	if err != nil {
		writeError(w, http.StatusInternalServerError, apiError{
			Error: "WebSocket impossible", Message: "the server cannot hand over this connection",
		})
		return nil, nil, err //nolint:wrapcheck // only whether there is one matters
	}
	if n := rw.Reader.Buffered(); n > 0 {
		early, _ := rw.Reader.Peek(n)
		rest = bytes.Clone(early)
	}
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = answer.Write(&b)
	b.WriteString("\r\n")
	// Deadlines of the server are still in force, and would end the connection.
	_ = conn.SetDeadline(time.Now().Add(h.times.handshake))
	if _, err = conn.Write(b.Bytes()); err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = conn.Close()
		return nil, nil, err //nolint:wrapcheck // see above
	}
	return conn, rest, nil
}

// streamSocket is a WebSocket on a stream of HTTP/2 (RFC 8441) or HTTP/3 (RFC
// 9220).
type streamSocket struct {
	body io.ReadCloser
	w    io.Writer
	rc   *http.ResponseController // the writer's
	cut  *http.ResponseController // for others, see sse.Innermost

	mu       sync.Mutex // guards what follows
	closed   bool       // the handler may have returned
	deadline time.Time
}

func acceptStream(w http.ResponseWriter, r *http.Request, rc *http.ResponseController, answer http.Header) (socket, []byte, error) {
	maps.Copy(w.Header(), answer)
	s := &streamSocket{body: r.Body, w: w, rc: rc, cut: http.NewResponseController(sse.Innermost(w))}
	_ = s.SetDeadline(time.Time{})
	w.WriteHeader(http.StatusOK)
	if err := rc.Flush(); err != nil {
		return nil, nil, err //nolint:wrapcheck // only whether there is one matters
	}
	return s, nil, nil
}

func (s *streamSocket) Read(p []byte) (int, error) { return s.body.Read(p) } //nolint:wrapcheck // a plain passage

func (s *streamSocket) Write(p []byte) (int, error) {
	s.mu.Lock()
	deadline := s.deadline
	s.mu.Unlock()
	_ = s.rc.SetWriteDeadline(deadline) // a wrapper would set a later one
	n, err := s.w.Write(p)
	if err == nil {
		err = s.rc.Flush()
	}
	return n, err //nolint:wrapcheck // a plain passage
}

func (s *streamSocket) SetDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.deadline = t
	return errors.Join(s.rc.SetReadDeadline(t), s.cut.SetWriteDeadline(t))
}

// Close makes a Read or Write under way return.
func (s *streamSocket) Close() error {
	_ = s.SetDeadline(time.Now().Add(-time.Second))
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return s.body.Close() //nolint:wrapcheck // a plain passage
}
