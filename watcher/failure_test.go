package watcher

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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

// failing makes reading of directories with a name fail while it is on.
func failing(name string, err error, on *atomic.Bool) option {
	return func(_ *Config, h *hooks) {
		h.readDir = func(dir string) error {
			if on.Load() && filepath.Base(dir) == name {
				return err
			}
			return nil
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
	want := plant(t, filepath.Join(dir, "t"), "t", 3, 3)
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
	plant(t, filepath.Join(dir, "t"), "t", 3, 3)
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

// ownNotifier gives a watcher a notifier that no other test uses, so that it can
// be broken.
func ownNotifier(ns *notifiers) option {
	return func(_ *Config, h *hooks) { h.notifiers = ns }
}

func (ns *notifiers) inUse() *notifier {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return ns.current
}

func TestOverflowIsRescanned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plant(t, filepath.Join(dir, "t"), "t", 3, 3)
	var ns notifiers
	rescanned := make(chan Status, 10)
	u := watch(t, dir, ownNotifier(&ns), func(c *Config, _ *hooks) {
		c.OnRescan = func(s Status) { rescanned <- s }
	})
	n := ns.inUse()

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
	if s := <-rescanned; s.State != StateDegraded || s.Rescans != 1 || len(rescanned) > 0 {
		t.Errorf("told of the rescan with %+v", s)
	}
	if s := u.Status(); s.Overflows != 1 || s.Rescans != 1 || s.Attempts != 0 {
		t.Errorf("status %+v", s)
	}
	write(t, filepath.Join(dir, "t", "d2", "watched-again"), "x")
	u.expect("created t/d2/watched-again")
}

func TestNotifierFails(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(*notifier){
		"error":  func(n *notifier) { n.fs.Errors <- errInjected },
		"closed": func(n *notifier) { _ = n.fs.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var ns notifiers
			u := watch(t, dir, ownNotifier(&ns), func(c *Config, _ *hooks) { c.RetryInitial = 200 * time.Millisecond })
			other := watch(t, t.TempDir(), quick, ownNotifier(&ns))
			breakIt(ns.inUse())
			u.sawState(StateRetrying)
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
	t.Parallel()
	var ns notifiers
	u := watch(t, t.TempDir(), ownNotifier(&ns))
	ns.inUse().fs.Errors <- syscall.EINVAL
	u.nothing()
	if u.logs.FilterMessage("watcher failed").Len() > 0 {
		t.Error("failed")
	}
}

func TestStopOfOneThatHasFailed(t *testing.T) {
	t.Parallel()
	u := watch(t, filepath.Join(t.TempDir(), "missing"), quick)
	u.waitState(StateFailed)
	u.Stop()
	u.Stop()
	if u.Status().State != StateStopped {
		t.Errorf("status %+v", u.Status())
	}
	u.sawState(StateStopped)
	if err := u.Restart(); !errors.Is(err, ErrNotFailed) {
		t.Errorf("restart of a stopped watcher: %v", err)
	}
}

func countDescriptors(t testing.TB) int {
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
