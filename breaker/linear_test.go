package breaker

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// The linearizability test lets several goroutines use one breaker and asks
// porcupine for an order of their operations, each at one instant between its
// begin and its end, in which every answer is that of the sequential breaker
// below. `go test -tags interleave` lets other goroutines run before each
// compare-and-swap, so that the histories are as mixed as can be.

const (
	linearClients    = 4
	linearOperations = 7 // of each client
	linearTokens     = linearClients * linearOperations

	linearThreshold = 3
	linearProbes    = 2
	linearGood      = 2 // probes to close
)

type linearKind int

const (
	opAcquire linearKind = iota
	opReport
	opState
	opStats
	opElapse // the time of whatever waits for time is over
	opReset
	opTrip
	opTotals // of all counters, when nothing else goes on
)

type linearInput struct {
	kind    linearKind
	token   int
	outcome Outcome
}

// linearOutput is what an operation shows; fields that it does not show are zero.
type linearOutput struct {
	admitted                     bool
	state                        State
	count                        int
	generation, trips            uint64
	successes, failures, ignored uint64
}

// linearState is the sequential breaker. It is comparable.
type linearState struct {
	phase                        phase
	count, good, probes          int
	generation, trips            uint64
	successes, failures, ignored uint64
	tokens                       [linearTokens]struct {
		live, probe bool
		generation  uint64
	}
}

func (s *linearState) move(to phase) {
	s.phase, s.good, s.probes = to, 0, 0
	s.generation++
	switch to {
	case open:
		s.trips++
	case closed:
		s.count = 0
	default:
	}
}

func (s *linearState) acquire(token int) bool {
	if s.phase == open || s.phase == halfOpen && s.probes == linearProbes {
		return false
	}
	t := &s.tokens[token]
	t.live, t.generation = true, s.generation
	if s.phase == halfOpen {
		t.probe = true
		s.probes++
	}
	return true
}

func (s *linearState) report(token int, o Outcome) {
	t := &s.tokens[token]
	if !t.live || t.generation != s.generation {
		return
	}
	t.live = false
	if t.probe {
		s.probes--
	}
	switch o {
	case Ignore:
		s.ignored++
	case Success:
		s.successes++
		if !t.probe {
			s.count = 0
		} else if s.good++; s.good == linearGood {
			s.move(closed)
		}
	case Failure:
		s.failures++
		if s.count++; t.probe || s.count == linearThreshold {
			s.move(open)
		}
	}
}

func (s *linearState) elapse() {
	switch s.phase {
	case open:
		s.move(halfOpen)
	case halfOpen:
		s.probes = 0
		for i := range s.tokens {
			s.tokens[i].live = s.tokens[i].live && !s.tokens[i].probe
		}
	default:
	}
}

// step does an operation and returns what it shows.
func (s *linearState) step(in linearInput) (out linearOutput) {
	switch in.kind {
	case opAcquire:
		out.admitted = s.acquire(in.token)
	case opReport:
		s.report(in.token, in.outcome)
	case opState:
		out.state = s.phase.state()
	case opStats:
		out.state, out.count, out.generation, out.trips = s.phase.state(), s.count, s.generation, s.trips
	case opElapse:
		s.elapse()
	case opReset:
		s.move(closed)
	case opTrip:
		if s.phase != open {
			s.move(open)
		}
	case opTotals:
		out.successes, out.failures, out.ignored = s.successes, s.failures, s.ignored
	}
	return out
}

var linearModel = porcupine.Model{
	Init: func() any { return linearState{} },
	Step: func(state, input, output any) (bool, any) {
		s := state.(linearState)
		out := s.step(input.(linearInput))
		return out == output.(linearOutput), s
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// linearRun is one breaker with its clients.
type linearRun struct {
	b      *Breaker
	clock  atomic.Int64
	tokens [linearTokens]Token

	mu      sync.Mutex
	history []porcupine.Operation
}

func (r *linearRun) do(client int, in linearInput) (out linearOutput) {
	b, call := r.b, r.clock.Add(1)
	switch in.kind {
	case opAcquire:
		var err error
		r.tokens[in.token], err = b.Acquire()
		out.admitted = err == nil
	case opReport:
		r.tokens[in.token].Report(in.outcome)
	case opState:
		out.state = b.State()
	case opStats:
		s := b.Stats()
		out.state, out.count, out.generation, out.trips = s.State, s.FailureCount, s.Generation, s.TotalTrips
	case opElapse:
		b.mu.Lock()
		b.settleDue(time.Now().Add(1000 * time.Hour))
		b.unlock()
	case opReset:
		b.Reset()
	case opTrip:
		b.Trip(nil)
	case opTotals:
		s := b.Stats()
		out.successes, out.failures, out.ignored = *s.Successes, s.Failures, s.Ignored
	}
	end := r.clock.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: end})
	return out
}

// client does random operations; its tokens are its own.
func (r *linearRun) client(client int, random *rand.Rand) {
	var mine []int
	for i := range linearOperations {
		in := linearInput{token: client*linearOperations + i}
		switch n := random.IntN(32); {
		case n < 10:
			in.kind = opAcquire
		case n < 24 && len(mine) > 0:
			in.kind, in.token = opReport, mine[random.IntN(len(mine))]
			in.outcome = []Outcome{Success, Failure, Failure, Failure, Ignore}[random.IntN(5)]
		case n < 24:
			in.kind = opAcquire
		default:
			in.kind = []linearKind{opState, opStats, opStats, opElapse, opElapse, opElapse, opReset, opTrip}[n-24]
		}
		if r.do(client, in).admitted {
			mine = append(mine, in.token)
		}
	}
}

func TestLinearizable(t *testing.T) {
	configs := map[string]Config{
		"lock-free": {},
		"locked":    {Hooks: Hooks{OnFailure: func(FailureInfo) {}}},
		"adaptive":  {Adaptive: true}, // the plain rule holds for 500 calls, in other words
	}
	for name, cfg := range configs {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %#x", seed)
			cfg.FailureThreshold, cfg.Probes, cfg.ProbeSuccesses = linearThreshold, linearProbes, linearGood
			cfg.ResetTimeout, cfg.Metrics = time.Hour, true
			for history := range 1500 {
				checkHistory(t, cfg, seed, uint64(history))
			}
		})
	}
}

func checkHistory(t *testing.T, cfg Config, seed, history uint64) {
	t.Helper()
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r := &linearRun{b: b}
	if history%3 == 0 { // half-open is rare otherwise
		r.do(0, linearInput{kind: opTrip})
		r.do(0, linearInput{kind: opElapse})
	}
	start := make(chan struct{})
	var clients sync.WaitGroup
	for client := range linearClients {
		random := rand.New(rand.NewPCG(seed, history<<8|uint64(client)))
		clients.Go(func() {
			<-start
			r.client(client, random)
		})
	}
	close(start)
	clients.Wait()
	r.do(0, linearInput{kind: opStats})
	r.do(0, linearInput{kind: opTotals})
	if porcupine.CheckOperationsTimeout(linearModel, r.history, time.Minute) != porcupine.Ok {
		for _, op := range r.history {
			t.Logf("%3d..%3d client %d: %s", op.Call, op.Return, op.ClientId, linearModel.DescribeOperation(op.Input, op.Output))
		}
		t.Fatalf("no order of history %d explains its answers", history)
	}
}
