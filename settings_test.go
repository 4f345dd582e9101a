package lifeline

import (
	"fmt"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/actionflows/lifeline/events"
)

// loadCaddyfile runs a hub called settings with these options until the test ends.
func loadCaddyfile(t *testing.T, options string) *runtime {
	t.Helper()
	text := fmt.Sprintf("{\n admin off\n persist_config off\n log {\n level PANIC\n}\n lifeline settings {\n storage memory\n%s\n}\n}\n", options)
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
		if got := rt.backend.census.Max(); got != c.logs {
			t.Errorf("%q: max_logs is %d", c.options, got)
		}
		if got := rt.backend.store().MaxSessions; got != c.sessions {
			t.Errorf("%q: max_sessions is %d", c.options, got)
		}
	}
}
