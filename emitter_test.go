package lifeline

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
)

// told receives what testHandler is told.
var told = make(chan caddy.Event, 100)

// testHandler is an event handler as somebody's module would be.
type testHandler struct{}

func (testHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.lifeline_test", New: func() caddy.Module { return new(testHandler) }}
}

func (testHandler) Handle(_ context.Context, e caddy.Event) error {
	told <- e
	return nil
}

var _ caddyevents.Handler = testHandler{}

// registerTestHandler makes it known to Caddy, as often as it is called.
var registerTestHandler = sync.OnceFunc(func() { caddy.RegisterModule(testHandler{}) })

func next(t *testing.T, name string) map[string]any {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case e := <-told:
			if e.Name() == name {
				return e.Data
			}
		case <-deadline:
			t.Fatalf("no event %s", name)
		}
	}
}

// awaitRecovery waits until the hub has noticed that its breaker is closed again:
// a breaker that opens before that changes nothing, and nobody is told.
func awaitRecovery(t *testing.T, rt *runtime) {
	t.Helper()
	degraded := func() bool {
		rt.telemetry.mu.Lock()
		defer rt.telemetry.mu.Unlock()
		return rt.telemetry.degraded
	}
	for deadline := time.Now().Add(30 * time.Second); degraded(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the storage does not recover")
		}
	}
}

// TestCaddyEvents: a handler module is told of breaker and storage, also after a
// reload, and the metrics are well formed.
func TestCaddyEvents(t *testing.T) {
	registerTestHandler()
	config := fmt.Sprintf(`{"admin":{"disabled":true,"config":{"persist":false}},"logging":{"logs":{"default":{"level":"PANIC"}}},"apps":{
		"events":{"subscriptions":[{"events":["lifeline_breaker_opened","lifeline_breaker_half_opened","lifeline_breaker_closed",
			"lifeline_storage_degraded","lifeline_storage_recovered"],"handlers":[{"handler":"lifeline_test"}]}]},
		"lifeline":{"hubs":{"told":{"storage":{"driver":"disk","dir":%q}}}}}}`, t.TempDir())
	load := func() {
		t.Helper()
		if err := caddy.Load([]byte(config), true); err != nil {
			t.Fatal(err)
		}
	}
	load()
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, cause := range []string{"first", "after a reload"} {
		rt := runningHubs()["told"]
		if rt == nil {
			t.Fatal("the hub does not run")
		}
		if _, err := rt.operate("disk", "trip", strings.NewReader(fmt.Sprintf(`{"cause":%q}`, cause))); err != nil {
			t.Fatal(err)
		}
		opened := next(t, eventBreakerOpened)
		if opened["hub"] != "told" || opened["breaker"] != "disk" || opened["reason"] != "trip" || opened["cause"] != cause {
			t.Errorf("told %v", opened)
		}
		// The disk works, so the probe closes it again; which of the two is told of
		// first is not promised.
		if closed := next(t, eventBreakerClosed); closed["reason"] != "watch-passed" {
			t.Errorf("told %v", closed)
		}
		load()
	}
	rt := runningHubs()["told"]
	awaitRecovery(t, rt)
	if _, err := rt.operate("disk", "hold", strings.NewReader(`{"state":"forced-open","for":"forever"}`)); err != nil {
		t.Fatal(err)
	}
	if degraded := next(t, eventStorageDegraded); degraded["hub"] != "told" {
		t.Errorf("told %v", degraded)
	}
	if _, err := rt.operate("disk", "release", strings.NewReader("")); err != nil {
		t.Fatal(err)
	}
	next(t, eventStorageRecovered)
	if problems, err := testutil.CollectAndLint(collector{}); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

// TestSlowHandlerLosesEventsAndSaysSo: the queue is bounded.
func TestSlowHandlerLosesEventsAndSaysSo(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	e := newEmitter(zap.New(core))
	entered, leave := make(chan struct{}), make(chan struct{})
	var got []string
	e.set(func(name string, _ map[string]any) {
		if got = append(got, name); len(got) == 1 {
			close(entered)
			<-leave
		}
	})
	e.add("slow", nil)
	<-entered
	for i := range maxEvents + 7 {
		e.add(fmt.Sprint(i), nil)
	}
	if logs.FilterMessageSnippet("too slow").Len() != 1 {
		t.Errorf("logged %v", logs.All())
	}
	close(leave)
	for deadline := time.Now().Add(30 * time.Second); logs.FilterField(zap.Uint64("dropped", 7)).Len() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("logged %v", logs.All())
		}
	}
	e.close()
	if len(got) != maxEvents+1 || got[1] != "0" || got[maxEvents] != fmt.Sprint(maxEvents-1) {
		t.Errorf("%d events were told: %v", len(got), got)
	}
}

// TestEventsWaitForTheirApp: nothing is told before all apps have started, and
// nothing of it is lost.
func TestEventsWaitForTheirApp(t *testing.T) {
	e := newEmitter(zap.NewNop())
	defer e.close()
	e.add("early", nil)
	got := make(chan string)
	e.set(func(name string, _ map[string]any) { got <- name })
	select {
	case name := <-got:
		if name != "early" {
			t.Errorf("told %s", name)
		}
	case <-time.After(30 * time.Second):
		t.Error("the event is lost")
	}
	newEmitter(zap.NewNop()).close() // one that was never set ends as well
}
