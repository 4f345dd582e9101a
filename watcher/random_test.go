package watcher

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// TestRandomProgram does random things to a tree, while now and then something
// of the watcher fails, and compares what the watcher knows and what its events
// add up to with a fresh walk.
func TestRandomProgram(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	for round := range uint64(8) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			randomProgram(t, seed, round, 4)
		})
	}
}

// TestSoakRandomProgram does the same for as long as LIFELINE_SOAK says; without
// it, not at all.
func TestSoakRandomProgram(t *testing.T) {
	t.Parallel()
	text := os.Getenv("LIFELINE_SOAK")
	if text == "" {
		return
	}
	d, err := time.ParseDuration(text)
	must(t, err)
	seed, end := uint64(time.Now().UnixNano()), time.Now().Add(d)
	for i := range uint64(8) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			for round := i; time.Now().Before(end) && !t.Failed(); round += 8 {
				randomProgram(t, seed, round, 20)
			}
		})
	}
}

// program is one random program. A second watcher shares the notifier, with a
// root in the tree of the first that comes and goes.
type program struct {
	t            *testing.T
	rng          *rand.Rand
	dir, outside string
	faults       *faults
	notifiers    notifiers
	touched      map[string]time.Time // when a file was last written, as far as that is known
	failures     []string
}

func randomProgram(t *testing.T, seed, round uint64, parts int) {
	t.Helper()
	t.Logf("seed %d, round %d", seed, round)
	p := &program{
		t: t, rng: rand.New(rand.NewPCG(seed, round)), dir: t.TempDir(), outside: t.TempDir(),
		faults: &faults{rng: rand.New(rand.NewPCG(seed, round+1<<32))}, touched: map[string]time.Time{},
	}
	plant(t, filepath.Join(p.dir, "a"), "a", 3, 3)
	outer := p.watch(p.dir, round%4 == 3)
	inner := p.watch(filepath.Join(p.dir, "a"), false)
	for part := range parts {
		failure := failures[p.rng.IntN(len(failures))]
		p.failures = append(p.failures, failure.what)
		p.faults.set(failure)
		p.steps(200)
		p.faults.set(failures[0])
		p.faults.hear(p.notifiers.inUse())
		p.settle(outer, part)
		if info, err := os.Lstat(filepath.Join(p.dir, "a")); err != nil || !info.IsDir() {
			_ = os.RemoveAll(filepath.Join(p.dir, "a"))
			must(t, os.Mkdir(filepath.Join(p.dir, "a"), 0o755))
		}
		p.settle(inner, part)
		if t.Failed() {
			t.Fatalf("after %v", p.failures)
		}
	}
	p.settle(outer, parts)
	outer.adds()
	inner.adds()
}

// watch starts a watcher that somebody starts again whenever it is given up.
func (p *program) watch(dir string, poll bool) *watched {
	var started atomic.Pointer[watched]
	u := watch(p.t, dir, func(c *Config, h *hooks) {
		two := 2
		c.OnState = func(s Status) {
			if u := started.Load(); u != nil && s.State == StateFailed {
				_ = u.Restart()
			}
		}
		c.RetryAttempts, c.RetryInitial = &two, time.Millisecond
		if p.rng.IntN(2) == 0 {
			c.Debounce = 50 * time.Millisecond
		}
		if poll {
			c.Poll = pollEvery
		}
		h.readDir, h.addWatch, h.notifiers = p.faults.scan, p.faults.watch, &p.notifiers
	})
	started.Store(u)
	return u
}

// settle wants the watcher to come back, and its events to add up to the tree.
func (p *program) settle(u *watched, part int) {
	p.t.Helper()
	u.marks(fmt.Sprintf("over-%d", part)) // what failed last has been noticed
	u.waitState(StateWatching)
	u.marks(fmt.Sprintf("settled-%d", part))
	u.agrees()
	if u.dir != p.dir || u.cfg.Poll > 0 {
		return // polling does not see a write of the same length at the same time
	}
	visible := u.visible()
	for rel, at := range p.touched {
		if !slices.Contains(visible, rel) {
			continue
		}
		if told := u.told[strings.ToValidUTF8(rel, "\uFFFD")]; told < at.UTC().Format(timestampLayout) {
			p.t.Errorf("%q was written at %s and told of at %q", rel, at.UTC().Format(timestampLayout), told)
		}
	}
}

func (p *program) steps(n int) {
	paused := p.rng.IntN(2) == 0
	for range n {
		p.step()
		p.faults.channel(p.notifiers.inUse())
		if paused && p.rng.IntN(10) == 0 {
			time.Sleep(time.Duration(p.rng.IntN(60)) * time.Millisecond)
		}
	}
}

var longName = strings.Repeat("n", 255)

// names are those that a program uses; some are ignored.
var names = []string{"a", "b", "c", "d", "dist", "[*]", longName, "x\xff\xfe"}

func (p *program) path() string {
	levels := 1 + p.rng.IntN(4)
	if p.rng.IntN(30) == 0 {
		levels = 14 // deeper than is looked at
	}
	rel := ""
	for range levels {
		rel = filepath.Join(rel, names[p.rng.IntN(len(names))])
	}
	return rel
}

// step does one thing; it may fail, as in life.
func (p *program) step() {
	rel := p.path()
	at := filepath.Join(p.dir, rel)
	switch p.rng.IntN(10) {
	case 0, 1:
		_ = os.MkdirAll(at, 0o755)
	case 2, 3:
		if os.WriteFile(at, []byte(strings.Repeat("x", p.rng.IntN(50))), 0o644) == nil {
			p.touch(rel)
		}
	case 4:
		_ = os.RemoveAll(at)
	case 5, 6:
		p.move(filepath.Join(p.dir, p.path()), rel)
	case 7:
		_ = os.Symlink("target", at)
	case 8: // in from outside, or out
		there := filepath.Join(p.outside, filepath.Base(rel))
		if !p.move(there, rel) {
			_ = os.Rename(at, there)
		}
	case 9: // as editors save
		tmp := filepath.Join(p.outside, "tmp")
		if os.WriteFile(tmp, []byte(strings.Repeat("y", p.rng.IntN(50))), 0o644) == nil && os.Rename(tmp, at) == nil {
			p.touch(rel)
		}
	}
}

// move renames something to rel. It may be what was there before, so that what
// was written there meanwhile need not be told of.
func (p *program) move(from, rel string) bool {
	if os.Rename(from, filepath.Join(p.dir, rel)) != nil {
		return false
	}
	maps.DeleteFunc(p.touched, func(touched string, _ time.Time) bool {
		return touched == rel || strings.HasPrefix(touched, rel+"/")
	})
	return true
}

// touch notes a write, if it was not through a link.
func (p *program) touch(rel string) {
	if real, err := filepath.EvalSymlinks(filepath.Join(p.dir, rel)); err == nil && real == filepath.Join(p.dir, rel) {
		p.touched[rel] = time.Now().Add(-time.Second / 10) // the event may have left before we are here
	}
}

// failure is something that fails again and again while it is set.
type failure struct {
	what               string
	scan, watch, queue error
	deaf               bool // hints are lost first
	closed             bool // the queue ends
}

var failures = []failure{
	{what: "nothing"},
	{what: "scan fails", scan: errInjected},
	{what: "scan is refused", scan: fs.ErrPermission},
	{what: "watch fails", watch: errInjected},
	{what: "no watches left", watch: syscall.ENOSPC},
	{what: "overflow", queue: fsnotify.ErrEventOverflow, deaf: true},
	{what: "watches vanish", deaf: true},
	{what: "notifications fail", queue: errInjected},
	{what: "notifications end", closed: true},
}

// faults makes a failure happen in one of some calls.
type faults struct {
	mu   sync.Mutex
	rng  *rand.Rand
	now  failure
	owed error // what the queue will say of hints that are lost
}

func (f *faults) set(next failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = next
}

// sometimes returns what is set, once in n times.
func (f *faults) sometimes(n int) failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rng.IntN(n) > 0 {
		return failure{}
	}
	return f.now
}

func (f *faults) scan(string) error  { return f.sometimes(8).scan }
func (f *faults) watch(string) error { return f.sometimes(8).watch }

func (f *faults) channel(n *notifier) {
	now := f.sometimes(40)
	switch {
	case n == nil:
	case now.closed:
		_ = n.fs.Close()
	case now.deaf:
		n.ops.Lock()
		for _, dir := range n.fs.WatchList() {
			_ = n.fs.Remove(dir)
		}
		n.ops.Unlock()
		f.owed = now.queue
	case now.queue != nil:
		n.handleError(now.queue)
	}
}

// hear lets the queue say what it owes.
func (f *faults) hear(n *notifier) {
	if n != nil && f.owed != nil {
		n.handleError(f.owed)
	}
	f.owed = nil
}
