package breaker_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// model is the breaker as one would write it without concurrency in mind: every
// rule in plain variables. Time is a number, and a call is a value that remembers
// when it was admitted.
type model struct {
	cfg breaker.Config
	now time.Duration

	state  breaker.State
	held   breaker.HoldState
	until  time.Duration // end of open or of the hold; 0: none
	count  int           // consecutive failures
	streak int           // trips in a row
	good   int           // successful probes
	era    int           // changes whenever calls in flight become void
	probes []*modelCall  // in flight while half-open

	trips, rejected, successes, failures, ignored uint64
	last                                          time.Duration // of the last failure; -1: none
}

type modelCall struct {
	era      int
	probe    bool
	deadline time.Duration
	settled  bool
}

func (m *model) enter(s breaker.State, held breaker.HoldState, until time.Duration) {
	m.state, m.held, m.until = s, held, until
	m.era++
	m.good, m.probes = 0, nil
	if s == breaker.Closed && held == 0 {
		m.count, m.streak = 0, 0
	}
}

func (m *model) trip() {
	d := m.cfg.ResetTimeout
	for range m.streak {
		d = min(time.Duration(float64(d)*m.cfg.Backoff.Factor), m.cfg.Backoff.Max)
	}
	m.enter(breaker.Open, 0, m.now+d)
	m.streak++
	m.trips++
}

// pass moves the time on, from one due event to the next.
func (m *model) pass(d time.Duration) {
	for end := m.now + d; ; {
		next := end + 1
		if m.until != 0 {
			next = m.until
		}
		for _, p := range m.probes {
			next = min(next, p.deadline)
		}
		if next > end {
			m.now = end
			return
		}
		m.now = next
		if m.until == next {
			if m.held != 0 {
				m.enter(breaker.Closed, 0, 0)
			} else {
				m.enter(breaker.HalfOpen, 0, 0)
			}
			continue
		}
		var left []*modelCall
		for _, p := range m.probes {
			if p.deadline == next {
				p.settled = true
			} else {
				left = append(left, p)
			}
		}
		m.probes = left
	}
}

// acquire returns nil for a rejection.
func (m *model) acquire() *modelCall {
	c := &modelCall{era: m.era, deadline: m.now + m.cfg.ProbeTimeout}
	switch {
	case m.state == breaker.Open, m.state == breaker.HalfOpen && len(m.probes) == m.cfg.Probes:
		m.rejected++
		return nil
	case m.state == breaker.HalfOpen:
		c.probe = true
		m.probes = append(m.probes, c)
	}
	return c
}

func (m *model) settle(c *modelCall, o breaker.Outcome) {
	if c.settled || c.era != m.era {
		return
	}
	c.settled = true
	for i, p := range m.probes {
		if p == c {
			m.probes = append(append([]*modelCall{}, m.probes[:i]...), m.probes[i+1:]...)
			break
		}
	}
	switch o {
	case breaker.Ignore:
		m.ignored++
	case breaker.Success:
		m.successes++
		if m.state == breaker.Closed && m.held == 0 {
			m.count = 0
		}
		if m.good++; c.probe && m.good >= m.cfg.ProbeSuccesses {
			m.enter(breaker.Closed, 0, 0)
		}
	case breaker.Failure:
		m.failures++
		m.last = m.now
		if m.held != 0 {
			return
		}
		if m.count++; c.probe || m.count >= m.cfg.FailureThreshold {
			m.trip()
		}
	}
}

func (m *model) stats(start time.Time) breaker.Stats {
	s := breaker.Stats{
		State: m.state, FailureCount: m.count, TotalTrips: m.trips, Generation: uint64(m.era),
		Rejected: m.rejected, Successes: &m.successes, Failures: m.failures, Ignored: m.ignored,
	}
	if m.last >= 0 {
		at := start.Add(m.last).UTC()
		s.LastFailureTime = &at
	}
	if m.state == breaker.Open && m.until != 0 {
		s.RetryIn = (m.until - m.now + 999_999).Milliseconds()
	}
	if m.held != 0 {
		s.Held = &breaker.Held{State: m.held}
		if m.until != 0 {
			at := start.Add(m.until).UTC()
			s.Held.Until = &at
		}
	}
	return s
}

// program is a source of choices; it ends when its bytes are used up.
type program []byte

func (p *program) next(n int) int {
	if len(*p) == 0 {
		return 0
	}
	c := int((*p)[0]) % n
	*p = (*p)[1:]
	return c
}

// runProgram does the same to a breaker and to the model, and compares them after
// each step.
func runProgram(t *testing.T, p program) {
	synctest.Test(t, func(t *testing.T) {
		cfg := breaker.Config{
			FailureThreshold: 1 + p.next(4),
			ResetTimeout:     10 * time.Second,
			Backoff:          breaker.Backoff{Factor: float64(1 + p.next(3)), Max: 50 * time.Second, Jitter: 1e-15},
			Probes:           1 + p.next(3),
			ProbeSuccesses:   1 + p.next(4),
			ProbeTimeout:     time.Duration(3+p.next(20)) * time.Second,
			Metrics:          true,
		}
		if p.next(2) == 1 { // with it, failures take another way
			cfg.Hooks.OnFailure = func(breaker.FailureInfo) {}
		}
		start := time.Now()
		m := &model{cfg: cfg, last: -1}
		b := newBreaker(t, cfg)
		run := &pair{t: t, b: b, m: m}
		for step := 0; len(p) > 0; step++ {
			did := run.step(&p)
			if got, want := asJSON(t, b.Stats()), asJSON(t, m.stats(start)); got != want {
				t.Fatalf("step %d, %s, at %v:\nbreaker %s\nmodel   %s", step, did, m.now, got, want)
			}
			if b.State() != m.state {
				t.Fatalf("step %d, %s: State is %v, want %v", step, did, b.State(), m.state)
			}
		}
	})
}

// pair is a breaker and its model, with the calls in flight through both.
type pair struct {
	t      *testing.T
	b      *breaker.Breaker
	m      *model
	tokens []breaker.Token
	calls  []*modelCall
	holds  []func() // releases of the breaker
	eras   []int    // and the holds that they end, in the model
}

var outcomes = [...]breaker.Outcome{breaker.Success, breaker.Failure, breaker.Ignore}

func (r *pair) step(p *program) string {
	b, m := r.b, r.m
	switch op := p.next(16); op {
	case 0, 1, 2, 3:
		r.acquire()
		return "Acquire"
	case 4, 5, 6, 7, 8:
		if len(r.calls) > 0 {
			i, o := p.next(len(r.calls)), outcomes[p.next(3)]
			r.tokens[i].Report(o)
			m.settle(r.calls[i], o)
		}
		return "Report"
	case 9, 10: // a call that fails, from begin to end
		if r.acquire() {
			last := len(r.calls) - 1
			r.tokens[last].Done(r.t.Context(), errDown)
			m.settle(r.calls[last], breaker.Failure)
		}
		return "failing call"
	case 11, 12:
		d := time.Duration(1+p.next(32)) * time.Second
		pass(d)
		m.pass(d)
		return "time"
	case 13:
		switch p.next(4) {
		case 0:
			b.Reset()
			m.enter(breaker.Closed, 0, 0)
			return "Reset"
		default:
			b.Trip(errDown)
			if m.state != breaker.Open {
				m.trip()
			}
			return "Trip"
		}
	case 14:
		r.hold(p)
		return "Hold"
	default:
		r.release(p)
		return "release"
	}
}

func (r *pair) acquire() bool {
	token, err := r.b.Acquire()
	c := r.m.acquire()
	if (err == nil) != (c != nil) {
		r.t.Fatalf("at %v: call got %v, the model admits: %v", r.m.now, err, c != nil)
	}
	if c != nil {
		r.tokens, r.calls = append(r.tokens, token), append(r.calls, c)
	}
	return c != nil
}

func (r *pair) hold(p *program) {
	hold, state := breaker.ForcedOpen, breaker.Open
	if p.next(2) == 0 {
		hold, state = breaker.Disabled, breaker.Closed
	}
	d := time.Duration(p.next(20)) * time.Second
	until := time.Duration(0)
	if d > 0 {
		until = r.m.now + d
	}
	r.holds = append(r.holds, r.b.Hold(hold, d))
	r.m.enter(state, hold, until)
	r.eras = append(r.eras, r.m.era)
}

func (r *pair) release(p *program) {
	if i := p.next(len(r.holds) + 1); i < len(r.holds) {
		r.holds[i]()
		if r.eras[i] == r.m.era {
			r.m.enter(breaker.Closed, 0, 0)
		}
		return
	}
	r.b.Release()
	if r.m.held != 0 {
		r.m.enter(breaker.Closed, 0, 0)
	}
}

func TestModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	programs := 1000
	if testing.Short() {
		programs = 200
	}
	for range programs {
		p := make(program, 300)
		for i := range p {
			p[i] = byte(random.Uint32())
		}
		runProgram(t, p)
		if t.Failed() {
			t.Fatalf("program %x", []byte(p))
		}
	}
}

func FuzzModel(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		p := make([]byte, 200)
		for i := range p {
			p[i] = byte(random.Uint32())
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) { runProgram(t, p[:min(len(p), 1000)]) })
}
