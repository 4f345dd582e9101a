package lifeline

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
	"github.com/actionflows/lifeline/storage/resilient"
)

// laned is a driver in parts that fail apart from each other.
type laned struct {
	storage.Driver
	lanes []string
}

func (l laned) Lanes() []string                       { return l.lanes }
func (l laned) Partition(storage.Op) (string, int)    { return l.lanes[0], 0 }
func (l laned) Beat(ctx context.Context, _ int) error { return l.Health(ctx) }
func (l laned) OnLoss(func(partition string))         {}

var _ storage.Partitioned = laned{}

// lanedStorage has the breakers of a hub and nothing behind them.
type lanedStorage struct {
	resilient.Storage
	breakers []*breaker.Breaker
	resets   int
}

func (s *lanedStorage) CircuitBreakerStats() []breaker.Stats {
	var stats []breaker.Stats
	for _, b := range s.breakers {
		stats = append(stats, b.Stats())
	}
	return stats
}

func (s *lanedStorage) ResetCircuitBreaker() {
	s.resets++
	for _, b := range s.breakers {
		b.Reset()
	}
}

func (s *lanedStorage) Status() resilient.Status {
	return resilient.Status{Degraded: true, Pending: 3, JournalBytes: 4096}
}

// startLanes runs a hub "lanes" in parts p00 and p01 as far as operators see it.
func startLanes(t *testing.T) (*runtime, *lanedStorage) {
	t.Helper()
	d := laned{memory.New(memory.Options{}), []string{"p00", "p01"}}
	rt := holdRuntime("lanes")
	rt.telemetry = newTelemetry("lanes", zap.NewNop())
	o := &opened{by: &Hub{info: StorageInfo{Driver: "redis", Remote: true}}}
	var err error
	if o.breakers, err = newBreakers(o.by, d, zap.NewNop(), rt.telemetry, o.breakerChanged); err != nil {
		t.Fatal(err)
	}
	st := &lanedStorage{Storage: resilient.NewBare(d), breakers: o.breakers}
	o.storage = st
	o.count(zap.NewNop())
	rt.backend = new(backend)
	rt.install(o, new(Hub))
	rt.watchers = newWatchers(rt, new(Hub))
	hub := events.New(events.Config{Backend: rt.backend})
	rt.feed = newStatusFeed(rt, hub)
	rt.hub.Store(hub)
	t.Cleanup(func() {
		if err := releaseRuntime("lanes"); err != nil {
			t.Error(err)
		}
	})
	return rt, st
}

func TestBreakerNames(t *testing.T) {
	remote, local := StorageInfo{Driver: "redis", Remote: true}, StorageInfo{Driver: "tape"}
	for _, c := range []struct {
		info StorageInfo
		d    storage.Driver
		want []string
	}{
		{remote, laned{lanes: []string{"p00", "p07"}}, []string{"redis-p00", "redis-p07"}},
		{remote, laned{lanes: []string{"all"}}, []string{"redis"}}, // everything fails together
		{remote, laned{}, []string{"redis"}},
		{remote, nil, []string{"redis"}},
		{local, laned{lanes: []string{"p00", "p07"}}, []string{"tape"}}, // a guarded driver has one
	} {
		if got := breakerNames(c.info, c.d); !slices.Equal(got, c.want) {
			t.Errorf("%s, %v: %v, want %v", c.info.Driver, c.d, got, c.want)
		}
	}
}

// TestOperationsOnLanes: one lane by its breaker's name, all by the storage's.
func TestOperationsOnLanes(t *testing.T) {
	_, st := startLanes(t)
	for _, c := range []struct {
		name, operation, body string
		answered              int      // breakers in the answer, 0: one object
		states                []string // of both breakers afterwards
	}{
		{"redis-p01", "trip", "", 0, []string{"closed", "open"}},
		{"redis-p01", "reset", "", 0, []string{"closed", "closed"}},
		{"redis", "trip", `{"cause":"maintenance"}`, 2, []string{"open", "open"}},
		{"redis", "reset", "", 2, []string{"closed", "closed"}},
		{"redis-p00", "hold", `{"state":"forced-open","for":"forever"}`, 0, []string{"forced-open", "closed"}},
		{"redis", "hold", `{"state":"disabled","for":"10m"}`, 2, []string{"disabled", "disabled"}},
		{"redis-p00", "release", "", 0, []string{"closed", "disabled"}},
		{"redis", "release", "", 2, []string{"closed", "closed"}},
	} {
		what := c.operation + " " + c.name
		w, err := callAdmin(http.MethodPost, "/lifeline/breakers/lanes/"+c.name+"/"+c.operation, c.body)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		var one breaker.Stats
		var all []breaker.Stats
		if c.answered == 0 {
			err = json.Unmarshal(w.Body.Bytes(), &one)
		} else {
			err = json.Unmarshal(w.Body.Bytes(), &all)
		}
		if err != nil || len(all) != c.answered || c.answered == 0 && one.Name != c.name {
			t.Errorf("%s: answered %s, %v", what, w.Body, err)
		}
		var states []string
		for _, s := range st.CircuitBreakerStats() {
			state := s.State.String()
			if s.Held != nil {
				state = s.Held.State.String()
			}
			states = append(states, state)
		}
		if !slices.Equal(states, c.states) {
			t.Errorf("%s: the breakers are %v, want %v", what, states, c.states)
		}
	}
	if st.resets != 1 {
		t.Errorf("the storage was reset %d times, want once: by its name", st.resets)
	}
	var refusal caddy.APIError
	_, err := callAdmin(http.MethodPost, "/lifeline/breakers/lanes/redis-p02/reset", "")
	if !errors.As(err, &refusal) || refusal.HTTPStatus != http.StatusNotFound ||
		!strings.Contains(err.Error(), "it has: redis-p00, redis-p01, and redis for all of them") {
		t.Errorf("an unknown lane: %v", err)
	}
	_, err = callAdmin(http.MethodPost, "/lifeline/breakers/lanes/redis/trip", `{"cause":1}`)
	if !errors.As(err, &refusal) || refusal.HTTPStatus != http.StatusBadRequest {
		t.Errorf("a wrong body: %v", err)
	}
}

// callAdmin asks Caddy's admin endpoint.
func callAdmin(method, path, body string) (*httptest.ResponseRecorder, error) {
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(body))
	return w, new(adminAPI).serveBreaker(w, r)
}

// TestMetricsOfLanes: each breaker has its own numbers, the hub one state.
func TestMetricsOfLanes(t *testing.T) {
	rt, _ := startLanes(t)
	rt.opened().breakers[1].Trip(errors.New("the test wants it"))
	want := `
# HELP caddy_lifeline_breaker_transitions_total How often the circuit breaker has changed to a state.
# TYPE caddy_lifeline_breaker_transitions_total counter
caddy_lifeline_breaker_transitions_total{breaker="redis-p00",hub="lanes",to="closed"} 0
caddy_lifeline_breaker_transitions_total{breaker="redis-p00",hub="lanes",to="half-open"} 0
caddy_lifeline_breaker_transitions_total{breaker="redis-p00",hub="lanes",to="open"} 0
caddy_lifeline_breaker_transitions_total{breaker="redis-p01",hub="lanes",to="closed"} 0
caddy_lifeline_breaker_transitions_total{breaker="redis-p01",hub="lanes",to="half-open"} 0
caddy_lifeline_breaker_transitions_total{breaker="redis-p01",hub="lanes",to="open"} 1
# HELP caddy_lifeline_degraded 1 while a circuit breaker is not closed or acknowledged events wait to be stored, else 0.
# TYPE caddy_lifeline_degraded gauge
caddy_lifeline_degraded{hub="lanes"} 1
# HELP caddy_lifeline_journal_bytes What the journal holds, stored and waiting, as its max_size counts it.
# TYPE caddy_lifeline_journal_bytes gauge
caddy_lifeline_journal_bytes{hub="lanes"} 4096
# HELP caddy_lifeline_pending Acknowledged events that wait in the journal to be stored.
# TYPE caddy_lifeline_pending gauge
caddy_lifeline_pending{hub="lanes"} 3
`
	if err := testutil.CollectAndCompare(collector{}, strings.NewReader(want),
		"caddy_lifeline_breaker_transitions_total", "caddy_lifeline_degraded", "caddy_lifeline_journal_bytes", "caddy_lifeline_pending"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(collector{}, "caddy_lifeline_breaker_state"); n != 10 {
		t.Errorf("%d series of states, want 5 for each of 2 breakers", n)
	}
	if problems, err := testutil.CollectAndLint(collector{}); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}
