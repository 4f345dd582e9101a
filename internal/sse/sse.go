// Package sse writes Server-Sent Events to a client who may be slow, or gone.
package sse

import (
	"net/http"
	"sync"
	"time"
)

// Writer is the answer to one request. Its handler's goroutine calls Start, Write
// and Leave; End may be called from any other.
type Writer struct {
	w       http.ResponseWriter
	rc      *http.ResponseController // of w
	conn    *http.ResponseController // of what w wraps; see End
	timeout time.Duration

	mu       sync.Mutex // guards what follows
	returned bool       // the handler has: w and rc are no longer ours
	deadline time.Time  // set once the stream is to end
}

// New makes a writer of which one Write may take as long as timeout.
func New(w http.ResponseWriter, timeout time.Duration) *Writer {
	return &Writer{
		w: w, rc: http.NewResponseController(w), conn: http.NewResponseController(Innermost(w)), timeout: timeout,
	}
}

// Innermost is the writer that all others wrap. Those in between may keep deadlines of
// their own, and are for the goroutine alone that writes: whoever cuts short a write that
// is under way must go round them.
func Innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = wrapper.Unwrap()
	}
}

// Start sends the header. The server's deadlines do not count for a stream: a
// read deadline would cancel the request, write deadlines are set per write.
func (s *Writer) Start() {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx passes events on at once
	h.Set("X-Content-Type-Options", "nosniff")
	_ = s.rc.SetReadDeadline(time.Time{})
	s.w.WriteHeader(http.StatusOK)
}

// Write sends and flushes b, which is whole blocks.
func (s *Writer) Write(b []byte) error {
	s.mu.Lock()
	deadline := s.deadline
	if deadline.IsZero() {
		deadline = time.Now().Add(s.timeout)
	}
	_ = s.rc.SetWriteDeadline(deadline) // not every writer has one
	s.mu.Unlock()
	if _, err := s.w.Write(b); err != nil {
		return err //nolint:wrapcheck // only whether there is one matters
	}
	return s.rc.Flush() //nolint:wrapcheck // see above
}

// End lets all writes, one that is under way included, take until then at most; one
// that begins at this very moment may take its timeout.
//
// It goes past the writers in between: those remember deadlines, as Caddy's for its
// timeouts does, and are not safe for concurrent use.
func (s *Writer) End(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deadline.IsZero() || until.Before(s.deadline) {
		s.deadline = until
	}
	if !s.returned {
		_ = s.conn.SetWriteDeadline(s.deadline)
	}
}

// Leave gives the connection back to the server, without our deadline: the next
// request may come over it.
func (s *Writer) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.returned = true
	_ = s.rc.SetWriteDeadline(time.Time{})
}
