package breaker_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
)

// rule is one of the rules of docs/breaker.md. keep says how a library breaks it,
// or "" if it keeps it.
type rule struct {
	number int
	keep   func(*testing.T, library) string
}

var rules = []rule{
	{1, unwindingIsAFailure},
	{2, hungProbeNeverWedges},
	{3, staleResultsAreVoid},
	{4, halfOpenAdmitsProbes},
	{5, whoseCancelItIs},
	{6, cancelledProbeFreesItsSlot},
	{7, consecutiveMeansConsecutive},
	{8, stateIsTrueWithoutTraffic},
	{9, hooksInOrderWithoutLock},
	{10, secondDoneIsANoOp},
	{11, countNeverDecays},
	{12, settingsAreValidated},
	{13, commandsAreIdempotentAndVoid},
}

// TestRules runs every rule against every library, for what `make bench` writes
// into docs/breaker.md. Only our own breaker has to keep them.
func TestRules(t *testing.T) {
	for _, lib := range libraries {
		t.Run(lib.name, func(t *testing.T) {
			for _, r := range rules {
				t.Run(fmt.Sprint(r.number), func(t *testing.T) {
					verdict := judge(t, r, lib)
					t.Attr("verdict", verdict)
					if lib.name == ours.name && verdict != "kept" {
						t.Errorf("rule %d: %s", r.number, verdict)
					}
				})
			}
		})
	}
}

func judge(t *testing.T, r rule, lib library) string {
	if why := lib.lacks[r.number]; why != "" {
		return "n/a: " + why
	}
	if broken := r.keep(t, lib); broken != "" {
		return "broken: " + broken
	}
	return "kept"
}

func unwindingIsAFailure(t *testing.T, lib library) string {
	how := []struct {
		name   string
		unwind func()
	}{
		{"a panic", func() { panic("boom") }},
		{"runtime.Goexit", runtime.Goexit},
	}
	for _, h := range how {
		broken := inLab(t, lib, settings{threshold: 1}, func(l *lab) string {
			for _, as := range []string{"a call", "a probe"} {
				recovered, returned := unwinding(l, h.unwind)
				if returned || (h.name == "a panic") != (recovered == "boom") {
					return h.name + " does not go on unwinding"
				}
				if l.State() != open {
					return fmt.Sprintf("%s in %s is not counted", h.name, as)
				}
				cool()
			}
			if l.play("S"); l.State() != closed {
				return h.name + " in a probe keeps its slot"
			}
			return ""
		})
		if broken != "" {
			return broken
		}
	}
	return ""
}

// unwinding makes a call that does not return, in a goroutine as Goexit would end
// the test, and tells what it saw.
func unwinding(l *lab, unwind func()) (recovered any, returned bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { recovered = recover() }()
		_ = l.Call(l.t.Context(), func(context.Context) error { unwind(); return nil })
		returned = true
	}()
	<-done
	return recovered, returned
}

// hungProbeNeverWedges gives a library without a time-out for probes ten times
// the time that the breaker was open.
func hungProbeNeverWedges(t *testing.T, lib library) string {
	for i, name := range []string{"success", "failure"} {
		late := []error{nil, errDown}[i]
		broken := inLab(t, lib, settings{threshold: 1}, func(l *lab) string {
			l.half()
			hung := l.start()
			if !hung.admitted {
				return "it admits no probe"
			}
			pass(10 * resetTimeout)
			next := l.start()
			if !next.admitted {
				return "a probe that hangs wedges it for good"
			}
			before := l.State()
			hung.end(late)
			if now := l.State(); now != before {
				return fmt.Sprintf("the late %s of a hung probe makes it %s", name, now)
			}
			if next.end(nil); l.State() != closed {
				return "the probe after a hung one does not close it"
			}
			return ""
		})
		if broken != "" {
			return broken
		}
	}
	return ""
}

// staleResultsAreVoid admits a call, makes transitions, and ends the call.
func staleResultsAreVoid(t *testing.T, lib library) string {
	tests := []struct {
		result error
		since  func(*lab)
		broken string
	}{
		{nil, func(l *lab) { l.play("F") }, "a late success closes the open breaker"},
		{nil, func(l *lab) { l.half(); l.start() }, "a late success closes the half-open breaker"},
		{errDown, func(l *lab) { l.half(); l.start() }, "a late failure opens the half-open breaker"},
		{errDown, func(l *lab) { l.half(); l.play("S") }, "a late failure opens the recovered breaker"},
	}
	for _, test := range tests {
		broken := inLab(t, lib, settings{threshold: 1}, func(l *lab) string {
			late := l.start()
			test.since(l)
			before := l.State()
			if late.end(test.result); l.State() != before {
				return test.broken
			}
			return ""
		})
		if broken != "" {
			return broken
		}
	}
	return ""
}

func halfOpenAdmitsProbes(t *testing.T, lib library) string {
	for _, probes := range []int{1, 2, 7} {
		broken := inLab(t, lib, settings{threshold: 1, probes: probes}, func(l *lab) string {
			l.half()
			if n := admittedOf(l, 100); n != probes {
				return fmt.Sprintf("of 100 calls at once it admits %d, not %d", n, probes)
			}
			return ""
		})
		if broken != "" {
			return broken
		}
	}
	return ""
}
