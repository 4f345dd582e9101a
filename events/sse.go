package events

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/internal/sse"
	"github.com/actionflows/lifeline/storage"
)

// stream is one client of Server-Sent Events. The handler's goroutine writes.
type stream struct {
	*sse.Writer

	hub  *Hub
	peer Peer
	may  atomic.Pointer[Grant] // see grant
	out  outbox
	wake chan struct{} // holds one place: there is something to do
	over chan struct{} // closed by end

	begun sync.Once   // the first confirmation
	open  atomic.Bool // the first block has been queued or written

	opened   time.Time
	sessions int // that it follows
}

// ServeStream sends a session's events as Server-Sent Events until the client
// leaves, the hub closes, the connection is not admitted any longer or does not
// read fast enough. The header Last-Event-ID, or else the parameter since, says
// where to begin; a bad one is answered with 400. With named=1 events carry
// their type in an event field; types leaves the others out.
func (h *Hub) ServeStream(w http.ResponseWriter, r *http.Request, session string, g Grant) {
	since, problem := streamStart(r)
	types, wrong := parseTypes(r.URL.Query()["types"])
	if problem == nil {
		problem = wrong
	}
	if problem != nil {
		writeError(w, http.StatusBadRequest, *problem)
		return
	}
	if err := h.reserve(g.Peer); err != nil {
		writeBusy(w, err)
		return
	}
	st := newStream(h, w, g.Peer, 1)
	st.grant(g)
	h.enroll(st)
	defer h.connections.remove(st)
	defer st.leave()
	st.Start()
	if r.Method == http.MethodHead {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s := &subscriber{
		sink: st, out: &st.out, via: viaStream, enc: encodeStream, since: since,
		types: types, replays: make(chan struct{}, 1),
	}
	if r.URL.Query().Get("named") == "1" {
		s.enc = encodeNamedStream
	}
	created := h.register(ctx, session, s)
	defer h.leave(s)
	if !h.follows(g, session) {
		st.expelled(session)
	}
	h.begin(s, created)
	st.run(ctx, st.drain, func() []byte { return emptyComment })
}

// streamStart is the cursor with which a stream is to begin; nil: from now on.
func streamStart(r *http.Request) (*storage.Cursor, *apiError) {
	name, value := "Last-Event-ID", strings.TrimSpace(r.Header.Get("Last-Event-ID"))
	if value == "" {
		name, value = "since", r.URL.Query().Get("since")
	}
	if value == "" {
		return nil, nil //nolint:nilnil // there is none, and nothing is wrong
	}
	c, err := storage.ParseCursor(value)
	if err != nil {
		return nil, badParameter(name, "is "+err.Error())
	}
	return &c, nil
}

func newStream(h *Hub, w http.ResponseWriter, p Peer, sessions int) *stream {
	l := h.Limits()
	st := &stream{
		Writer: sse.New(w, h.times.write), hub: h, peer: p, wake: make(chan struct{}, 1), over: make(chan struct{}),
		opened: h.now(), sessions: sessions,
	}
	st.out = outbox{
		maxBytes: l.MaxQueueBytes, maxFrames: l.MaxQueueFrames,
		wake: func() { tell(st.wake) },
		full: func() {
			h.meet(LimitQueue)
			h.log.Debug("slow consumer", zap.String("transport", "sse"))
			st.end(closeSlow, "", true)
		},
	}
	return st
}

// emptyComment shows proxies that the stream is alive.
var emptyComment = []byte(":\n\n")

// run has drain write what is queued, and writes a comment now and then, until the
// stream ends.
func (st *stream) run(ctx context.Context, drain func() bool, idle func() []byte) {
	comment := time.NewTicker(st.hub.times.comment)
	defer comment.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-comment.C:
			if st.Write(idle()) != nil {
				return
			}
		case <-st.wake:
			if !drain() {
				return
			}
		}
	}
}

// drain writes what is queued; false: the stream is over.
func (st *stream) drain() bool {
	buf := writeBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool's only type
	defer writeBuffers.Put(buf)
	for {
		b, ended := st.out.take(*buf)
		if b == nil {
			return !ended
		}
		if st.Write(b) != nil {
			return false
		}
	}
}

func (st *stream) identity() Peer { return st.peer }

func (st *stream) granted() Grant { return *st.may.Load() }

func (st *stream) grant(g Grant) { st.may.Store(&g) }

// end makes the stream end; the code is for WebSockets.
func (st *stream) end(_ int, _ string, discard bool) {
	if !st.out.finish(nil, discard) {
		return
	}
	close(st.over)
	st.End(time.Now().Add(st.hub.times.closing))
}

// abort ends the stream without waiting for a write under way.
func (st *stream) abort() {
	st.end(closeGoingAway, "", true)
	st.End(time.Now())
}

// leave gives the connection back to the server.
func (st *stream) leave() {
	st.out.kill()
	st.Leave()
}

// confirm implements sink: a stream begins, and says only what is missing. The
// header goes out with it, so that a client learns that it is connected when it
// follows the session: whatever is published after that reaches it.
func (st *stream) confirm(s *subscriber, f confirmation) {
	st.begun.Do(func() {
		b := []byte("retry: 3000\n")
		if !f.gap {
			b = appendStreamID(b, f.cursor)
		}
		st.out.push(append(b, '\n'))
		st.greet()
	})
	if f.gap {
		st.out.push(streamGap(s, f.cursor))
	}
}

// appendStreamID appends an id, which without data dispatches nothing in a browser, and
// lets it resume from there when the connection breaks before the first event.
func appendStreamID(b []byte, c storage.Cursor) []byte {
	b = append(b, "id: "...)
	b = append(b, c.String()...)
	return append(b, '\n')
}

// streamGap tells of a gap together with the cursor behind it: who had that one alone
// when the connection breaks would resume from it, and never be told.
func streamGap(s *subscriber, c storage.Cursor) []byte {
	return append(appendStreamID(nil, c), appendStreamNotice(nil, s.topic.quoted, noticeGap, c.String())...)
}

// failed implements sink: the client comes again by itself.
func (st *stream) failed(*subscriber, error) { st.end(closeGoingAway, "", false) }

// expelled implements granted: the client comes again and is told why not.
func (st *stream) expelled(string) { st.end(CloseForbidden, "", true) }
