package lifeline

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/watcher"
)

// loadCaddyfile runs a hub called settings with these options, in memory.
func loadCaddyfile(t *testing.T, options string) *runtime {
	t.Helper()
	return loadWith(t, "storage memory", options)
}

// loadWith runs a hub called settings with this storage and these options.
func loadWith(t *testing.T, storage, options string) *runtime {
	t.Helper()
	text := fmt.Sprintf("{\n admin off\n persist_config off\n log {\n level PANIC\n}\n lifeline settings {\n %s\n%s\n}\n}\n", storage, options)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	rt := runningHubs()["settings"]
	if rt == nil {
		t.Fatal("the hub does not run")
	}
	return rt
}

// TestLimitsInForce: what a Caddyfile says of each limit is what the running hub has,
// at the start and after a reload, and what it does not say is the default.
func TestLimitsInForce(t *testing.T) {
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []struct {
		options        string
		want           events.Limits
		sessions, logs int
	}{
		{"max_message 1KiB\n message_rate 2\n max_connections 3\n max_per_ip 4\n max_subscriptions 5\n" +
			"max_queue 6KiB 7\n max_replays 8\n max_polls 9\n max_sessions 10\n max_logs 11", events.Limits{
			MaxMessage: 1024, MessageRate: 2, MaxConnections: 3, MaxPerIP: 4, MaxSubscriptions: 5,
			MaxQueueBytes: 6144, MaxQueueFrames: 7, MaxReplays: 8, MaxPolls: 9,
		}, 10, 11},
		{"", events.Limits{
			MaxMessage: 1 << 20, MessageRate: 50, MaxConnections: 10_000, MaxPerIP: 1000, MaxSubscriptions: 256,
			MaxQueueBytes: 1 << 20, MaxQueueFrames: 1024, MaxReplays: 64, MaxPolls: 5000,
		}, 100_000, 100_000},
		{"max_queue 2KiB", events.Limits{MaxQueueBytes: 2048}.WithDefaults(), 100_000, 100_000},
	} {
		rt := loadCaddyfile(t, c.options)
		if got := rt.hub.Load().Limits(); got != c.want {
			t.Errorf("%q: limits are %+v, want %+v", c.options, got, c.want)
		}
		if got := rt.opened().census.Max(); got != c.logs {
			t.Errorf("%q: max_logs is %d", c.options, got)
		}
		if got := rt.backend.store().MaxSessions; got != c.sessions {
			t.Errorf("%q: max_sessions is %d", c.options, got)
		}
	}
}

// TestBlocksInForce: what a Caddyfile says of breaker, history and watch is what the
// packages behind them are given.
func TestBlocksInForce(t *testing.T) {
	text := `{
	lifeline {
		history 7 3h
		breaker {
			failure_threshold 3
			reset_timeout 10s
			backoff 2 1m
			probes 4
			probe_successes 5
			probe_timeout 6s
			probe_every 7s
			adaptive
			rate 0.25 8s 9
			slow 1s 0.75 11s 12
		}
		watch s /tmp {
			ignore a b
			ignore_default off
			debounce 1s
			max_wait 3s
			depth 4
			retry 5 6s
			poll 7s
			absolute_paths off
		}
	}
}`
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Apps struct{ Lifeline App } }
	if err := json.Unmarshal(config, &all); err != nil {
		t.Fatal(err)
	}
	h := all.Apps.Lifeline.Hubs[DefaultHub]
	wantBreaker := breaker.Config{
		Name: "x", Metrics: true, FailureThreshold: 3, ResetTimeout: 10 * time.Second,
		Backoff: breaker.Backoff{Factor: 2, Max: time.Minute}, Probes: 4, ProbeSuccesses: 5, ProbeTimeout: 6 * time.Second,
		Adaptive: true, Rate: &breaker.Rate{Share: 0.25, Window: 8 * time.Second, MinCalls: 9},
		Slow: &breaker.Slow{Over: time.Second, Share: 0.75, Window: 11 * time.Second, MinCalls: 12},
	}
	if got := h.Breaker.config("x"); !reflect.DeepEqual(got, wantBreaker) || h.Breaker.probeEvery() != 7*time.Second {
		t.Errorf("breaker: %+v, every %s", got, h.Breaker.probeEvery())
	}
	if got := h.history(); got != (storage.History{MaxLen: 7, MaxAge: 3 * time.Hour}) {
		t.Errorf("history: %+v", got)
	}
	four, five := 4, 5
	wantWatch := watcher.Config{
		Session: "s", Dir: "/tmp", Ignore: []string{"a", "b"}, NoDefaultIgnore: true, Debounce: time.Second, MaxWait: 3 * time.Second,
		Depth: &four, RetryAttempts: &five, RetryInitial: 6 * time.Second, Poll: 7 * time.Second, NoAbsolutePaths: true,
	}
	if got := h.Watches[0].config(); !reflect.DeepEqual(got, wantWatch) {
		t.Errorf("watch: %+v", got)
	}
}

// TestPoolReferences: after each load, whether it was accepted or not, a hub has one
// reference, and a hub that is gone has none.
func TestPoolReferences(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	config := func(name, options string) []byte {
		return fmt.Appendf(nil, `{"admin":{"disabled":true,"config":{"persist":false}},"logging":{"logs":{"default":{"level":"PANIC"}}},
			"apps":{"lifeline":{"hubs":{%q:{"storage":{"driver":"memory"},%s}}}}}`, name, options)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	references := func(name string) int {
		n, _ := runtimes.References(name)
		return n
	}
	for i := range 20 {
		for _, c := range []struct {
			config   []byte
			accepted bool
		}{
			{config("pool", fmt.Sprintf(`"max_polls":%d`, i+1)), true},
			{config("pool", fmt.Sprintf(`"max_polls":%d`, i+1)), true},
			{config("pool", `"max_polls":-1`), false},
			{[]byte(strings.Replace(string(config("pool", `"max_polls":7`)), `"lifeline":`,
				`"http":{"servers":{"s":{"listen":["192.0.2.1:1"],"routes":[]}}},"lifeline":`, 1)), false},
		} {
			if err := caddy.Load(c.config, true); (err == nil) != c.accepted {
				t.Fatalf("%s: %v", c.config, err)
			}
			if n := references("pool"); n != 1 {
				t.Fatalf("%d references after %s", n, c.config)
			}
			if got := runningHubs()["pool"].hub.Load().Limits().MaxPolls; got != i+1 {
				t.Fatalf("max_polls is %d after %s", got, c.config)
			}
		}
	}
	if err := caddy.Load(config("other", `"max_polls":1`), true); err != nil {
		t.Fatal(err)
	}
	if p, o := references("pool"), references("other"); p != 0 || o != 1 {
		t.Errorf("%d references of the hub that is gone, %d of the other", p, o)
	}
}
