package watcher

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// supervised runs a supervisor whose runs end as outcomes say, each after its
// time, and then fail at once.
type supervised struct {
	*supervisor
	clock
	starts []time.Duration // when runs began
	states []State
	fresh  chan bool
	logs   *observer.ObservedLogs
}

type life struct {
	ready bool
	holds time.Duration
}

func supervise(t *testing.T, lives ...life) *supervised {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	began := time.Now()
	v := &supervised{fresh: make(chan bool), logs: logs}
	v.supervisor = &supervisor{
		attempts: DefaultRetryAttempts,
		initial:  DefaultRetryInitial,
		log:      zap.New(core),
		stable:   func() {},
		report: func(s State, _ int, _ error) {
			v.mem.Lock()
			defer v.mem.Unlock()
			v.states = append(v.states, s)
		},
		run: func(ctx context.Context, ready func()) error {
			v.mem.Lock()
			v.starts = append(v.starts, time.Since(began))
			v.mem.Unlock()
			var l life
			if len(lives) > 0 {
				l, lives = lives[0], lives[1:]
			}
			if l.ready {
				ready()
			}
			sleep(ctx, l.holds)
			return errInjected
		},
		dormant: func(ctx context.Context, cause error, _ time.Time) (bool, error) {
			if !errors.Is(cause, errInjected) {
				return false, cause
			}
			select {
			case fresh := <-v.fresh:
				return fresh, nil
			case <-ctx.Done():
				return false, ctx.Err()
			}
		},
	}
	v.lock(t)
	go v.loop(t.Context())
	return v
}

func seconds(s ...int) []time.Duration {
	var d []time.Duration
	for _, n := range s {
		d = append(d, time.Duration(n)*time.Second)
	}
	return d
}

func TestRetriesAfterOneTwoAndFourSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := supervise(t)
		v.sleep(time.Minute)
		if want := seconds(0, 1, 3, 7); !slices.Equal(v.starts, want) {
			t.Errorf("started at %v, want %v", v.starts, want)
		}
		if got := v.states[len(v.states)-1]; got != StateFailed {
			t.Errorf("state %s", got)
		}
		if n := v.logs.FilterMessage("watcher retries exhausted").Len(); n != 1 {
			t.Errorf("%d logs of exhaustion", n)
		}

		v.fresh <- true // Restart: all attempts again
		v.sleep(time.Minute)
		if want := seconds(0, 1, 3, 7, 60, 61, 63, 67); !slices.Equal(v.starts, want) {
			t.Errorf("started at %v, want %v", v.starts, want)
		}
		v.fresh <- false // the root appeared: one more
		v.sleep(time.Minute)
		if len(v.starts) != 9 {
			t.Errorf("%d starts, want one more", len(v.starts))
		}
	})
}

func TestFlappingIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flap := life{ready: true, holds: 9 * time.Second}
		v := supervise(t, flap, flap, flap, flap, flap)
		v.sleep(time.Hour)
		if want := seconds(0, 10, 21, 34); !slices.Equal(v.starts, want) {
			t.Errorf("started at %v, want %v", v.starts, want)
		}
		if n := v.logs.FilterMessage("watcher restarted").Len(); n != 3 {
			t.Errorf("%d restarts logged", n)
		}
	})
}

func TestStabilityClearsTheCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := supervise(t, life{}, life{}, life{ready: true, holds: 10 * time.Second})
		v.sleep(time.Hour)
		if want := seconds(0, 1, 3, 14, 16, 20); !slices.Equal(v.starts, want) {
			t.Errorf("started at %v, want %v", v.starts, want)
		}
	})
}

func TestDelaysAreBounded(t *testing.T) {
	s := &supervisor{initial: time.Second, used: 200}
	if got := s.delay(); got != maxRetryDelay {
		t.Errorf("delay %s", got)
	}
}
