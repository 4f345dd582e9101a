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

	mu    sync.Mutex // guards what follows
	subs  []*subscriber
	fresh bool // somebody has subscribed since the last look
}

// subscriber is one fn of OnStatus. Its lock is held while fn runs, and taken by
// nothing else but cancel.
type subscriber struct {
	mu        sync.Mutex
	fn        func(Status)
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
	var last Status
	for {
		select {
		case <-stop:
			return
		case <-o.wake:
		case <-poll.C:
		}
		s := o.status()
		again := o.log(s)
		if o.joined() || s.Degraded != last.Degraded || !slices.Equal(s.Reasons, last.Reasons) {
			o.tell(s)
		}
		last = s
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

// joined reports whether somebody has subscribed since the last look. He may have
// read a status that is over by now and that was never told.
func (o *observer) joined() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.fresh
	o.fresh = false
	return was
}

func (o *observer) tell(s Status) {
	o.mu.Lock()
	subs := slices.Clone(o.subs)
	o.mu.Unlock()
	for _, sub := range subs {
		sub.mu.Lock()
		if !sub.cancelled {
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
	o.subs, o.fresh = append(o.subs, sub), true
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
