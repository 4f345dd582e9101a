package faultmatrix

import (
	"fmt"
	"slices"
	"time"
)

// trouble is something that a fault has begun and not yet ended, and of which the
// nodes must tell those who ask.
type trouble int

const (
	// redisAway: it answers nothing. What is taken is pending, what is shown degraded.
	redisAway trouble = iota
	// redisRefuses: it takes nothing, but may be read. What is taken is pending.
	redisRefuses
	// journalFull: the journal takes nothing. Nothing is acknowledged.
	journalFull
)

// claims is what nodes have told, compared with what was the case. The book's mutex
// guards it.
type claims struct {
	troubles map[trouble]affected
	untold   []string
	// struck is when the fault began; before it nothing is wrong. Zero: not yet.
	struck time.Time
	// alarms is what was told of trouble before that, and slowest the longest that a
	// node took for anything then: while storage is slow there is trouble.
	alarms  []string
	slowest time.Duration
}

// affected are the nodes of a trouble, and since when.
type affected struct {
	since time.Time
	nodes []int
}

// visit says to which life of which node somebody spoke, and when.
type visit struct {
	node, life int
	conn       int // which connection it was, of who stays connected
	began      time.Time
	since      string // the cursor with which he came
}

// begin notes that a trouble of these nodes has begun; without any, of all.
func (r *run) begin(what trouble, nodes ...int) {
	if len(nodes) == 0 {
		nodes = []int{0, 1, nodeCount}
	}
	r.book.locked(func() {
		if r.book.claims.troubles == nil {
			r.book.claims.troubles = make(map[trouble]affected)
		}
		r.book.claims.troubles[what] = affected{time.Now(), nodes}
	})
}

// over notes that a trouble is about to end. Before, all who stay connected must have
// been told that the node is degraded.
func (r *run) over(what trouble) {
	var nodes []int
	r.book.locked(func() { nodes = r.book.claims.troubles[what].nodes })
	if what != journalFull && !r.isCalm() {
		r.awaitTold(nodes)
	}
	r.book.locked(func() { delete(r.book.claims.troubles, what) })
}

// during has a trouble while something happens.
func (r *run) during(what trouble, happens func(), nodes ...int) {
	r.begin(what, nodes...)
	happens()
	r.over(what)
}

// awaitTold waits until those who stay connected to the nodes know that all is not well.
func (r *run) awaitTold(nodes []int) {
	var unaware []string
	told := r.until(patience, func() bool {
		unaware = nil
		for _, f := range r.readers {
			if f.stream != nil && slices.Contains(nodes, f.node) && !f.degraded.Load() {
				unaware = append(unaware, f.name)
			}
		}
		return unaware == nil
	})
	if !told {
		r.book.locked(func() { r.book.claims.note("not told that the node is degraded: %v", first(unaware)) })
	}
}

// has reports whether the trouble began before a visit, and lasts.
func (c *claims) has(what trouble, v visit) bool {
	t, ok := c.troubles[what]
	return ok && slices.Contains(t.nodes, v.node) && v.began.After(t.since)
}

// note notes what was not told, or should not have been.
func (c *claims) note(format string, args ...any) {
	c.untold = append(c.untold, fmt.Sprintf(format, args...))
}

// asked notes that a request which began then has been answered.
func (c *claims) asked(began time.Time) {
	if c.struck.IsZero() || began.Before(c.struck) {
		c.slowest = max(c.slowest, time.Since(began))
	}
}

// acknowledged compares an acknowledgement with what is the case.
func (c *claims) acknowledged(p *published, v visit, r reply) {
	switch {
	case r.Duplicate: // says what is true of an earlier post
	case c.has(journalFull, v):
		c.note("%s-%d was acknowledged by a journal that takes nothing", p.writer, p.seq)
	case !r.Pending && (c.has(redisAway, v) || c.has(redisRefuses, v)):
		c.note("%s-%d was acknowledged, and not as pending, while Redis took nothing", p.writer, p.seq)
	}
	if r.Pending {
		c.alarm("%s-%d was acknowledged as pending", p.writer, p.seq)
	}
}

// alarm notes that somebody was told of trouble, if as yet there is none.
func (c *claims) alarm(format string, args ...any) {
	if c.struck.IsZero() {
		c.alarms = append(c.alarms, fmt.Sprintf(format, args...))
	}
}

// calmEnds notes that the fault begins.
func (c *claims) calmEnds() { c.struck = time.Now() }

// slowStorage is how long a node may take for anything while nothing is wrong, if it
// is to tell of no trouble: from 250 ms on it is pending, from 300 ms on degraded.
const slowStorage = 200 * time.Millisecond

// verdict is what was told wrongly.
func (c *claims) verdict() []string {
	if c.slowest > slowStorage {
		return c.untold
	}
	said := slices.Clone(c.untold)
	for _, a := range c.alarms {
		said = append(said, a+" although nothing was wrong")
	}
	return said
}

// shown compares a page with what is the case.
func (c *claims) shown(who string, r reply) {
	if !r.Degraded && c.has(redisAway, r.visit) {
		c.note("%s: a page is not degraded, and Redis did not answer", who)
	}
	if r.Degraded {
		c.alarm("%s: a page was degraded", who)
	}
}
