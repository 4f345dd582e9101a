package watcher

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap/zapcore"
)

func TestRootMissingIsRetriedAndGivenUp(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "yet")
	u := watch(t, dir, quick)
	u.waitState(StateFailed)
	var delays []any
	for _, e := range u.logs.FilterMessage("watcher retry scheduled").All() {
		if e.Level != zapcore.InfoLevel {
			t.Errorf("level %s", e.Level)
		}
		delays = append(delays, e.ContextMap()["in"])
	}
	ms := time.Millisecond
	if len(delays) != 3 || delays[0] != 20*ms || delays[1] != 40*ms || delays[2] != 80*ms {
		t.Errorf("delays %v", delays)
	}
	u.sawLog(zapcore.ErrorLevel, "watcher failed")
	u.sawLog(zapcore.ErrorLevel, "watcher retries exhausted")
	if s := u.Status(); s.Attempts != 3 || s.MaxAttempts != 3 || !strings.Contains(s.LastError, dir) {
		t.Errorf("status %+v", s)
	}
	must(t, u.Restart())
	if err := u.Restart(); !errors.Is(err, ErrNotFailed) {
		t.Errorf("second restart: %v", err)
	}
	eventually(t, func() bool { return u.logs.FilterMessage("watcher retries exhausted").Len() == 2 },
		func() string { return "restarted watcher was not given up" })

	// A root that appears is noticed, and what it holds is new.
	must(t, os.MkdirAll(dir, 0o755))
	write(t, filepath.Join(dir, "f"), "x")
	u.expect("created f")
	u.sawLog(zapcore.InfoLevel, "watcher restarted")
	u.waitState(StateWatching)
}

func TestRootIsAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	write(t, file, "x")
	u := watch(t, file, quick)
	u.waitState(StateFailed)
	if s := u.Status(); !strings.Contains(s.LastError, syscall.ENOTDIR.Error()) {
		t.Errorf("status %+v", s)
	}
}

func TestRootRemovedAndMadeAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "root")
	tree(t, filepath.Join(dir, "d"), "d", 0, 0)
	write(t, filepath.Join(dir, "d", "f"), "x")
	u := watch(t, dir, func(c *Config, _ *hooks) { c.RetryInitial = 500 * time.Millisecond })
	must(t, os.Rename(dir, dir+".old"))
	u.expect("deleted d/f", "deleted d/")
	u.waitState(StateRetrying)
	u.sawLog(zapcore.ErrorLevel, "watcher failed")
	must(t, os.MkdirAll(filepath.Join(dir, "e"), 0o755))
	write(t, filepath.Join(dir, "e", "g"), "x")
	u.expect("created e/", "created e/g")
	u.waitState(StateWatching)
	write(t, filepath.Join(dir, "e", "g"), "xx")
	u.expect("modified e/g")

	// At once, and perhaps with the same inode number.
	for range 3 {
		must(t, os.RemoveAll(dir))
		must(t, os.Mkdir(dir, 0o755))
		u.expect("deleted e/g", "deleted e/")
		must(t, os.Mkdir(filepath.Join(dir, "e"), 0o755))
		write(t, filepath.Join(dir, "e", "g"), "x")
		u.expect("created e/", "created e/g")
		u.waitState(StateWatching)
		u.setStable()
	}
}

func TestRootAppearsAfterGivenUp(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "root")
	must(t, os.Mkdir(dir, 0o755))
	write(t, filepath.Join(dir, "f"), "x")
	none := 0
	u := watch(t, dir, quick, func(c *Config, _ *hooks) { c.RetryAttempts = &none })
	must(t, os.RemoveAll(dir))
	u.waitState(StateFailed)
	u.expect("deleted f")
	must(t, os.Mkdir(dir, 0o755))
	write(t, filepath.Join(dir, "g"), "x")
	u.expect("created g")
}

// failing makes reading of directories with a name fail while it is on.
func failing(name string, err error, on *atomic.Bool) option {
	return func(_ *Config, h *hooks) {
		h.readDir = func(dir string) ([]fs.DirEntry, error) {
			if on.Load() && filepath.Base(dir) == name {
				return nil, err
			}
			return os.ReadDir(dir)
		}
	}
}

func TestScanFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var on atomic.Bool
	u := watch(t, dir, quick, failing("d1", errInjected, &on), func(c *Config, _ *hooks) {
		many := 1000
		c.RetryAttempts = &many
	})
	on.Store(true)
	want := tree(t, filepath.Join(dir, "t"), "t", 3, 3)
	u.waitState(StateRetrying)
	write(t, filepath.Join(dir, "t", "while-down"), "x")
	on.Store(false)
	u.expectSet(append(want, "created t/while-down")...)
	if u.Status().State != StateWatching {
		t.Errorf("status %+v", u.Status())
	}
}

func TestFirstScanFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tree(t, filepath.Join(dir, "t"), "t", 3, 3)
	var on atomic.Bool
	on.Store(true)
	u := watch(t, dir, quick, failing("d1", errInjected, &on))
	u.waitState(StateFailed)
	if err := u.Status().LastError; !strings.Contains(err, errInjected.Error()) {
		t.Errorf("last error %q", err)
	}
	on.Store(false)
	must(t, u.Restart())
	u.waitState(StateWatching)
	u.nothing() // what was there at the start is still not news
}

func TestDirectoryThatCannotBeWatched(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{syscall.ENOSPC, syscall.EACCES} {
		dir := t.TempDir()
		var on atomic.Bool
		on.Store(true)
		u := watch(t, dir, func(_ *Config, h *hooks) {
			h.addWatch = func(dir string) error {
				if on.Load() && filepath.Base(dir) == "blind" {
					return cause
				}
				return nil
			}
		})
		blind := filepath.Join(dir, "blind")
		must(t, os.Mkdir(blind, 0o755))
		write(t, filepath.Join(blind, "f"), "x")
		u.expect("created blind/", "created blind/f")
		u.waitState(StateDegraded)
		write(t, filepath.Join(blind, "g"), "x")
		u.expect("created blind/g")
		on.Store(false)
		u.waitState(StateWatching)
		write(t, filepath.Join(blind, "h"), "x")
		u.expect("created blind/h")
	}
}

func TestDirectoryThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var on atomic.Bool
	on.Store(true)
	u := watch(t, dir, failing("secret", fs.ErrPermission, &on))
	must(t, os.Mkdir(filepath.Join(dir, "secret"), 0o755))
	write(t, filepath.Join(dir, "secret", "f"), "x")
	u.expect("created secret/")
	u.waitState(StateDegraded)
	on.Store(false)
	u.expect("created secret/f")
	u.waitState(StateWatching)
}

// notifierOf returns the notifier in use, which parallel tests share: those who
// break it run alone.
func notifierOf() *notifier {
	currentMu.Lock()
	defer currentMu.Unlock()
	return current
}

func TestOverflowIsRescanned(t *testing.T) {
	dir := t.TempDir()
	tree(t, filepath.Join(dir, "t"), "t", 3, 3)
	u := watch(t, dir)
	n := notifierOf()

	// Without its watches the notifier is deaf, which is what an overflow is
	// like for these paths.
	for _, path := range n.fs.WatchList() {
		must(t, n.fs.Remove(path))
	}
	must(t, os.Remove(filepath.Join(dir, "t", "d1", "f1.txt")))
	must(t, os.MkdirAll(filepath.Join(dir, "new", "sub"), 0o755))
	write(t, filepath.Join(dir, "new", "sub", "f"), "x")
	write(t, filepath.Join(dir, "t", "d0", "f0.txt"), "longer than before")
	n.fs.Errors <- fsnotify.ErrEventOverflow
	u.expectSet("deleted t/d1/f1.txt", "created new/", "created new/sub/", "created new/sub/f", "modified t/d0/f0.txt")
	u.sawState(StateDegraded)
	u.waitState(StateWatching)
	if s := u.Status(); s.Overflows != 1 || s.Rescans != 1 || s.Attempts != 0 {
		t.Errorf("status %+v", s)
	}
	write(t, filepath.Join(dir, "t", "d2", "watched-again"), "x")
	u.expect("created t/d2/watched-again")
}

func TestNotifierFails(t *testing.T) {
	for name, breakIt := range map[string]func(*notifier){
		"error":  func(n *notifier) { n.fs.Errors <- errInjected },
		"closed": func(n *notifier) { _ = n.fs.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			u := watch(t, dir, func(c *Config, _ *hooks) { c.RetryInitial = 200 * time.Millisecond })
			other := watch(t, t.TempDir(), quick)
			breakIt(notifierOf())
			u.waitState(StateRetrying)
			write(t, filepath.Join(dir, "while-down"), "x")
			u.expect("created while-down")
			u.waitState(StateWatching)
			other.waitState(StateWatching)
			write(t, filepath.Join(other.dir, "f"), "x")
			other.expect("created f")
		})
	}
}

func TestLateErrorOfFsnotifyIsNoFailure(t *testing.T) {
	u := watch(t, t.TempDir())
	notifierOf().fs.Errors <- syscall.EINVAL
	u.nothing()
	if u.logs.FilterMessage("watcher failed").Len() > 0 {
		t.Error("failed")
	}
}

func TestTwoWatchersOnOneRoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	one, two := watch(t, dir), watch(t, dir)
	below := watch(t, filepath.Join(dir, "d"))
	write(t, filepath.Join(dir, "d", "f"), "x")
	one.expect("created d/f")
	two.expect("created d/f")
	below.expect("created f")
	one.Stop()
	below.Stop()
	write(t, filepath.Join(dir, "d", "g"), "x")
	two.expect("created d/g")
	for range 10 {
		must(t, os.RemoveAll(filepath.Join(dir, "d")))
		must(t, os.MkdirAll(filepath.Join(dir, "d"), 0o755))
	}
	third := watch(t, dir)
	two.marks("settled")
	third.marks("settled too")
	write(t, filepath.Join(dir, "d", "h"), "x")
	third.expect("created d/h")
	if len(one.events) > 0 || len(below.events) > 0 {
		t.Error("events after stop")
	}
}

func TestStopLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	tree(t, filepath.Join(dir, "t"), "t", 20, 2)
	descriptors, goroutines := countDescriptors(t), runtime.NumGoroutine()
	for range 3 {
		u := watch(t, dir)
		missing := watch(t, filepath.Join(dir, "missing"), quick)
		missing.waitState(StateFailed)
		for i := range 20 {
			write(t, filepath.Join(dir, "t", "d0", "f0.txt"), strings.Repeat("x", i))
		}
		u.Stop()
		u.Stop()
		missing.Stop()
		if u.Status().State != StateStopped {
			t.Errorf("status %+v", u.Status())
		}
		u.sawState(StateStopped)
		if err := u.Restart(); !errors.Is(err, ErrNotFailed) {
			t.Errorf("restart of a stopped watcher: %v", err)
		}
		left := len(u.events)
		write(t, filepath.Join(dir, "t", "d0", "f1.txt"), "changed")
		time.Sleep(2 * DefaultDebounce)
		if len(u.events) != left {
			t.Error("event after stop")
		}
	}
	if got := countDescriptors(t); got > descriptors {
		t.Errorf("%d descriptors, %d before", got, descriptors)
	}
	if got := runtime.NumGoroutine(); got > goroutines {
		t.Errorf("%d goroutines, %d before", got, goroutines)
	}
	if notifierOf() != nil {
		t.Error("the notifier is still there")
	}
}

func countDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("no descriptors to count: %v", err)
	}
	return len(entries)
}

func TestStopDoesNotWaitForAFailingSink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	called := make(chan struct{}, 100)
	u := watch(t, dir, func(c *Config, _ *hooks) {
		c.Sink = func(ctx context.Context, _ Event) error {
			called <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}
	})
	write(t, filepath.Join(dir, "f"), "x")
	<-called
	u.Stop()
	if len(called) > 0 {
		t.Error("offered again after stop")
	}
}
