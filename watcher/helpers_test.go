package watcher

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// The tests wait more than they work.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "40"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// pollEvery is shorter than the time within which changes are merged.
const pollEvery = 20 * time.Millisecond

const patience = time.Minute

// watched is a watcher under test with its events, states and logs.
type watched struct {
	*Watcher        // nil: a control, of which only events are wanted
	stop     func() // of a control
	t        testing.TB
	dir      string
	cfg      Config
	events   chan Event
	logs     *observer.ObservedLogs
	patience time.Duration

	model map[string]bool   // what events say is there; directories with a slash
	told  map[string]string // when the last event of a path left
	last  Event

	mu     sync.Mutex
	states []State
	seen   []string
}

type option func(*Config, *hooks)

func watch(t testing.TB, dir string, options ...option) *watched {
	t.Helper()
	u, h := newWatched(t, dir, options)
	w, err := start(u.cfg, h)
	must(t, err)
	u.Watcher = w
	t.Cleanup(w.Stop)
	eventually(t, func() bool { return w.Status().State != StateStarting }, func() string { return "still scans" })
	return u
}

func newWatched(t testing.TB, dir string, options []option) (*watched, hooks) {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	u := &watched{
		t: t, dir: dir, events: make(chan Event, 100_000), logs: logs, patience: patience, model: map[string]bool{}, told: map[string]string{},
	}
	u.cfg = Config{
		Session: "s1",
		Dir:     dir,
		Logger:  zap.New(core),
		Sink: func(_ context.Context, ev Event) error {
			u.events <- ev
			return nil
		},
		OnState: func(s Status) {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.states = append(u.states, s.State)
		},
	}
	nothing := func(string) error { return nil }
	h := hooks{addWatch: nothing, readDir: nothing, notifiers: &shared}
	for _, o := range options {
		o(&u.cfg, &h)
	}
	for _, p := range u.visible() {
		u.model[strings.ToValidUTF8(p, "\uFFFD")] = true
	}
	return u, h
}

func quick(c *Config, _ *hooks) { c.RetryInitial = 20 * time.Millisecond }

// end stops what is watching.
func (u *watched) end() {
	if u.Watcher != nil {
		u.Stop()
	}
	if u.stop != nil {
		u.stop()
	}
}

func (u *watched) line(ev Event) string {
	slash := ""
	if ev.IsDirectory {
		slash = "/"
	}
	return ev.ChangeType + " " + ev.RelativePath + slash
}

func (u *watched) next() Event {
	u.t.Helper()
	select {
	case ev := <-u.events:
		u.seen = append(u.seen, u.line(ev))
		u.check(ev)
		return ev
	case <-time.After(u.patience):
		u.t.Fatalf("no event of %s; %s; seen %.30q", u.dir, u.story(), tail(u.seen))
		panic("unreachable")
	}
}

// story is what the watcher says of itself.
func (u *watched) story() string {
	if u.Watcher == nil {
		return "a control"
	}
	lines := []string{fmt.Sprintf("%+v", u.Status())}
	for _, e := range u.logs.All() {
		lines = append(lines, fmt.Sprint(e.Time.Format("05.000 "), e.Message, e.ContextMap()["error"]))
	}
	return strings.Join(tail(lines), "\n")
}

func tail(s []string) []string { return s[max(0, len(s)-20):] }

// marks makes a file and, once that was reported, writes it: the second event
// comes after those of everything before. It returns what came until then.
func (u *watched) marks(name string) []string {
	u.t.Helper()
	var got []string
	for _, mark := range []string{"created " + name, "modified " + name} {
		write(u.t, filepath.Join(u.dir, name), mark)
		for line := ""; line != mark; {
			if line = u.line(u.next()); line != mark {
				got = append(got, line)
			}
		}
	}
	return got
}

// expect wants exactly these events, in this order.
func (u *watched) expect(want ...string) {
	u.t.Helper()
	var got []string
	for range want {
		got = append(got, u.line(u.next()))
	}
	if !slices.Equal(got, want) {
		u.t.Fatalf("got events\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// expectSet wants exactly these events, in whatever order, and none besides.
func (u *watched) expectSet(want ...string) {
	u.t.Helper()
	u.expectInAnyOrder(want...)
	u.nothing()
}

// expectInAnyOrder wants exactly these events next.
func (u *watched) expectInAnyOrder(want ...string) {
	u.t.Helper()
	var got []string
	for range want {
		got = append(got, u.line(u.next()))
	}
	if diff := difference(got, want); diff != "" {
		u.t.Fatalf("events invented (+) and missing (-):%s", diff)
	}
}

// nothing wants no event before that of a further change.
func (u *watched) nothing() {
	u.t.Helper()
	if got := u.marks(fmt.Sprintf("mark-%d", len(u.seen))); len(got) > 0 {
		u.t.Fatalf("unexpected events %v", got)
	}
}

func (u *watched) waitState(want State) {
	u.t.Helper()
	if u.Watcher == nil {
		return
	}
	eventually(u.t, func() bool { return u.Status().State == want },
		func() string {
			return fmt.Sprintf("state %s, want %s (%s)", u.Status().State, want, u.Status().LastError)
		})
}

func (u *watched) sawState(want State) {
	u.t.Helper()
	if u.Watcher == nil {
		return
	}
	eventually(u.t, func() bool {
		u.mu.Lock()
		defer u.mu.Unlock()
		return slices.Contains(u.states, want)
	}, func() string { return "never was " + string(want) })
}

func (u *watched) sawLog(level zapcore.Level, message string) {
	u.t.Helper()
	if u.Watcher == nil {
		return
	}
	eventually(u.t, func() bool {
		for _, e := range u.logs.FilterMessage(message).All() {
			if e.Level == level && e.ContextMap()["source"] == "fileWatcher" {
				return true
			}
		}
		return false
	}, func() string { return fmt.Sprintf("no %s log %q in %v", level, message, u.logs.All()) })
}

func eventually(t testing.TB, ok func() bool, why func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal(why())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func write(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

// inMemory makes a directory, in memory where that is possible.
func inMemory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "lifeline-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// plant makes a directory with subdirectories and files and returns the events
// of its creation at rel.
func plant(t testing.TB, dir, rel string, dirs, files int) []string {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	lines := []string{"created " + rel + "/"}
	for d := range dirs {
		sub := fmt.Sprintf("d%d", d)
		must(t, os.Mkdir(filepath.Join(dir, sub), 0o755))
		lines = append(lines, "created "+rel+"/"+sub+"/")
		for f := range files {
			name := fmt.Sprintf("f%d.txt", f)
			write(t, filepath.Join(dir, sub, name), name)
			lines = append(lines, "created "+rel+"/"+sub+"/"+name)
		}
	}
	return lines
}

var errInjected = errors.New("injected failure")
