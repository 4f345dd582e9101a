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
	twice  int           // deliveries of an event that had been delivered
	behind time.Duration // of the schedule, at most, when an event was posted
}

// entry is one event; times are since the run began.
type entry struct {
	at, took  time.Duration // due, answered after
	acked     bool
	unsent    bool          // as many requests were unanswered as may be
	delivered time.Duration // to its session's subscriber; 0: not yet
	kept      bool          // in the history afterwards
}

func newLedger() *ledger { return &ledger{began: time.Now(), events: make(map[int]*entry)} }

// begin lets its time begin now, before anything is due.
func (l *ledger) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began = time.Now()
}

func (l *ledger) now() time.Duration { return time.Since(l.began) }

// posting notes an event that is due before it is posted: it may be delivered before
// the answer.
func (l *ledger) posting(n int, due time.Duration) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &entry{at: due}
	l.events[n], l.behind = e, max(l.behind, l.now()-due)
	return e
}

// notSent notes that an event could not be posted.
func (l *ledger) notSent(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.unsent = true
}

func (l *ledger) answered(e *entry, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.took, e.acked = l.now()-e.at, err == nil
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
		e.delivered = l.now()
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
	due, acked        int
	errors, unsent    int // not acknowledged; of these, never sent
	undelivered, lost int // of those acknowledged: never delivered, not kept
	twice             int
	hang              time.Duration // the longest answer
	behind            time.Duration // the schedule, at most, the load was
	recovered         time.Duration // from Redis' return on
	struck, back      time.Duration // when Redis went and had returned
	samples           []sample
}

// sample is what became of the events that were due in a time.
type sample struct {
	At      time.Duration // its end
	Acked   int
	Longest time.Duration // answer
}

const sampled = 100 * time.Millisecond

// samples are those of the whole run.
func (l *ledger) samples() []sample {
	var all []sample
	for _, e := range l.events {
		i := int(e.at / sampled)
		for i >= len(all) {
			all = append(all, sample{At: time.Duration(len(all)+1) * sampled})
		}
		if e.acked {
			all[i].Acked++
		}
		all[i].Longest = max(all[i].Longest, e.took)
	}
	return all
}

// late is what counts as trouble after Redis has returned.
const late = 200 * time.Millisecond

// figures sums up; struck is when Redis went, back when it had returned, and normal when
// the server said that all is well.
func (l *ledger) figures(struck, back, normal time.Duration) figures {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := figures{
		due: len(l.events), twice: l.twice, behind: l.behind, struck: struck, back: back, samples: l.samples(),
	}
	trouble := max(back, normal)
	for _, e := range l.events {
		f.hang = max(f.hang, e.took)
		if e.unsent {
			f.unsent++
		}
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
