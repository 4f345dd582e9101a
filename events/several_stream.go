package events

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/actionflows/lifeline/storage"
)

// merged is one client of Server-Sent Events who follows several sessions. Each is
// joined as by a stream of its own, and its frames are those which such streams
// share; all go through one queue, and whoever writes them puts the composite id, as
// it is at this place of the queue, where the frame has its session's cursor.
type merged struct {
	*stream

	parts []part
	// unknown counts the sessions without since whose heads are not known; ready is
	// closed when there are none.
	unknown atomic.Int32
	ready   chan struct{}

	// What follows belongs to the handler's goroutine.
	ids   *composite
	moved bool // ids has changed since the client was last told
	taken []chunk
}

// part is one of the sessions: a sink, and the way into the stream's queue.
type part struct {
	*merged

	index int
	since *storage.Cursor
	first storage.Cursor // where it begins without since; set before merged.ready
	once  sync.Once      // the first confirmation
}

// streamSeveral answers GET /api/events/stream?session=…: what [Hub.ServeStream]
// does for one session, for all that are asked for.
func (s *Site) streamSeveral(w http.ResponseWriter, r *http.Request, g Grant) {
	m, problem := parseSeveral(r.URL.RawQuery, strings.TrimSpace(r.Header.Get("Last-Event-ID")))
	if problem == nil {
		problem = m.query.without("wait")
	}
	if problem == nil {
		m.types, problem = parseTypes(m.query.values["types"])
	}
	if problem != nil {
		writeError(w, http.StatusBadRequest, *problem)
		return
	}
	if s.mayReadAll(w, r, g, m.sessions) {
		s.Hub.serveMerged(w, r, m, g)
	}
}

func (h *Hub) serveMerged(w http.ResponseWriter, r *http.Request, q several, g Grant) {
	if err := h.reserve(g.Peer); err != nil {
		writeBusy(w, err)
		return
	}
	m := newMerged(newStream(h, w, g.Peer, len(q.sessions)), q)
	m.grant(g)
	h.enroll(m.stream)
	defer h.connections.remove(m.stream)
	defer m.stream.leave()
	m.Start()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	replays := make(chan struct{}, 1)
	for i, session := range q.sessions {
		defer h.leave(m.follow(ctx, session, &m.parts[i], q, replays))
		if !h.follows(g, session) {
			m.stream.expelled(session)
		}
	}
	select { // whatever is published after the header has come is in the stream
	case <-m.ready:
	case <-m.over:
		return
	case <-ctx.Done():
		return
	}
	m.begin(q.sessions)
	m.greet()
	m.run(ctx, m.drain, m.comment)
}

// encoding is the form of the events.
func (m several) encoding() encoding {
	if m.query.values.Get("named") == "1" {
		return encodeNamedStream
	}
	return encodeStream
}

func newMerged(st *stream, q several) *merged {
	m := &merged{stream: st, parts: make([]part, len(q.sessions)), ready: make(chan struct{})}
	unknown := 0
	for i, since := range q.since {
		m.parts[i] = part{merged: m, index: i, since: since}
		if since == nil {
			unknown++
		}
	}
	m.unknown.Store(int32(unknown)) //nolint:gosec // at most maxSeveral
	if unknown == 0 {
		close(m.ready)
	}
	return m
}

// follow joins a session.
func (m *merged) follow(ctx context.Context, session string, to *part, q several, replays chan struct{}) *subscriber {
	s := &subscriber{
		sink: to, out: to, via: viaStream, enc: q.encoding(), since: to.since, types: q.types, replays: replays,
	}
	m.hub.begin(s, m.hub.register(ctx, session, s))
	return s
}

// begin writes the first block, with the id from which the client can resume when
// the connection breaks before the first event.
func (m *merged) begin(sessions []string) {
	cursors := make([]storage.Cursor, len(m.parts))
	for i := range m.parts {
		if cursors[i] = m.parts[i].first; m.parts[i].since != nil {
			cursors[i] = *m.parts[i].since
		}
	}
	m.ids = newComposite(sessions, cursors)
	_ = m.Write(fmt.Appendf(nil, "retry: 3000\nid: %s\n\n", m.ids.text)) // run finds out, too
}

// drain writes what is queued; false: the stream is over.
func (m *merged) drain() bool {
	buf := writeBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool's only type
	defer writeBuffers.Put(buf)
	for {
		var ended bool
		if m.taken, ended = m.out.takeChunks(m.taken[:0]); len(m.taken) == 0 {
			return !ended
		}
		b := (*buf)[:0]
		for _, c := range m.taken {
			for block := range blocks(c.b) {
				if len(b) > 0 && len(b)+len(m.ids.text)+len(block) > maxJoin {
					if m.Write(b) != nil {
						return false
					}
					b = b[:0]
				}
				b = m.appendBlock(b, c.part, block)
			}
		}
		clear(m.taken)
		if len(b) > 0 && m.Write(b) != nil {
			return false
		}
	}
}

// blocks are the blocks of a stream in b. Data has no line breaks, so an empty line
// is the end of one.
func blocks(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			end := bytes.Index(b, []byte("\n\n")) + 2
			if !yield(b[:end]) {
				return
			}
			b = b[end:]
		}
	}
}

// appendBlock appends a session's block, its id made the composite one. If it is
// nothing but an id, the next block brings it, or the next comment.
func (m *merged) appendBlock(b []byte, part int, block []byte) []byte {
	id, rest, ok := cutID(block)
	if !ok {
		return append(b, block...)
	}
	m.ids.set(part, id)
	if m.moved = len(rest) == len("\n"); m.moved {
		return b
	}
	b = append(b, "id: "...)
	b = append(b, m.ids.text...)
	b = append(b, '\n')
	return append(b, rest...)
}

// cutID cuts the line of the id off a block.
func cutID(block []byte) (id, rest []byte, ok bool) {
	if rest, ok = bytes.CutPrefix(block, []byte("id: ")); !ok {
		return nil, block, false
	}
	return bytes.Cut(rest, []byte("\n"))
}

// comment is what is sent now and then: how far the client has come, if he has not
// been told.
func (m *merged) comment() []byte {
	if !m.moved {
		return emptyComment
	}
	m.moved = false
	return fmt.Appendf(nil, "id: %s\n\n", m.ids.text)
}

// A part is a queue: what it is given goes into the stream's, with its number.
func (s *part) push(b []byte) { s.out.pushChunk(chunk{b: b, frames: 1, part: s.index}) }

func (s *part) hand(c chunk) {
	c.part = s.index
	s.out.hand(c)
}

func (s *part) kick() { s.out.kick() }

func (s *part) box() *outbox { return &s.out }

func (s *part) pushWait(ctx context.Context, c chunk) error {
	c.part = s.index
	return s.out.pushWait(ctx, c)
}

// confirm implements sink. A session with since is followed from there, whatever
// happens until its replay begins; one without from the head that is found here.
func (s *part) confirm(sub *subscriber, c confirmation) {
	switch {
	case s.since == nil:
		s.once.Do(func() {
			s.first = c.cursor
			if s.unknown.Add(-1) == 0 {
				close(s.ready)
			}
		})
	case c.gap:
		s.push(streamGap(sub, c.cursor))
	default:
		s.push(append(appendStreamID(nil, c.cursor), '\n'))
	}
}
