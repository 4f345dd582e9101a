package breaker_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

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
		optional(&p, &cfg)
		if p.next(2) == 1 { // with it, failures take another way
			cfg.Hooks.OnFailure = func(breaker.FailureInfo) {}
		}
		r := &pair{
			t: t, b: newBreaker(t, cfg), start: time.Now(),
			m: &model{cfg: cfg, last: -1, learner: newModelLearner()},
		}
		if cfg.Adaptive && p.next(2) == 1 {
			for range 500 {
				r.admit()
				r.settle(0, breaker.Success)
				r.tokens, r.calls = nil, nil
			}
		}
		if p.next(3) == 0 {
			defer r.watch(&p)()
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for step := 0; len(p) > 0; step++ {
			did := r.step(&p)
			r.compare(step, did)
		}
	})
}

// pair is a breaker and its model, with the calls in flight through both. The
// lock is for the probe of Watch, which runs in a goroutine of its own.
type pair struct {
	t     *testing.T
	b     *breaker.Breaker
	start time.Time

	mu     sync.Mutex
	m      *model
	tokens []breaker.Token
	calls  []*modelCall
	holds  []func() // releases of the breaker
	eras   []int    // and the holds that they end, in the model
}

func (r *pair) compare(step int, did string) {
	m := r.m
	if got, want := asJSON(r.t, r.b.Stats()), asJSON(r.t, m.stats(r.start)); got != want {
		r.t.Fatalf("step %d, %s, at %v, %+v:\nbreaker %s\nmodel   %s", step, did, m.now, m.cfg, got, want)
	}
	if r.b.State() != m.state {
		r.t.Fatalf("step %d, %s: State is %v, want %v", step, did, r.b.State(), m.state)
	}
}

// pass lets time go by for both. The lock is held, but not while it does.
func (r *pair) pass(d time.Duration) {
	r.mu.Unlock()
	pass(d)
	r.mu.Lock()
	r.m.passTo(time.Since(r.start))
}

// watch runs Watch until the returned function is called. Its times meet no other.
func (r *pair) watch(p *program) (stop func()) {
	random := rand.New(rand.NewPCG(uint64(p.next(256)), 0))
	cfg := breaker.WatchConfig{
		Every: 4*time.Second + 3, OpenEvery: 7*time.Second + 7, Timeout: time.Second,
		Failures: 1 + p.next(3), OpenOnly: p.next(2) == 0,
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		_ = r.b.Watch(ctx, cfg, func(context.Context) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			m := r.m
			m.passTo(time.Since(r.start))
			if m.held != 0 || cfg.OpenOnly && m.state == breaker.Closed {
				r.t.Errorf("a probe at %v, although %v, held %v", m.now, m.state, m.held)
			}
			failed := random.IntN(3) > 0
			m.watch(failed, cfg.Failures)
			if failed {
				return errDown
			}
			return nil
		})
	})
	synctest.Wait()
	return func() {
		cancel()
		running.Wait()
	}
}

var outcomes = [...]breaker.Outcome{breaker.Success, breaker.Failure, breaker.Ignore}

func (r *pair) step(p *program) string {
	b, m := r.b, r.m
	switch op := p.next(16); op {
	case 0, 1, 2, 3:
		r.admit()
		return "Acquire"
	case 4, 5, 6, 7:
		if len(r.calls) > 0 {
			r.settle(p.next(len(r.calls)), outcomes[p.next(3)])
		}
		return "Report"
	case 8, 9, 10:
		return r.whole(p)
	case 11, 12:
		r.pass(time.Duration(1+p.next(32)) * time.Second)
		return "time"
	case 13:
		if p.next(4) == 0 {
			b.Reset()
			m.enter(breaker.Closed, 0, 0)
			return "Reset"
		}
		b.Trip(errDown)
		if m.state != breaker.Open {
			m.trip()
		}
		return "Trip"
	case 14:
		r.hold(p)
		return "Hold"
	default:
		r.release(p)
		return "release"
	}
}

func (r *pair) admit() {
	token, err := r.b.Acquire()
	c := r.m.acquire()
	if (err == nil) != (c != nil) {
		r.t.Fatalf("at %v: call got %v, the model admits: %v", r.m.now, err, c != nil)
	}
	if c != nil {
		r.tokens, r.calls = append(r.tokens, token), append(r.calls, c)
	}
}

func (r *pair) settle(i int, o breaker.Outcome) {
	r.tokens[i].Report(o)
	r.m.settle(r.calls[i], o)
}

// whole makes a call from begin to end through one of the entries, during which
// time may pass.
func (r *pair) whole(p *program) string {
	entry := []string{"Run", "Do", "DoOr", "Typed", "two-step"}[p.next(5)]
	how := p.next(4)
	took := time.Duration(max(0, p.next(12)-5)) * time.Second
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	c, called := r.m.acquire(), false
	op := func(ctx context.Context) error {
		called = true
		if took > 0 {
			r.pass(took)
		}
		switch how {
		case 0:
			return nil
		case 1:
			return errDown
		case 2:
			cancel()
			return ctx.Err()
		default:
			panic(errDown)
		}
	}
	err := through(entry, ctx, r.b, op)
	if called != (c != nil) || called == errors.Is(err, breaker.ErrOpen) {
		r.t.Fatalf("%s: called is %v with error %v, the model admits: %v", entry, called, err, c != nil)
	}
	if c != nil {
		r.m.settle(c, []breaker.Outcome{breaker.Success, breaker.Failure, breaker.Ignore, breaker.Failure}[how])
	}
	return entry
}

// through makes a call by the entry of that name, and recovers its panic.
func through(entry string, ctx context.Context, b *breaker.Breaker, op func(context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = v.(error)
		}
	}()
	withResult := func(ctx context.Context) (int, error) { return 1, op(ctx) }
	switch entry {
	case "Run":
		return b.Run(ctx, op)
	case "Do":
		_, err = breaker.Do(ctx, b, withResult)
	case "DoOr":
		_, err = breaker.DoOr(ctx, b, withResult, func(_ context.Context, err error) (int, error) { return 0, err })
	case "Typed":
		_, err = breaker.Typed[int]{B: b}.Do(ctx, withResult)
	default:
		token, err := b.Acquire()
		if err != nil {
			return err
		}
		defer token.Report(breaker.Failure) // a panic
		err = op(ctx)
		token.Done(ctx, err)
		return err
	}
	return err
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
