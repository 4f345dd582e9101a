package faultmatrix

import (
	"sync"
	"time"
)

// book is the test's log of what was asked for and what was acknowledged.
type book struct {
	mu     sync.Mutex
	events map[string]map[string]*published // log → id
	writes []*write
	counts tally
	inputs inputs
	acked  int
	// longest is the longest that a node took to acknowledge an event.
	longest  time.Duration
	problems []string
}

// published is an event that a writer has tried to publish.
type published struct {
	writer string
	seq    int // of the writer, from 0 on
	node   int
	first  time.Time // it was tried
	acked  time.Time // zero: not yet
	// pending and volatile are what the acknowledgement said.
	pending, volatile bool
	twice             bool // it was published through both nodes
}

// write is a value written to a document; nobody writes the same value twice.
type write struct {
	document string
	value    float64
	node     int
	first    time.Time
	acked    time.Time // zero: not known to be done
}

// tally is how often an action was counted.
type tally struct{ acked, unknown int }

// inputs is what became of queued input.
type inputs struct {
	pushed map[string]time.Time // acknowledged
	tried  map[string]struct{}
	taken  map[string]int // how often it was handed out
	// lost is how many at most were in answers that did not arrive.
	lost int
}

func newBook() *book {
	return &book{
		events: make(map[string]map[string]*published),
		inputs: inputs{
			pushed: make(map[string]time.Time), tried: make(map[string]struct{}), taken: make(map[string]int),
		},
	}
}

func (b *book) locked(fn func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fn()
}

// try notes that an event is about to be published.
func (b *book) try(log, id string, p published) *published {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.events[log] == nil {
		b.events[log] = make(map[string]*published)
	}
	if known := b.events[log][id]; known != nil {
		return known
	}
	p.first = time.Now()
	b.events[log][id] = &p
	return &p
}

// acknowledge notes the answer for an event.
func (b *book) acknowledge(p *published, r reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.acked.IsZero() {
		p.acked, p.pending, p.volatile = time.Now(), r.Pending, r.Volatile
		b.acked++
	}
	b.longest = max(b.longest, time.Duration(r.Took)*time.Microsecond)
}

func (b *book) acknowledged() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acked
}

// problem notes what must not be.
func (b *book) problem(text string) {
	b.locked(func() { b.problems = append(b.problems, text) })
}
