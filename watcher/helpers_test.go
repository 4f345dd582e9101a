package watcher

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
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
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

const patience = 15 * time.Second

// watched is a watcher under test with its events, states and logs.
type watched struct {
	*Watcher
	t      *testing.T
	dir    string
	events chan Event
	logs   *observer.ObservedLogs

	mu     sync.Mutex
	states []State
	seen   []string
}

type option func(*Config, *hooks)

func watch(t *testing.T, dir string, options ...option) *watched {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	u := &watched{t: t, dir: dir, events: make(chan Event, 100_000), logs: logs}
	cfg := Config{
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
	h := hooks{addWatch: func(string) error { return nil }, readDir: os.ReadDir}
	for _, o := range options {
		o(&cfg, &h)
	}
	w, err := start(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	u.Watcher = w
	t.Cleanup(w.Stop)
	return u
}

func quick(c *Config, _ *hooks) { c.RetryInitial = 20 * time.Millisecond }

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
		return ev
	case <-time.After(patience):
		u.t.Fatalf("no event; state %s, seen %v, logs %v", u.Status().State, tail(u.seen), u.logs.All())
		panic("unreachable")
	}
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
	var got []string
	for range want {
		got = append(got, u.line(u.next()))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		u.t.Fatalf("got events\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	u.nothing()
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
	eventually(u.t, func() bool { return u.Status().State == want },
		func() string {
			return fmt.Sprintf("state %s, want %s (%s)", u.Status().State, want, u.Status().LastError)
		})
}

func (u *watched) sawState(want State) {
	u.t.Helper()
	eventually(u.t, func() bool {
		u.mu.Lock()
		defer u.mu.Unlock()
		return slices.Contains(u.states, want)
	}, func() string { return "never was " + string(want) })
}

func (u *watched) sawLog(level zapcore.Level, message string) {
	u.t.Helper()
	eventually(u.t, func() bool {
		for _, e := range u.logs.FilterMessage(message).All() {
			if e.Level == level && e.ContextMap()["source"] == "fileWatcher" {
				return true
			}
		}
		return false
	}, func() string { return fmt.Sprintf("no %s log %q in %v", level, message, u.logs.All()) })
}

func eventually(t *testing.T, ok func() bool, why func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal(why())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// walk lists what is beneath dir as events would name it.
func walk(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if d.IsDir() {
			rel += "/"
		}
		all = append(all, rel)
		return err
	}))
	slices.Sort(all)
	return all
}

// known lists what the snapshot of a stopped watcher holds.
func (u *watched) known() []string {
	var all []string
	var visit func(rel string, n *node)
	visit = func(rel string, n *node) {
		for name, child := range n.children {
			at := rel + name
			if child.meta.kind == kindDir {
				at += "/"
			}
			all = append(all, at)
			visit(rel+name+"/", child)
		}
	}
	visit("", u.snap.root)
	slices.Sort(all)
	return all
}

// tree makes a directory with subdirectories and files and returns the events
// of its creation at rel.
func tree(t *testing.T, dir, rel string, dirs, files int) []string {
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
