package events

import (
	"slices"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// maxLatest is of how many sessions a shard remembers the newest event: those that
// got one last.
const maxLatest = 16

// LatestEvent is the newest event of a session that this node knows of.
type LatestEvent struct {
	Type string
	At   time.Time // when it was received
}

// latest are the newest events of a shard's sessions. The zero value is ready.
type latest struct {
	mu    sync.Mutex // guards what follows
	known []latestOf
}

type latestOf struct {
	hash    uint64 // of session, which spares comparing it
	at      int64  // ns since 1970
	session string
	kind    string
}

// noteLatest remembers an event, unless a newer one of its session is known.
func (h *Hub) noteLatest(session, kind string, at time.Time) {
	hash := h.hash(session)
	h.shards[hash%shards].latest.note(latestOf{hash, at.UnixNano(), session, kind})
}

func (l *latest) note(e latestOf) {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := 0
	for i := range l.known {
		k := &l.known[i]
		if k.hash == e.hash && k.session == e.session {
			if e.at >= k.at {
				k.at, k.kind = e.at, e.kind
			}
			return
		}
		if k.at < l.known[oldest].at {
			oldest = i
		}
	}
	switch {
	case len(l.known) < maxLatest:
		l.known = append(l.known, e)
	case e.at > l.known[oldest].at:
		l.known[oldest] = e
	}
}

func (l *latest) list() []latestOf {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.known)
}

// noteLatest remembers the newest event of a page, which may have come from another
// node.
func (t *topic) noteLatest(page storage.LogPage) {
	if n := len(page.Entries); n > 0 {
		e := page.Entries[n-1]
		t.hub.noteLatest(t.session, typeOf(e.Data), e.Received)
	}
}
