package resilient

import (
	"slices"

	"github.com/actionflows/lifeline/breaker"
)

// lane is a part of the backend that fails by itself: it has a breaker, and one
// shipper that carries what is for it.
//
// turn is held over each attempt of the shipper, the probe or the audit, so that
// they take turns; it is taken before [Journaled].mu, which guards what stands
// below it.
type lane struct {
	owner   *Journaled
	index   int
	breaker *breaker.Breaker
	turn    turn
	limit   int // ops in the next batch; guarded by turn

	work chan struct{} // there may be something for the shipper to do
	kick chan struct{} // the breaker may have changed

	// queue are the chains with entries to send, in the order in which they are
	// served: one that had its share goes to the end.
	queue []*chain
	// audit are the chains whose state in the backend is to be compared; the
	// gapped ones first. auditDue: all others are to be added.
	audit    []*chain
	urgent   []*chain // of these, those that something is to be sent to
	auditDue bool
	beatDue  bool // the backend is to be asked whether it lost something

	pending list // not in the backend, oldest first
	aside   list // the same, of chains that are set aside

	open   bool          // the breaker, when it was last looked at
	opened chan struct{} // closed while open
}

func newLane(owner *Journaled, index int, b *breaker.Breaker) *lane {
	return &lane{
		owner: owner, index: index, breaker: b, turn: newTurn(), limit: owner.cfg.BatchOps,
		work: make(chan struct{}, 1), kick: make(chan struct{}, 1), opened: make(chan struct{}),
	}
}

func (l *lane) isOpen() bool { return l.breaker.State() == breaker.Open }

func (l *lane) enqueue(c *chain) {
	if !c.queued && c.shippable() {
		c.queued = true
		l.queue = append(l.queue, c)
	}
}

func (l *lane) dequeue(c *chain) {
	if c.queued {
		c.queued = false
		l.queue = slices.DeleteFunc(l.queue, func(other *chain) bool { return other == c })
	}
}

// prune takes out of the queue what has become not shippable.
func (l *lane) prune() {
	l.queue = slices.DeleteFunc(l.queue, func(c *chain) bool {
		c.queued = c.shippable()
		return !c.queued
	})
}

// look notes whether the breaker is open, and lets waiting callers be acknowledged
// if so.
func (l *lane) look() (open bool) {
	l.owner.mu.Lock()
	defer l.owner.mu.Unlock()
	return l.lookLocked()
}

// lookLocked is look with mu held.
func (l *lane) lookLocked() (open bool) {
	open = l.isOpen()
	if open == l.open {
		return open
	}
	l.open = open
	if open {
		close(l.opened)
	} else {
		l.opened = make(chan struct{})
	}
	l.owner.observer.look()
	return open
}

func (l *lane) wake() { signal(l.work) }
