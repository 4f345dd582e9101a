package lifeline

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/watcher"
)

// stopCaddy ends the configuration that runs.
func stopCaddy(t *testing.T) {
	t.Helper()
	if err := caddy.Stop(); err != nil {
		t.Error(err)
	}
}

// session writes a session's record.
func session(t *testing.T, rt *runtime, id, cwd string) {
	t.Helper()
	if _, err := rt.backend.store().SetSession(t.Context(), storage.Session{ID: id, Cwd: cwd}); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) { // the pace of asking
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// As many sessions are watched as may be; a further one is not, until one ends. All
// of them come back after a restart, and nothing is left when the hub ends.
func TestWatchedSessionsAreBounded(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	dir := t.TempDir()
	store := t.TempDir()
	load := func() *runtime { return loadWith(t, "storage disk "+store, "watch_root "+dir) }
	rt := load()
	defer stopCaddy(t)
	for i := range maxWatchedSessions + 2 {
		id := fmt.Sprint(i)
		session(t, rt, id, dir)
		over, no, err := rt.hub.Load().RefreshWatch(t.Context(), id)
		full := i >= maxWatchedSessions
		if over || err != nil || (no != nil) != full || full && no.Reason != events.NotWatchedFull {
			t.Fatalf("session %d: %v %v %v", i, over, no, err)
		}
	}
	if n := rt.hub.Load().Stats().Limited["watched_sessions"]; n != 2 {
		t.Errorf("the limit was met %d times", n)
	}
	rt.watchers.End("0")
	last := fmt.Sprint(maxWatchedSessions)
	if _, no, err := rt.hub.Load().RefreshWatch(t.Context(), last); no != nil || err != nil {
		t.Errorf("in its place: %v %v", no, err)
	}
	stopCaddy(t)
	rt = load()
	eventually(t, "all are watched again", func() bool { return len(rt.watchers.list()) == maxWatchedSessions })
	if rt.watchers.Watched("0") || !rt.watchers.Watched(last) {
		t.Error("others are watched than before")
	}
}

// A record that ends, or goes, without this server being told ends the watch too.
func TestRecordsThatEndElsewhere(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	dir := t.TempDir()
	rt := loadCaddyfile(t, "watch_root "+dir)
	defer stopCaddy(t)
	for _, id := range []string{"ended", "deleted", "goes-on"} {
		session(t, rt, id, dir)
		if _, no, err := rt.hub.Load().RefreshWatch(t.Context(), id); no != nil || err != nil {
			t.Fatal(no, err)
		}
	}
	store := rt.backend.store() // as another server would
	if _, err := store.SetSession(t.Context(), storage.Session{ID: "ended", Cwd: dir, Status: storage.StatusSkipped}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.DeleteSession(t.Context(), "deleted"); err != nil {
		t.Fatal(err)
	}
	if !rt.watchers.keeper.look() {
		t.Error("storage did not answer")
	}
	if got := rt.watchers.kept.list(); !slices.Equal(got, []string{"goes-on"}) || len(rt.watchers.list()) != 1 {
		t.Errorf("watched still: %v", got)
	}
}

// The file of watched sessions survives what it meets.
func TestKeptSessions(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	k := openKept("hub", zap.NewNop())
	for _, id := range []string{"b", "a/ü", "c"} {
		for range 2 {
			if !k.add(id, 3) {
				t.Errorf("%s has no room", id)
			}
		}
	}
	if k.add("d", 3) {
		t.Error("there is room for more than allowed")
	}
	k.remove("c")
	k.remove("unknown")
	want := []string{"a/ü", "b"}
	if got := openKept("hub", zap.NewNop()).list(); !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	if got := openKept("other", zap.NewNop()).list(); len(got) > 0 {
		t.Errorf("another hub has %v", got)
	}
	for _, text := range []string{"", "{", `{"sessions":5}`, "null"} {
		if err := os.WriteFile(k.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := openKept("hub", zap.NewNop()).list(); len(got) > 0 {
			t.Errorf("%q: %v", text, got)
		}
	}
	// Where it cannot be written the sessions are watched all the same.
	k.file = filepath.Join(k.file, "below", "a file")
	if !k.add("e", 3) || !slices.Equal(k.list(), []string{"a/ü", "b", "e"}) {
		t.Errorf("kept %v", k.list())
	}
}

// A watcher that is given up, and one that works again, is told to event handlers of
// Caddy and to the readers of its session; a degraded one to the latter.
func TestEventsAboutWatchers(t *testing.T) {
	registerTestHandler()
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	root := filepath.Join(t.TempDir(), "root")
	config := fmt.Sprintf(`{"admin":{"disabled":true,"config":{"persist":false}},"logging":{"logs":{"default":{"level":"PANIC"}}},"apps":{
		"events":{"subscriptions":[{"events":["lifeline_watcher_failed","lifeline_watcher_recovered"],"handlers":[{"handler":"lifeline_test"}]}]},
		"lifeline":{"hubs":{"told":{"storage":{"driver":"memory"},"watches":[
			{"session":"s","dir":%q,"retry_attempts":1,"retry_initial":50000000,"absolute_paths_off":true}]}}}}}`, root)
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatal(err)
	}
	defer stopCaddy(t)
	failed := next(t, eventWatcherFailed)
	if failed["hub"] != "told" || failed["session"] != "s" || failed["root"] != root || failed["attempts"] != 1 ||
		!strings.Contains(fmt.Sprint(failed["error"]), "does not exist") {
		t.Errorf("told %v", failed)
	}
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	if recovered := next(t, eventWatcherRecovered); recovered["session"] != "s" || recovered["hub"] != "told" {
		t.Errorf("told %v", recovered)
	}
	rt := runningHubs()["told"]
	read := func() (types []string, raw string) {
		page, err := rt.hub.Load().Read(t.Context(), "s", storage.LogQuery{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			var ev struct{ Type, SessionID, Timestamp, ID string }
			if err := json.Unmarshal(e.Data, &ev); err != nil || ev.SessionID != "s" || ev.ID == "" || ev.Timestamp == "" {
				t.Errorf("event %s: %v", e.Data, err)
			}
			types = append(types, ev.Type)
			raw += string(e.Data)
		}
		return types, raw
	}
	want := []string{"watcher:failed", "watcher:recovered"}
	eventually(t, "the readers are told", func() bool { types, _ := read(); return slices.Equal(types, want) })
	if _, raw := read(); strings.Contains(raw, root) || !strings.Contains(raw, `"attempts":1,"error":"`) {
		t.Errorf("the events are %s", raw)
	}
}

// What each state of a watcher is to the readers of its session.
func TestStatesAreTold(t *testing.T) {
	rt := loadCaddyfile(t, "")
	defer stopCaddy(t)
	w := &watched{settings: Watch{Session: "s", Dir: "/srv/dir"}}
	teller := &stateTeller{ws: rt.watchers, watched: w}
	for step := range strings.FieldsSeq("starting watching degraded rescan watching starting watching starting retrying starting failed starting watching stopped") {
		st := watcher.Status{Session: "s", State: watcher.State(step), LastError: "why"}
		if step == "rescan" {
			teller.rescanned(st)
			continue
		}
		teller.tell(st)
	}
	page, err := rt.hub.Load().Read(t.Context(), "s", storage.LogQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range page.Entries {
		var ev struct{ Type, Error string }
		if err := json.Unmarshal(e.Data, &ev); err != nil {
			t.Fatal(err)
		}
		got = append(got, ev.Type+ev.Error)
	}
	want := []string{
		"watcher:degradedwhy", "watcher:rescanned", "watcher:recovered", "watcher:failedwhy", "watcher:recovered",
	}
	if !slices.Equal(got, want) {
		t.Errorf("told\n%v, want\n%v", got, want)
	}
	if n := rt.watchers.restarts.Load(); n != 4 {
		t.Errorf("%d restarts", n)
	}
}
