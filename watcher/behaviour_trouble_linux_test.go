package watcher

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap/zapcore"
)

var ofTrouble = []behaviour{
	{number: 9, what: "a directory vanishes while it is scanned", play: func(s *stage) {
		u := s.watch(func(_ *Config, h *hooks) {
			h.readDir = func(dir string) error {
				if filepath.Base(dir) == "vanishing" {
					return os.RemoveAll(dir)
				}
				return nil
			}
		})
		for range 3 {
			_ = os.MkdirAll(s.at("d/vanishing/below"), 0o755) // it vanishes

			u.nothingLost(s, "d")
		}
		for i := range 200 {
			s.mkdir(fmt.Sprintf("d/c%d/x/y", i%7))
			s.remove(fmt.Sprintf("d/c%d", i%7))
		}
		u.nothingLost(s, "d")
		if u.logs.FilterMessage("watcher failed").Len() > 0 {
			s.Errorf("failed: %v", u.logs.All())
		}
		s.mkdir("d/late")
		u.expect("created d/", "created d/late/")
		u.settles()
	}},
	{number: 16, what: "the root does not exist at the start", play: func(s *stage) {
		dir := s.out("not/yet")
		u := s.watchAt(dir)
		u.waitState(StateFailed)
		if u.Watcher != nil {
			var delays []any
			for _, e := range u.logs.FilterMessage("watcher retry scheduled").FilterLevelExact(zapcore.InfoLevel).All() {
				delays = append(delays, e.ContextMap()["in"])
			}
			if want := []any{time.Second, 2 * time.Second, 4 * time.Second}; !slices.Equal(delays, want) {
				s.Errorf("retried after %v, want %v", delays, want)
			}
		}
		must(s, os.MkdirAll(dir, 0o755))
		write(s, dir+"/f", "x")
		u.expect("created f")
		write(s, dir+"/f", "changed")
		u.expect("modified f")
		u.waitState(StateWatching)
		u.settles()
	}},
	{number: 17, what: "the root is deleted, and made again at once and later", play: func(s *stage) {
		one := 1
		s.mkdir("d")
		s.write("d/f", "x")
		u := s.watch(func(c *Config, _ *hooks) { c.RetryAttempts, c.RetryInitial = &one, 100*time.Millisecond })
		must(s, os.RemoveAll(s.dir))
		u.expect("deleted d/f", "deleted d/")
		u.waitState(StateFailed) // its one attempt found nothing
		s.mkdir("e")
		s.write("e/g", "x")
		u.expect("created e/", "created e/g")
		u.waitState(StateWatching)
		for range 3 {
			must(s, os.RemoveAll(s.dir))
			must(s, os.Mkdir(s.dir, 0o755))
			u.expect("deleted e/g", "deleted e/")
			s.mkdir("e")
			s.write("e/g", "x")
			u.expect("created e/", "created e/g")
			u.waitState(StateWatching)
			s.write("e/g", "seen here as well")
			u.expect("modified e/g")
		}
		u.settles()
	}},
	{number: 20, what: "nothing of what is there at the start; the first file in an empty directory", play: func(s *stage) {
		empty := s.watch()
		s.write("first", "x")
		empty.expect("created first")
		empty.settles()
		s.plant("t", 3, 3)
		u := s.watch()
		u.nothing()
		s.write("t/d2/f", "x")
		u.expect("created t/d2/f")
		u.settles()
	}},
	{number: 26, what: "permissions are missing, are lost and come back", place: asOthers, play: func(s *stage) {
		s.plant("lost", 1, 1)
		u := s.watch(func(c *Config, _ *hooks) { c.RetryAttempts = new(int) }) // no failure is made good unseen
		s.mkdir("secret/below")
		must(s, os.Chmod(s.at("secret/below"), 0))
		u.expect("created secret/", "created secret/below/")
		u.waitState(StateDegraded)
		must(s, os.Chmod(s.at("secret/below"), 0o755))
		s.write("secret/below/f", "x")
		u.expect("created secret/below/f")
		u.waitState(StateWatching)

		f, err := os.OpenFile(s.at("lost/d0/f0.txt"), os.O_WRONLY, 0)
		must(s, err)
		must(s, os.Chmod(f.Name(), 0))
		must(s, os.Chmod(s.at("lost"), 0))
		_, err = f.WriteString("through what was open before")
		must(s, err)
		must(s, f.Close())
		u.nothing() // it cannot be looked at
		u.waitState(StateDegraded)
		must(s, os.Chmod(s.at("lost"), 0o755))
		u.expect("modified lost/d0/f0.txt")
		u.waitState(StateWatching)
		s.write("lost/d0/g", "x")
		u.expect("created lost/d0/g")
		u.settles()
	}},
	{number: 35, what: "the kernel's queue overflows", play: func(s *stage) {
		created := s.plant("old", 3, 100)
		s.plant("t", 2, 1)
		u := s.watch()
		want := gone(created)
		s.stall(func() {
			s.fillQueue("t/d0/f0.txt", "t/d1/f0.txt")
			want = append(want, "modified t/d0/f0.txt", "modified t/d1/f0.txt")
			want = append(want, s.plant("new", 3, 100)...)
			s.remove("old")
		})
		u.expectInAnyOrder(want...)
		u.sawState(StateDegraded)
		u.waitState(StateWatching)
		if u.Watcher != nil {
			if st := u.Status(); st.Overflows == 0 || st.Rescans == 0 || st.Attempts > 0 {
				s.Errorf("status %+v", st)
			}
		}
		s.write("new/d1/late", "x")
		u.expect("created new/d1/late")
		u.settles()
	}, unpolled: "there is no queue"},
	{number: 36, what: "the limit of watches is reached", place: inNamespaces, play: func(s *stage) {
		s.plant("t", 2, 1)
		setWatchLimit(s, 6)
		u := s.watch() // the root, its parent, and three
		var want []string
		for i := range 4 {
			s.mkdir(fmt.Sprintf("n%d/below", i))
			s.write(fmt.Sprintf("n%d/below/f", i), "x")
			want = append(want, fmt.Sprintf("created n%d/", i), fmt.Sprintf("created n%d/below/", i), fmt.Sprintf("created n%d/below/f", i))
		}
		u.expectInAnyOrder(want...)
		u.waitState(StateDegraded)
		st := u.Status()
		if st.WatchLimit != 6 || st.Watches != 5 || st.Unwatched != 7 || !strings.Contains(st.LastError, "max_user_watches") {
			s.Errorf("status %+v", st)
		}
		s.write("t/d1/f0.txt", "watched")
		u.expect("modified t/d1/f0.txt")
		s.write("n3/below/g", "polled")
		u.expect("created n3/below/g")
		s.remove("n2")
		u.expect("deleted n2/below/f", "deleted n2/below/", "deleted n2/")
		s.mkdir("n3/below/deep/deeper")
		u.expect("created n3/below/deep/", "created n3/below/deep/deeper/")

		setWatchLimit(s, 1000)
		u.waitState(StateWatching)
		s.write("n3/below/deep/deeper/f", "watched now")
		u.expect("created n3/below/deep/deeper/f")
		if st := u.Status(); st.WatchLimit != 1000 || st.Unwatched != 0 {
			s.Errorf("status %+v", st)
		}
		u.settles()
	}, unpolled: "polling takes no watches"},
	{number: 37, what: "the root is unmounted", place: inNamespaces, play: func(s *stage) {
		mount(s, s.dir)
		s.mkdir("d")
		s.write("d/f", "x")
		u := s.watch(quick)
		for range 2 {
			// Neither watches nor looks keep it from being unmounted, except for a moment.
			eventually(s, func() bool { return syscall.Unmount(s.dir, 0) == nil }, func() string { return "busy" })
			u.expect("deleted d/f", "deleted d/")
			u.sawState(StateRetrying)
			u.waitState(StateWatching)
			mount(s, s.dir)
			s.mkdir("d")
			s.write("d/f", "x")
			u.expect("created d/", "created d/f")
			s.write("d/f", "changed")
			u.expect("modified d/f")
		}
		u.settles()
	}},
	{number: 41, what: "stopped with events queued", place: byItself, play: func(s *stage) {
		created := s.plant("t", 20, 2)
		open, running := countDescriptors(s), runtime.NumGoroutine()
		for i := range 3 {
			u := s.watch(hurried)
			for d := range 20 {
				s.write(fmt.Sprintf("t/d%d/f0.txt", d), fmt.Sprint(i))
			}
			u.expectAny(created, i*5) // sometimes in the middle of them
			u.end()
			left := len(u.events)
			s.write("t/d0/f1.txt", "after the end")
			if i == 2 {
				time.Sleep(2 * DefaultDebounce) // nothing may come, so there is nothing to wait for
			}
			if len(u.events) != left {
				s.Error("an event after the end")
			}
			if s.notifiers.inUse() != nil {
				s.Error("the notifier is still there")
			}
			if got := countDescriptors(s); got > open {
				s.Errorf("%d descriptors, %d before", got, open)
			}
			eventually(s, func() bool { return runtime.NumGoroutine() <= running },
				func() string { return fmt.Sprintf("%d goroutines, %d before", runtime.NumGoroutine(), running) })
		}
	}},
	{number: 42, what: "two sessions watch one root and one of them stops", play: func(s *stage) {
		s.mkdir("d")
		one, two := s.watch(), s.watch(func(c *Config, _ *hooks) { c.Session = "s2" })
		s.write("d/f", "x")
		one.expect("created d/f")
		two.expect("created d/f")
		one.settles()
		s.write("d/g", "x")
		two.expectLast("created d/g")
		s.mkdir("e")
		s.write("e/f", "x")
		two.expect("created e/", "created e/f")
		two.settles()
		if len(one.events) > 0 {
			s.Errorf("the stopped one got %s", one.line(<-one.events))
		}
	}},
	{number: 43, what: "overlapping roots: one that stops leaves the others theirs", play: func(s *stage) {
		s.mkdir("d/e")
		outer, inner, innermost := s.watch(), s.watchAt(s.at("d")), s.watchAt(s.at("d/e"))
		s.write("d/e/f", "x")
		outer.expect("created d/e/f")
		inner.expect("created e/f")
		innermost.expect("created f")
		innermost.settles()
		outer.marks("one")
		s.write("d/e/g", "x")
		outer.expect("created d/e/g")
		inner.expectLast("created e/g")
		outer.settles()
		inner.marks("two")
		s.write("d/e/h", "x")
		inner.expect("created e/h")
		inner.settles()
	}},
}

// nothingLost waits until nothing is at rel and takes what is said of it.
func (u *watched) nothingLost(s *stage, rel string) {
	s.Helper()
	must(s, os.RemoveAll(s.at(rel)))
	u.marks(fmt.Sprintf("mark-%d", len(u.seen)))
	for p := range u.model {
		if strings.HasPrefix(p, rel+"/") {
			s.Errorf("still there: %s", p)
		}
	}
}

// expectAny takes n events, which are those of modified files of a tree.
func (u *watched) expectAny(created []string, n int) {
	u.t.Helper()
	for range n {
		line := u.line(u.next())
		if !slices.Contains(created, "created"+strings.TrimPrefix(line, "modified")) {
			u.t.Errorf("unexpected: %s", line)
		}
	}
}

// expectLast takes events until one comes, which must.
func (u *watched) expectLast(want string) {
	u.t.Helper()
	for u.line(u.next()) != want {
	}
}

// stall does something while no hints are read.
func (s *stage) stall(do func()) {
	hold := s.stalled
	if hold == nil {
		hold = &s.notifiers.inUse().mu
	}
	hold.Lock()
	defer hold.Unlock()
	do()
}

// fillQueue writes two files in turn until the kernel has thrown hints away.
func (s *stage) fillQueue(one, other string) {
	s.Helper()
	var files []*os.File
	for _, rel := range []string{one, other} {
		f, err := os.OpenFile(s.at(rel), os.O_WRONLY|os.O_APPEND, 0)
		must(s, err)
		defer func() { _ = f.Close() }()
		files = append(files, f)
	}
	for i := range queueLength(s) + 10_000 { // some are buffered outside of the queue
		_, err := files[i%2].WriteString("x")
		must(s, err)
	}
}

// queueLength is the number of hints that the kernel keeps for one that does
// not read them.
func queueLength(s *stage) int {
	s.Helper()
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	must(s, err)
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(s, err)
	return n
}
