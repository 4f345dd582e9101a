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
	// commands by what they say.
	commands map[string]*command
	// acked is how many posts were answered with an acknowledgement.
	acked int
	// longest is the longest that a node took to acknowledge an event.
	longest  time.Duration
	problems []string
	claims   claims
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
	twice             bool  // it was published through both nodes
	unsure            bool  // an attempt got no answer, so it may have been pending
	life              int   // of the node that acknowledged it
	received          int64 // its place in the log, µs; 0: not known. The last one, at the end
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
		events:   make(map[string]map[string]*published),
		commands: make(map[string]*command),
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

// published answers a copy of what is known of an event, or nil.
func (b *book) published(log, id string) *published {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.events[log][id]
	if p == nil {
		return nil
	}
	known := *p
	return &known
}

// acknowledge notes the answer to a post of one event.
func (b *book) acknowledge(p *published, r reply) { b.acknowledgeAll([]*published{p}, []reply{r}, r) }

// acknowledgeAll notes the answer r to a post of many: that for each event. One that
// was refused has an error.
func (b *book) acknowledgeAll(events []*published, results []reply, r reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, p := range events {
		one := results[i]
		if one.Error != "" {
			continue
		}
		b.claims.acknowledged(p, r.visit, one)
		p.pending = p.pending || one.Pending
		p.volatile = p.volatile || one.Volatile
		if p.acked.IsZero() {
			p.acked, p.life = time.Now(), r.visit.life
			if !one.Duplicate {
				p.received = one.Received
			}
		}
	}
	b.acked++
	b.longest = max(b.longest, time.Duration(r.Took)*time.Microsecond)
}

// unanswered notes that nobody knows what became of these.
func (b *book) unanswered(events ...*published) {
	b.locked(func() {
		for _, p := range events {
			p.unsure = true
		}
	})
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
