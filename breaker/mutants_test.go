package breaker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mutant is a mistake that one could make in this package, and the test that
// finds it. `make mutants` makes each of them and runs its test.
type mutant struct {
	name  string
	edits []edit
	test  string
}

// edit replaces old, which occurs once in the file, by new.
type edit struct{ file, old, new string }

var mutants = []mutant{
	{"failure CAS made a store", []edit{
		{"count.go", "		if b.swap(w, w+oneFailure) {\n", "		interleave()\n		b.word.Store(uint64(w + oneFailure))\n		{\n"},
	}, "TestLinearizable"},
	{"success CAS made a store", []edit{
		{"count.go", "if next := b.afterSuccess(w); w == next || b.swap(w, next) {", "next := b.afterSuccess(w)\n		interleave()\n		b.word.Store(uint64(next))\n		{"},
	}, "TestLinearizable"},
	{"transition CAS made a store", []edit{
		{"transition.go", "	if !b.swap(w, w.next(p)) {\n		return false\n	}\n", "	interleave()\n	b.word.Store(uint64(w.next(p)))\n"},
	}, "TestLinearizable"},
	{"probe CAS made a store of what was seen before the lock", []edit{
		{"token.go", "acquireProbe() (Token, error) {\n	b.mu.Lock()\n	defer b.mu.Unlock()\n	switch w := b.load(); w.phase() {", "acquireProbe() (Token, error) {\n	w := b.load()\n	interleave()\n	b.mu.Lock()\n	defer b.mu.Unlock()\n	switch w.phase() {"},
		{"token.go", "b.swap(w, w+oneProbe)", "b.word.Store(uint64(w + oneProbe))"},
	}, "TestLinearizable"},
	{"timer ignores the generation", []edit{
		{"transition.go", "	case now.Before(b.until):\n		b.schedule(b.until, now)\n", ""},
	}, "TestLateTickDoesNothing"},
	{"success ignores the generation", []edit{
		{"count.go", "		if w.epoch() != admitted.epoch() {\n			return\n		}\n		if next", "		if next"},
	}, "TestRule3StaleResultsAreVoid"},
	{"failure ignores the generation", []edit{
		{"count.go", "	if w.epoch() != admitted.epoch() || b.done {\n		return true\n	}\n	if w.phase() == disabled", "	if b.done {\n		return true\n	}\n	if w.phase() == disabled"},
		{"count.go", "		if w.epoch() != admitted.epoch() {\n			return\n		}\n		if w.phase() != closed ||", "		if w.phase() != closed ||"},
	}, "TestRule3StaleResultsAreVoid"},
	{"probe quota off by one", []edit{
		{"token.go", "if w.probes() < b.cfg.Probes {", "if w.probes() <= b.cfg.Probes {"},
		{"token.go", "if w.probes() == b.cfg.Probes {", "if w.probes() > b.cfg.Probes {"},
	}, "TestRule4HalfOpenAdmitsExactlyProbes"},
	{"success threshold off by one", []edit{
		{"probe.go", "w.successes()+1 < b.cfg.ProbeSuccesses", "w.successes() < b.cfg.ProbeSuccesses"},
	}, "TestManyProbesFitTheWord"},
	{"failure threshold off by one", []edit{
		{"count.go", "if w.phase() != closed || w.failures()+1 >= b.cfg.FailureThreshold {", "if w.phase() != closed || w.failures() >= b.cfg.FailureThreshold {"},
	}, "TestRule7ConsecutiveMeansConsecutive"},
	{"reset that leaves the time of the timer", []edit{
		{"transition.go", "b.hold, b.until = c.hold, c.until\n", "b.hold = c.hold\n	if c.reason != ReasonReset {\n		b.until = c.until\n	}\n"},
	}, "TestResetStopsTheTimer"},
	{"reset that leaves the timer running", []edit{
		{"transition.go", "			b.timer.Stop()\n", "			_ = 0\n"},
	}, "TestResetStopsTheTimer"},
	{"ignored outcome counted", []edit{
		{"token.go", "	case o == Ignore:\n", "	case o == Ignore && false:\n"},
	}, "TestRule7ConsecutiveMeansConsecutive"},
	{"ignored probe keeps its slot", []edit{
		{"probe.go", "		b.ignored.Add(1)\n		b.swap(w, w-oneProbe)\n", "		b.ignored.Add(1)\n"},
	}, "TestRule6CancelledProbeFreesItsSlotAtOnce"},
	{"half-open success that keeps the failure count", []edit{
		{"transition.go", "		b.failureCount = 0\n", ""},
	}, "TestTransitionsTellEverything"},
	{"expiry of a probe that never fires", []edit{
		{"token.go", "			b.schedule(s.deadline, now)\n", "			_ = now\n"},
	}, "TestRule2HungProbeNeverWedges"},
	{"expiry of a hold that never fires", []edit{
		{"transition.go", "	case b.hold != 0:\n		b.apply(w, change{to: closed, reason: ReasonHoldExpired, at: now})\n", "	case b.hold != 0:\n"},
	}, "TestHoldExpires"},
	{"token that may be used twice", []edit{
		{"token.go", "	b, w, mark := t.b, t.word, t.mark\n	t.b = nil\n", "	b, w, mark := t.b, t.word, t.mark\n"},
	}, "TestRule10SecondDoneIsANoOp"},
	{"panic not counted", []edit{
		{"do.go", "	if c.inside {\n", "	if c.inside && false {\n"},
	}, "TestRule1UnwindingIsAFailureAndGoesOn"},
	{"hook called under the lock", []edit{
		{"hooks.go", "	b.mu.Unlock()\n	defer b.mu.Lock()\n	call()\n", "	call()\n"},
	}, "TestRule9HooksInOrderWithoutLock"},
	{"stale watch probe trips", []edit{
		{"watch.go", "		if w.epoch() != epoch || w.phase() == open {\n", "		if w.phase() == open {\n"},
	}, "TestWatchStaleProbeDoesNothing"},
	{"window that never forgets", []edit{
		{"window.go", "		w.sum.calls -= t.calls\n		w.sum.bad -= t.bad\n", "		_ = t\n"},
	}, "TestWindowAgainstAList"},
	{"slow probe closes", []edit{
		{"probe.go", "if o == Success && b.rules.tooSlow(", "if o == Success && false && b.rules.tooSlow("},
	}, "TestSlowProbeIsAFailure"},
	{"one admission is enough for the adaptive rule", []edit{
		{"learner.go", "next.score() >= tripScore && next.spread()", "next.score() >= tripScore"},
	}, "TestAdaptiveNeedsTwoAdmissions"},
	{"an outage is learned", []edit{
		{"learner.go", "	l.done = sample{}\n	l.begin(now)\n}\n", "	_ = now\n}\n"},
	}, "TestAdaptiveLearnsNothingFromAnOutage"},
}

func TestMutantsCanBeMade(t *testing.T) {
	docs, err := os.ReadFile(filepath.Join("..", "docs", "breaker.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		if line := "| " + m.name + " | `" + m.test + "` |"; !strings.Contains(string(docs), line) {
			t.Errorf("docs/breaker.md has no line %q", line)
		}
		if _, err := m.files(); err != "" {
			t.Errorf("%s: %s", m.name, err)
		}
	}
}

// files are the changed sources by name, or why they cannot be made.
func (m mutant) files() (changed map[string]string, problem string) {
	changed = make(map[string]string)
	for _, e := range m.edits {
		if changed[e.file] == "" {
			source, err := os.ReadFile(e.file)
			if err != nil {
				return nil, err.Error()
			}
			changed[e.file] = string(source)
		}
		if strings.Count(changed[e.file], e.old) != 1 {
			return nil, "not exactly once in " + e.file + ": " + e.old
		}
		changed[e.file] = strings.Replace(changed[e.file], e.old, e.new, 1)
	}
	return changed, ""
}
