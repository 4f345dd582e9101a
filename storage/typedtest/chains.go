package typedtest

import (
	"fmt"
	"strings"
	"sync"

	"github.com/actionflows/lifeline/storage"
)

const fullChain = `{"id":"c1","sessionId":"s1","userId":"anna","title":"Build","steps":[
	{"stepNumber":1,"action":"code","model":"m","inputs":{"a":1},"waitsFor":[],"status":"completed","description":"d",
	 "startedAt":"2026-03-01T10:00:00Z","completedAt":"2026-03-01T10:00:01Z","duration":1000,"result":{"r":1},"error":"e","learning":"l","x":1},
	{"stepNumber":2,"action":"test","model":"m","inputs":{},"waitsFor":[1],"status":"pending"}],
	"source":"flow","ref":"r","status":"in_progress","compiledAt":"2026-03-01T09:59:00Z","startedAt":"2026-03-01T10:00:00Z",
	"completedAt":"2026-03-01T11:00:00Z","duration":5,"successfulSteps":1,"failedSteps":2,"skippedSteps":3,"summary":"s",
	"executionMode":"mixed","currentStep":2,"estimatedDuration":9,"mine":"y"}`

func chain(session, id string, compiled int) storage.Chain {
	return storage.Chain{
		ID: id, SessionID: session, Source: "flow", Status: storage.StatusPending, CompiledAt: day(compiled),
	}
}

func addChain(e *env) {
	want := decode[storage.Chain](e, fullChain)
	got(e.s.AddChain(e.ctx, want)).is(e, want)
	got(e.store.GetChain(e.ctx, "s1", "c1")).is(e, want)
	// Replaced, and told apart from that of another session.
	want.Title = "Again"
	got(e.s.AddChain(e.ctx, want)).is(e, want)
	other := chain("s2", "c1", 1)
	got(e.s.AddChain(e.ctx, other)).is(e, other)
	got(e.store.ListChains(e.ctx, "s1")).is(e, []storage.Chain{want})

	c := got(e.s.AddChain(e.ctx, storage.Chain{SessionID: "s3", Steps: []storage.Step{{StepNumber: 1}}})).must(e)
	recent(e, c.CompiledAt)
	if c.ID == "" || c.Source != "composed" || c.Status != storage.StatusPending || c.Steps[0].Status != storage.StatusPending {
		e.Fatalf("answered %s", text(e, c))
	}
	got(e.store.GetChain(e.ctx, "s3", c.ID)).is(e, c)
}

func listChains(e *env) {
	same(e, got(e.s.ListChains(e.ctx, "s1")).must(e), []storage.Chain{})
	a, b := chain("s1", "a", 2), chain("s1", "b", 1)
	for _, c := range []storage.Chain{a, b, chain("s2", "c", 3)} {
		got(e.store.AddChain(e.ctx, c)).must(e)
	}
	got(e.s.ListChains(e.ctx, "s1")).is(e, []storage.Chain{b, a})
}

func getChain(e *env) {
	got(e.s.GetChain(e.ctx, "s1", "c1")).fails(e, storage.ErrNotFound)
	want := decode[storage.Chain](e, fullChain)
	got(e.store.AddChain(e.ctx, want)).must(e)
	got(e.s.GetChain(e.ctx, "s1", "c1")).is(e, want)
	got(e.s.GetChain(e.ctx, "s2", "c1")).fails(e, storage.ErrNotFound)
}

func limitChains(e *env) {
	const more = 3
	got(e.store.AddChain(e.ctx, chain("s2", "other", 0))).must(e)
	var wg sync.WaitGroup
	for i := range storage.MaxChains + more {
		wg.Go(func() {
			if _, err := e.store.AddChain(e.ctx, chain("s1", fmt.Sprintf("c%03d", i), i)); err != nil {
				e.Errorf("add chain %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	chains := got(e.s.ListChains(e.ctx, "s1")).must(e)
	if len(chains) != storage.MaxChains {
		e.Fatalf("%d chains", len(chains))
	}
	// Whatever came in which order, the latest are there, and one may be the last
	// that was written though it is older than all.
	same(e, chains[storage.MaxChains-1].ID, fmt.Sprintf("c%03d", storage.MaxChains+more-1))
	first := chain("s1", "earliest", -1)
	got(e.s.AddChain(e.ctx, first)).must(e)
	chains = got(e.s.ListChains(e.ctx, "s1")).must(e)
	same(e, len(chains), storage.MaxChains)
	same(e, chains[0], first)
	same(e, len(got(e.s.ListChains(e.ctx, "s2")).must(e)), 1)
}

func (e *env) event(session, eventType, data string, changes bool) {
	e.Helper()
	same(e, got(e.s.ApplyEvent(e.ctx, session, eventType, []byte(data))).must(e), changes)
}

func applyEvent(e *env) {
	e.event("s1", "session:started", `{"chainId":"c1"}`, false)
	e.event("s1", "chain:started", `{"chainId":"c1"}`, false)
	e.event("s1", "chain:compiled", `{"chainId":"c1","title":"Build","timestamp":"2026-03-01T10:00:00Z"}`, true)
	got(e.store.GetChain(e.ctx, "s1", "c1")).is(e, decode[storage.Chain](e, `{"id":"c1","sessionId":"s1","title":"Build",
		"source":"composed","status":"pending","compiledAt":"2026-03-01T10:00:00Z"}`))
	got(e.s.ApplyEvent(e.ctx, "s1", "step:started", []byte(`{"stepNumber":"one"}`))).wrong(e, "stepNumber")
}

func chainRun(e *env) {
	e.event("s1", "chain:compiled", `{"chainId":"c1","user":"anna","title":"Build","source":"flow","ref":"r","executionMode":"parallel",
		"estimatedDuration":60000,"timestamp":"2026-03-01T10:00:00Z",
		"steps":[{"action":"code","model":"m","mine":1},{"action":"test"},{"stepNumber":3,"action":"ship"}]}`, true)
	e.event("s1", "chain:started", `{"chainId":"c1","timestamp":"2026-03-01T10:00:01Z"}`, true)
	e.event("s1", "step:spawned", `{"chainId":"c1","stepNumber":1,"timestamp":"2026-03-01T10:00:02Z","inputs":{"a":1}}`, true)
	e.event("s1", "step:started", `{"chainId":"c1","stepNumber":1,"timestamp":"2026-03-01T10:00:03Z"}`, true)
	e.event("s1", "step:completed", `{"chainId":"c1","stepNumber":1,"timestamp":"2026-03-01T10:00:05Z","result":{"r":1},"learning":"l"}`, true)
	e.event("s1", "step:started", `{"chainId":"c1","stepNumber":2,"timestamp":"2026-03-01T10:00:06Z"}`, true)
	e.event("s1", "step:failed", `{"chainId":"c1","stepNumber":2,"timestamp":"2026-03-01T10:00:07Z","error":"broken","duration":5}`, true)
	e.event("s1", "step:skipped", `{"chainId":"c1","stepNumber":3,"timestamp":"2026-03-01T10:00:08Z"}`, true)
	e.event("s1", "step:started", `{"chainId":"c1","stepNumber":4,"timestamp":"2026-03-01T10:00:09Z","action":"extra"}`, true)
	e.event("s1", "chain:completed", `{"chainId":"c1","timestamp":"2026-03-01T10:00:11Z","summary":"sum"}`, true)
	got(e.s.GetChain(e.ctx, "s1", "c1")).is(e, decode[storage.Chain](e, `{"id":"c1","sessionId":"s1","userId":"anna","title":"Build",
		"source":"flow","ref":"r","status":"failed","compiledAt":"2026-03-01T10:00:00Z","startedAt":"2026-03-01T10:00:01Z",
		"completedAt":"2026-03-01T10:00:11Z","duration":10000,"successfulSteps":1,"failedSteps":1,"skippedSteps":1,"summary":"sum",
		"executionMode":"parallel","currentStep":4,"estimatedDuration":60000,"steps":[
		{"stepNumber":1,"action":"code","model":"m","inputs":{"a":1},"status":"completed","startedAt":"2026-03-01T10:00:03Z",
		 "completedAt":"2026-03-01T10:00:05Z","duration":2000,"result":{"r":1},"learning":"l","mine":1},
		{"stepNumber":2,"action":"test","status":"failed","startedAt":"2026-03-01T10:00:06Z","completedAt":"2026-03-01T10:00:07Z",
		 "duration":5,"error":"broken"},
		{"stepNumber":3,"action":"ship","status":"skipped","completedAt":"2026-03-01T10:00:08Z"},
		{"stepNumber":4,"action":"extra","status":"in_progress","startedAt":"2026-03-01T10:00:09Z"}]}`))
	e.event("s1", "chain:completed", `{"chainId":"c1","timestamp":"2026-03-01T10:00:12Z","overallStatus":"success","successfulSteps":4,
		"failedSteps":0,"skippedSteps":0,"duration":7}`, true)
	c := got(e.s.GetChain(e.ctx, "s1", "c1")).must(e)
	same(e, fmt.Sprint(c.Status, c.SuccessfulSteps, c.FailedSteps, c.SkippedSteps, c.Duration), "completed4 0 0 7")
}

// chainWithoutID: an event without chainId is about the latest chain that runs.
func chainWithoutID(e *env) {
	e.event("s1", "chain:compiled", `{"eventId":"e1","title":"first","timestamp":"2026-03-01T10:00:00Z"}`, true)
	e.event("s1", "chain:compiled", `{"eventId":"e1","title":"first","timestamp":"2026-03-01T10:00:00Z"}`, false)
	e.event("s1", "chain:compiled", `{"eventId":"e2","title":"second","timestamp":"2026-03-01T10:01:00Z"}`, true)
	status := func(want string) {
		e.Helper()
		chains := got(e.s.ListChains(e.ctx, "s1")).must(e)
		all := make([]string, len(chains))
		for i, c := range chains {
			all[i] = c.Title + " " + c.Status
		}
		same(e, strings.Join(all, ", "), want)
	}
	e.event("s1", "chain:started", `{"chainId":"e1"}`, true)
	e.event("s1", "step:started", `{"stepNumber":1}`, true)
	same(e, len(got(e.s.GetChain(e.ctx, "s1", "e1")).must(e).Steps), 1)
	e.event("s1", "chain:completed", `{}`, true)
	status("first completed, second pending")
	e.event("s1", "chain:started", `{}`, true)
	e.event("s1", "chain:completed", `{"status":"skipped"}`, true)
	status("first completed, second skipped")
	e.event("s1", "chain:started", `{}`, false)
	e.event("s1", "step:started", `{"chainId":"e1"}`, false) // without a number
}

func chainEventsAgain(e *env) {
	e.event("s1", "chain:compiled", `{"chainId":"c1","timestamp":"2026-03-01T10:00:00Z"}`, true)
	run := [][2]string{
		{"chain:started", `{"chainId":"c1","timestamp":"2026-03-01T10:00:01Z"}`},
		{"step:started", `{"chainId":"c1","stepNumber":1,"timestamp":"2026-03-01T10:00:02Z"}`},
		{"step:completed", `{"chainId":"c1","stepNumber":1,"timestamp":"2026-03-01T10:00:03Z"}`},
		{"chain:completed", `{"chainId":"c1","timestamp":"2026-03-01T10:00:04Z"}`},
	}
	for _, ev := range run {
		e.event("s1", ev[0], ev[1], true)
	}
	want := got(e.s.GetChain(e.ctx, "s1", "c1")).must(e)
	for _, ev := range run { // late, and once more
		got(e.s.ApplyEvent(e.ctx, "s1", ev[0], []byte(ev[1]))).must(e)
		got(e.s.GetChain(e.ctx, "s1", "c1")).is(e, want)
	}
	e.event("s1", "chain:compiled", `{"chainId":"c1","title":"another"}`, false)
	got(e.s.GetChain(e.ctx, "s1", "c1")).is(e, want)
	// A later start is another attempt.
	e.event("s1", "step:started", `{"chainId":"c1","stepNumber":1,"timestamp":"2026-03-01T10:00:05Z"}`, true)
	step := got(e.s.GetChain(e.ctx, "s1", "c1")).must(e).Steps[0]
	same(e, step, storage.Step{StepNumber: 1, Status: storage.StatusInProgress, StartedAt: step.StartedAt})
}

// concurrentSteps: within a process no event about a chain undoes another.
func concurrentSteps(e *env) {
	const steps = 20
	e.event("s1", "chain:compiled", `{"chainId":"c1"}`, true)
	var wg sync.WaitGroup
	for i := range steps {
		wg.Go(func() {
			data := fmt.Appendf(nil, `{"chainId":"c1","stepNumber":%d}`, i+1)
			if _, err := e.s.ApplyEvent(e.ctx, "s1", "step:completed", data); err != nil {
				e.Errorf("step %d: %v", i+1, err)
			}
		})
	}
	wg.Wait()
	c := got(e.s.GetChain(e.ctx, "s1", "c1")).must(e)
	for i := range steps {
		if len(c.Steps) != steps || c.Steps[i].StepNumber != i+1 || c.Steps[i].Status != storage.StatusCompleted {
			e.Fatalf("steps are %s", text(e, c.Steps))
		}
	}
}
