package breaker

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestWordPartsDoNotMix(t *testing.T) {
	for p := closed; p <= disabled; p++ {
		w := word(0)
		for range 5 {
			w = w.next(open)
		}
		w = w.next(p)
		full := w + maxProbes*oneProbe + maxProbes*oneSuccess
		if full.phase() != p || full.generation() != 6 || full.probes() != maxProbes ||
			full.successes() != maxProbes || full.failures() != maxFailures {
			t.Errorf("phase %d: %#x has mixed parts", p, full)
		}
		if full.epoch() != w || full.next(p).epoch() == w {
			t.Errorf("phase %d: wrong epoch", p)
		}
		if next := full.next(closed); next.failures() != 0 || next.generation() != 7 {
			t.Errorf("phase %d: next is %#x", p, next)
		}
	}
	last := word(1<<36-1) * oneGeneration
	if next := last.next(halfOpen); next != word(halfOpen) {
		t.Errorf("the generation after the last is %#x", next)
	}
}

// A healthy call leaves word and counters as they are, and sets nothing up.
func TestHealthyCallsChangeNothing(t *testing.T) {
	b, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	before := [2]uint64{b.word.Load(), b.successes.Load()}
	for range 1000 {
		_ = b.Run(t.Context(), func(context.Context) error { return nil })
	}
	after := [2]uint64{b.word.Load(), b.successes.Load()}
	if before != after {
		t.Errorf("the word and counters went from %x to %x", before, after)
	}
	if b.timer != nil || b.changed != nil || b.slots != nil || b.events != nil {
		t.Error("a healthy breaker holds more than itself")
	}
}

// A late tick, meant for an earlier phase, must change nothing and must leave
// the timer of the present phase running.
func TestLateTickDoesNothing(t *testing.T) {
	b, err := New(Config{FailureThreshold: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	errAny := errors.New("any")
	for _, reach := range []func(){
		func() {},
		func() { _ = b.Run(t.Context(), func(context.Context) error { return errAny }) },
		func() { b.Hold(ForcedOpen, 1<<40) },
		func() { b.Hold(Disabled, 0) },
	} {
		reach()
		before := b.load()
		b.tick()
		if b.load() != before {
			t.Errorf("a late tick changed %#x to %#x", before, b.load())
		}
	}
}

// After a Reset no timer runs, and one that has fired already finds nothing due.
func TestResetStopsTheTimer(t *testing.T) {
	b, err := New(Config{FailureThreshold: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.Trip(nil)
	b.Reset()
	if b.timer.Stop() {
		t.Error("the timer of the trip still runs")
	}
	b.mu.Lock()
	b.settleDue(time.Now().Add(time.Hour))
	b.unlock()
	if s := b.State(); s != Closed {
		t.Errorf("the timer of the trip made it %v", s)
	}
}

// A call may find a free slot, and lose it or the state before it has the lock.
func TestSlotIsLookedAtAgainUnderTheLock(t *testing.T) {
	b, err := New(Config{Probes: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	toHalfOpen := func() {
		b.Trip(nil)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.move(b.load(), halfOpen)
	}
	tests := []struct {
		name  string
		reach func()
		want  int // calls admitted of five
	}{
		{"half-open", toHalfOpen, 2},
		{"open", func() { b.Trip(nil) }, 0},
		{"closed", b.Reset, 5},
		{"disabled", func() { b.Hold(Disabled, 0) }, 5},
		{"forced open", func() { b.Hold(ForcedOpen, 0) }, 0},
	}
	for _, test := range tests {
		test.reach()
		admitted := 0
		for range 5 {
			if _, err := b.acquireProbe(); err == nil {
				admitted++
			}
		}
		if admitted != test.want {
			t.Errorf("%s: %d calls admitted, want %d", test.name, admitted, test.want)
		}
	}
}
