package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestEveryRuleCanFail runs the rules against a breaker that breaks them all, so
// that "kept" means something.
func TestEveryRuleCanFail(t *testing.T) {
	naive := library{
		name:    "naive",
		new:     func(s settings) (subject, error) { return &naiveBreaker{settings: s, state: closed}, nil },
		invalid: map[string]func() error{"anything": func() error { return nil }},
	}
	for _, r := range rules {
		t.Run(fmt.Sprint(r.number), func(t *testing.T) {
			verdict := judge(t, r, naive)
			if verdict == "kept" {
				t.Errorf("rule %d does not notice", r.number)
			}
			t.Log(verdict)
		})
	}
}

var errNaive = errors.New("open")

// naiveBreaker is what one writes in half an hour. Every rule is broken on
// purpose.
type naiveBreaker struct {
	settings

	mu       sync.Mutex
	state    string
	failures int // of any call, forgotten after ten quiet seconds
	last     time.Time
	probing  int
}

func (b *naiveBreaker) Call(ctx context.Context, op func(context.Context) error) error {
	done, ok := b.Acquire()
	if !ok {
		return errNaive
	}
	err := op(ctx)
	done(err)
	return err
}

func (b *naiveBreaker) Acquire() (done func(error), ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == open && time.Since(b.last) > b.reset {
		b.become(halfOpen)
	}
	if b.state == open || b.state == halfOpen && b.probing > b.probes {
		return nil, false
	}
	if b.state == halfOpen {
		b.probing++
	}
	return b.done, true
}

func (b *naiveBreaker) done(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		if b.state != closed {
			b.become(closed)
		}
		return
	}
	if time.Since(b.last) > 10*time.Second {
		b.failures = 0
	}
	b.failures++
	b.last = time.Now()
	if b.state == halfOpen || b.failures >= b.threshold {
		b.become(open)
	}
}

func (b *naiveBreaker) become(state string) {
	from := b.state
	b.state, b.probing = state, 0
	if state == closed {
		b.failures = 0
	}
	if b.onTransition != nil {
		b.onTransition(from, state)
	}
}

func (b *naiveBreaker) State() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

func (b *naiveBreaker) Rejected(err error) bool { return errors.Is(err, errNaive) }

func (b *naiveBreaker) Trip() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = time.Now()
	b.become(open)
}

func (b *naiveBreaker) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.become(closed)
}
