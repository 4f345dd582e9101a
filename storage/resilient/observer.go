package resilient

import (
	"slices"
	"sync"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// statusPoll is how often the status is looked at while degraded: a breaker
// tells nobody when its time is over. While all is well nothing ticks.
const statusPoll = 250 * time.Millisecond

// observer watches a status and tells subscribers of its changes.
type observer struct {
	status func() Status
	// log is called at every look, and answers when to look again though nothing
	// changes; 0: it need not.
	log  func(Status) (again time.Duration)
	wake chan struct{}

	mu   sync.Mutex // guards subs
	subs []*subscriber
}

// subscriber is one fn of OnStatus. Its lock is held while fn runs, and taken by
// nothing else but cancel.
type subscriber struct {
	mu        sync.Mutex
	fn        func(Status)
	told      bool
	last      Status // what it was told
	cancelled bool
}

func newObserver(status func() Status, log func(Status) time.Duration) *observer {
	return &observer{status: status, log: log, wake: make(chan struct{}, 1)}
}

// look has the status looked at soon. It never blocks.
func (o *observer) look() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *observer) run(stop <-chan struct{}) {
	poll := time.NewTimer(time.Hour)
	defer poll.Stop()
	for {
		select {
		case <-stop:
			return
		case <-o.wake:
		case <-poll.C:
		}
		s := o.status()
		again := o.log(s)
		o.tell(s)
		switch {
		case s.Degraded:
			poll.Reset(statusPoll)
		case again > 0:
			poll.Reset(again)
		default:
			poll.Stop()
		}
	}
}

// tell gives s to every subscriber who has not been told the same. One who is new
// may have read a status before he subscribed that is over by now.
func (o *observer) tell(s Status) {
	o.mu.Lock()
	subs := slices.Clone(o.subs)
	o.mu.Unlock()
	for _, sub := range subs {
		sub.mu.Lock()
		same := sub.told && s.Degraded == sub.last.Degraded && slices.Equal(s.Reasons, sub.last.Reasons)
		if !same && !sub.cancelled {
			sub.told, sub.last = true, s
			sub.fn(s)
		}
		sub.mu.Unlock()
	}
}

// subscribe adds fn. cancel waits for a running call of fn, so fn must not call
// it in its own goroutine.
func (o *observer) subscribe(fn func(Status)) (cancel func()) {
	sub := &subscriber{fn: fn}
	o.mu.Lock()
	o.subs = append(o.subs, sub)
	o.mu.Unlock()
	o.look()
	return func() {
		o.mu.Lock()
		o.subs = slices.DeleteFunc(slices.Clone(o.subs), func(s *subscriber) bool { return s == sub })
		o.mu.Unlock()
		sub.mu.Lock()
		sub.cancelled = true
		sub.mu.Unlock()
	}
}

// breakerReasons says what is wrong with a breaker; nil when it is closed.
func breakerReasons(b *breaker.Breaker) []string {
	state := b.State()
	if state == breaker.Closed {
		return nil
	}
	reason := "circuit breaker " + state.String()
	if b.Stats().Held != nil {
		reason += " (held)"
	}
	if name := b.Name(); name != "" {
		reason = name + ": " + reason
	}
	return []string{reason}
}
