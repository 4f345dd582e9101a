package outage

import (
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// ledger is what publishers and subscribers have seen of each event.
type ledger struct {
	began time.Time

	mu     sync.Mutex // guards what follows
	events map[int]*entry
	twice  int // deliveries of an event that had been delivered
}

// entry is one event; times are since the run began.
type entry struct {
	session   string
	at, took  time.Duration // posted, answered after
	acked     bool
	delivered time.Duration // to its session's subscriber; 0: not yet
	kept      bool          // in the history afterwards
}

func newLedger() *ledger { return &ledger{began: time.Now(), events: make(map[int]*entry)} }

// posting notes an event before it is posted: it may be delivered before the answer.
func (l *ledger) posting(n int, session string) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &entry{session: session, at: time.Since(l.began)}
	l.events[n] = e
	return e
}

func (l *ledger) answered(e *entry, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.took, e.acked = time.Since(l.began)-e.at, err == nil
}

func (l *ledger) deliver(event []byte) {
	n := numberOf(event)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e := l.events[n]; {
	case e == nil:
	case e.delivered > 0:
		l.twice++
	default:
		e.delivered = time.Since(l.began)
	}
}

func (l *ledger) keep(event []byte) {
	n := numberOf(event)
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.events[n]; e != nil {
		e.kept = true
	}
}

func numberOf(event []byte) int {
	var e struct{ N int }
	if json.Unmarshal(event, &e) != nil {
		return -1
	}
	return e.N
}

// allDelivered reports whether everything acknowledged has been.
func (l *ledger) allDelivered() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.acked && e.delivered == 0 {
			return false
		}
	}
	return true
}

// figures are what a run has shown.
type figures struct {
	posted, acked, errors int
	undelivered, lost     int // of those acknowledged: never delivered, not kept
	twice                 int
	hang                  time.Duration // the longest answer
	recovered             time.Duration // from Redis' return on
}

// late is what counts as trouble after Redis has returned.
const late = 200 * time.Millisecond

// figures sums up; back is when Redis had returned, and normal when the server said
// that all is well.
func (l *ledger) figures(back, normal time.Duration) figures {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := figures{posted: len(l.events), twice: l.twice}
	trouble := max(back, normal)
	for _, e := range l.events {
		f.hang = max(f.hang, e.took)
		switch {
		case !e.acked:
			f.errors++
		case e.delivered == 0:
			f.undelivered++
		}
		if e.acked {
			f.acked++
			if !e.kept {
				f.lost++
			}
		}
		trouble = max(trouble, e.trouble(back))
	}
	f.recovered = trouble - back
	return f
}

// trouble is when an event that somebody posted or waited for after back was dealt
// with, if not as it should be.
func (e *entry) trouble(back time.Duration) time.Duration {
	var ends []time.Duration
	if end := e.at + e.took; end > back && (e.took > late || !e.acked) {
		ends = append(ends, end)
	}
	if e.at > back && e.acked && (e.delivered == 0 || e.delivered-e.at > late) {
		ends = append(ends, max(e.at, e.delivered))
	}
	if len(ends) == 0 {
		return 0
	}
	return slices.Max(ends)
}
