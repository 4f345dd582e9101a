package breaker_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The rules go on here from rules_test.go.

// admittedOf makes n calls at once and counts those whose operation begins.
func admittedOf(l *lab, n int) int {
	var admitted atomic.Int64
	begin, end := make(chan struct{}), make(chan struct{})
	for range n {
		go func() {
			<-begin
			_ = l.Call(l.t.Context(), func(context.Context) error {
				admitted.Add(1)
				<-end
				return nil
			})
		}()
	}
	close(begin)
	synctest.Wait()
	defer close(end)
	return int(admitted.Load())
}

func whoseCancelItIs(t *testing.T, lib library) string {
	return inLab(t, lib, settings{threshold: 1}, func(l *lab) string {
		if l.play("C"); l.State() != closed {
			return "the caller's cancel opens it"
		}
		if l.play("D"); l.State() != open {
			return "a deadline is not counted"
		}
		return ""
	})
}

func cancelledProbeFreesItsSlot(t *testing.T, lib library) string {
	return inLab(t, lib, settings{threshold: 1}, func(l *lab) string {
		l.half()
		if !l.play("C") {
			return "it admits no probe"
		}
		if l.State() == closed {
			return "a cancelled probe closes it"
		}
		if !l.play("S") {
			return "the call after a cancelled probe is rejected"
		}
		if l.State() != closed {
			return "the probe after a cancelled one does not close it"
		}
		return ""
	})
}

func consecutiveMeansConsecutive(t *testing.T, lib library) string {
	for _, test := range []struct{ calls, want string }{
		{"FFFF", closed},
		{"FFFFF", open},
		{"FFFFSF", closed},
		{"FFFFSFFFFS", closed},
		{"FFFFSFFFFF", open},
	} {
		broken := inLab(t, lib, settings{threshold: 5}, func(l *lab) string {
			if l.play(test.calls); l.State() != test.want {
				return fmt.Sprintf("%s leaves it %s", test.calls, l.State())
			}
			return ""
		})
		if broken != "" {
			return broken
		}
	}
	return ""
}

func stateIsTrueWithoutTraffic(t *testing.T, lib library) string {
	return inLab(t, lib, settings{threshold: 1}, func(l *lab) string {
		l.play("F")
		if l.State() != open {
			return "it does not open"
		}
		if cool(); l.State() != halfOpen {
			return "it reads " + l.State() + " when a call would be admitted"
		}
		return ""
	})
}

func secondDoneIsANoOp(t *testing.T, lib library) string {
	return inLab(t, lib, settings{threshold: 3}, func(l *lab) string {
		b, ok := l.subject.(twoStep)
		if !ok {
			return "it takes functions only"
		}
		done, ok := b.Acquire()
		if !ok {
			return "it rejects the first call"
		}
		for range 5 {
			done(errDown)
		}
		if l.State() != closed {
			return "one failure told thrice opens it at the threshold 3"
		}
		return ""
	})
}

func countNeverDecays(t *testing.T, lib library) string {
	return inLab(t, lib, settings{threshold: 200}, func(l *lab) string {
		for range 199 {
			l.play("F")
			pass(19 * time.Second)
		}
		if l.State() != closed {
			return "it opens before the threshold"
		}
		if l.play("F"); l.State() != open {
			return "200 failures in a row, 19 s apart, leave it " + l.State()
		}
		return ""
	})
}

func settingsAreValidated(_ *testing.T, lib library) string {
	var accepted []string
	for _, name := range slices.Sorted(maps.Keys(lib.invalid)) {
		if lib.invalid[name]() == nil {
			accepted = append(accepted, name)
		}
	}
	if len(accepted) == 0 {
		return ""
	}
	return "it accepts " + strings.Join(accepted, ", ")
}

func commandsAreIdempotentAndVoid(t *testing.T, lib library) string {
	var events []string
	note := func(from, to string) { events = append(events, from+">"+to) }
	return inLab(t, lib, settings{threshold: 1, onTransition: note}, func(l *lab) string {
		b, ok := l.subject.(commanded)
		if !ok {
			return "it has no commands"
		}
		late := l.start()
		for range 3 {
			b.Trip()
		}
		if got := strings.Join(events, ","); l.State() != open || got != closed+">"+open {
			return fmt.Sprintf("three times Trip tells %q", got)
		}
		for range 3 {
			b.Reset()
		}
		if got := strings.Join(events, ","); l.State() != closed || got != closed+">"+open+","+open+">"+closed {
			return fmt.Sprintf("three times Trip and three times Reset tell %q", got)
		}
		if late.end(errDown); l.State() != closed {
			return "a call from before Trip and Reset still counts"
		}
		return holds(l)
	})
}

// holds is the part of rule 13 about holds.
func holds(l *lab) string {
	b, ok := l.subject.(held)
	if !ok {
		return "it has no holds"
	}
	b.Hold(open)
	pass(10 * resetTimeout)
	if l.play("S") || l.State() != open {
		return "held open it admits calls"
	}
	b.Hold(closed)
	if !l.play("FFFFF") || l.State() != closed {
		return "held closed it opens"
	}
	if b.Release(); l.State() != closed {
		return "after a hold it is not closed"
	}
	return ""
}
