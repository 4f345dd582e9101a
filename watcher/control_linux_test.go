package watcher

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// TestControlFails plays the behaviours to what people usually write: fsnotify
// with a watch for every directory and a debounce. Were it to pass, they
// would say nothing about a snapshot.
func TestControlFails(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var failed, passed []int
	t.Cleanup(func() {
		slices.Sort(failed)
		slices.Sort(passed)
		t.Logf("fsnotify and a walk fail %d: %v, and pass %d: %v", len(failed), failed, len(passed), passed)
		if asked := flag.Lookup("test.run").Value.String(); !strings.Contains(asked, "/") && len(failed) < 10 {
			t.Errorf("only %d behaviours fail", len(failed))
		}
	})
	for _, b := range behaviours {
		if b.place != anywhere { // these ask for more than events
			continue
		}
		t.Run(fmt.Sprintf("%02d", b.number), func(t *testing.T) {
			t.Parallel()
			r := &recorder{TB: t}
			r.play(b)
			mu.Lock()
			defer mu.Unlock()
			if len(r.complaints) == 0 {
				passed = append(passed, b.number)
				return
			}
			failed = append(failed, b.number)
			t.Logf("%d, %s: %.300s", b.number, b.what, r.complaints[0])
		})
	}
}

// recorder takes the failures of a behaviour down.
type recorder struct {
	testing.TB
	complaints []string
}

func (r *recorder) play(b behaviour) {
	done := make(chan struct{})
	go func() { // Fatal ends the goroutine
		defer close(done)
		s := newStage(r, inMemory(r))
		s.launch = s.launchControl
		b.play(s)
	}()
	<-done
}

func (r *recorder) Error(args ...any)            { r.complaints = append(r.complaints, fmt.Sprint(args...)) }
func (r *recorder) Errorf(f string, args ...any) { r.Error(fmt.Sprintf(f, args...)) }
func (r *recorder) Fatalf(f string, args ...any) { r.Fatal(fmt.Sprintf(f, args...)) }
func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

// control watches a directory with fsnotify: each directory that a walk finds at
// the start, and each one that is created later.
type control struct {
	cfg    Config
	fs     *fsnotify.Watcher
	ignore *ignorer
	maker  *eventMaker
	stall  sync.Mutex // held, it keeps hints from being read

	dirs    map[string]bool
	pending map[string]*unsent
	order   []string // of pending, as they came
}

type unsent struct {
	change      string
	first, last time.Time
}

func (s *stage) launchControl(t testing.TB, dir string, options ...option) *watched {
	t.Helper()
	u, _ := newWatched(t, dir, options)
	u.patience = 5 * time.Second
	notify, err := fsnotify.NewBufferedWatcher(notifyBuffer)
	must(t, err)
	c := &control{
		cfg: u.cfg, fs: notify, maker: newEventMaker(u.cfg), ignore: newIgnorer(u.cfg.Ignore, u.cfg.NoDefaultIgnore),
		dirs: map[string]bool{}, pending: map[string]*unsent{},
	}
	s.stalled = &c.stall
	c.walk()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		c.loop(stop)
	}()
	u.stop = sync.OnceFunc(func() {
		close(stop)
		<-stopped
		_ = notify.Close()
	})
	t.Cleanup(u.stop)
	return u
}

func (c *control) loop(stop chan struct{}) {
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case ev, ok := <-c.fs.Events:
			if ok {
				c.stall.Lock()
				c.take(ev)
				c.stall.Unlock()
			}
		case <-c.fs.Errors: // an overflow, of which one would write into the log
		case <-tick.C:
			c.send(time.Now())
		}
	}
}

// walk watches every directory that is there at the start.
func (c *control) walk() {
	_ = filepath.WalkDir(c.cfg.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // gone meanwhile
		}
		rel, _ := filepath.Rel(c.cfg.Dir, path)
		if rel != "." && c.skips(rel, d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		c.dirs[path] = d.IsDir()
		if d.IsDir() && (rel == "." || level(rel) < c.cfg.depth()) {
			_ = c.fs.Add(path)
		}
		return nil
	})
}

func (c *control) skips(rel string, isDir bool) bool {
	if level(rel) > c.cfg.depth() {
		return true
	}
	for at := rel; at != ""; at = dirOf(at) {
		if c.ignore.match(at, isDir || at != rel) {
			return true
		}
	}
	return false
}

func (c *control) take(ev fsnotify.Event) {
	rel, err := filepath.Rel(c.cfg.Dir, ev.Name)
	if ev.Name == "" || err != nil || rel == "." {
		return
	}
	info, err := os.Lstat(ev.Name)
	isDir := err == nil && info.IsDir()
	if c.skips(rel, isDir || c.dirs[ev.Name]) {
		return
	}
	switch {
	case ev.Has(fsnotify.Create):
		if c.dirs[ev.Name] = isDir; isDir && level(rel) < c.cfg.depth() {
			_ = c.fs.Add(ev.Name)
		}
		c.note(ev.Name, Created)
	case ev.Has(fsnotify.Remove), ev.Has(fsnotify.Rename):
		c.note(ev.Name, Deleted)
	case ev.Has(fsnotify.Write) && !isDir:
		c.note(ev.Name, Modified)
	}
}

// note merges what happens to a path: what was created stays so while it is
// written, what was created and deleted is nothing, and deleted and created is
// modified.
func (c *control) note(path, change string) {
	now := time.Now()
	p := c.pending[path]
	if p == nil {
		c.pending[path] = &unsent{change: change, first: now, last: now}
		c.order = append(c.order, path)
		return
	}
	p.last = now
	switch {
	case p.change == Created && change == Deleted:
		delete(c.pending, path)
	case p.change == Deleted && change == Created:
		p.change = Modified
	case p.change != Created || change == Deleted:
		p.change = change
	}
}

func (c *control) send(now time.Time) {
	var later []string
	for i, path := range c.order {
		p := c.pending[path]
		if p == nil {
			continue
		}
		if now.Sub(p.last) < c.cfg.debounce() && now.Sub(p.first) < c.cfg.maxWait() {
			later = append(later, path)
			continue
		}
		delete(c.pending, path)
		isDir := c.dirs[path]
		if p.change == Deleted {
			delete(c.dirs, path)
		}
		rel := strings.TrimPrefix(path, c.cfg.Dir+"/")
		if ev, err := c.maker.event(outcome{rel, p.change, isDir}, now.Add(time.Duration(i)*time.Microsecond)); err == nil {
			_ = c.cfg.Sink(context.Background(), ev)
		}
	}
	c.order = later
}
