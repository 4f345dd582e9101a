package watcher

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// behaviour is one thing that a watcher must get right. The numbers are those of
// the specification, and of `go test -run TestBehaviour/07`.
type behaviour struct {
	number int
	what   string
	play   func(*stage)

	place    place  // where it runs
	unpolled string // why it says nothing about polling; empty: it must hold there too
}

// place is what a behaviour needs around it.
type place int

const (
	anywhere     place = iota
	inNamespaces       // a user and mount namespace, to mount and to set limits
	asOthers           // a user whom permissions stop
	byItself           // a process in which nothing else runs
)

// TestBehaviour plays every behaviour on a disk, on a tmpfs and by polling. Of each one events are checked one by one as they come: their form,
// their order, and that they follow from those before. In the end they must add
// up to what is there.
func TestBehaviour(t *testing.T) {
	t.Parallel()
	for i, b := range behaviours {
		if b.number != i+1 {
			t.Fatalf("behaviour %d stands at %d", b.number, i+1)
		}
		t.Run(fmt.Sprintf("%02d", b.number), func(t *testing.T) {
			t.Parallel()
			for _, on := range []string{"disk", "tmpfs", "polled"} {
				if on == "polled" && b.unpolled != "" {
					continue
				}
				t.Run(on, func(t *testing.T) {
					t.Parallel()
					perform(t, b, on)
				})
			}
		})
	}
}

// reached reports whether the test runs there; otherwise it has run itself there
// again.
func (p place) reached(t *testing.T) bool {
	t.Helper()
	switch p {
	case inNamespaces:
		return inNamespace(t)
	case asOthers:
		return asNobody(t)
	case byItself:
		return alone(t)
	default:
		return true
	}
}

func perform(t *testing.T, b behaviour, on string) {
	t.Helper()
	if !b.place.reached(t) {
		return
	}
	base := directoryOn(t, on)
	if base == "" {
		return
	}
	s := newStage(t, base)
	if on == "polled" {
		s.options = append(s.options, polled)
	}
	b.play(s)
}

func polled(c *Config, _ *hooks) { c.Poll = pollEvery }

// unhurried makes the window long enough for a busy machine to do within it what
// belongs together, such as making a file and writing into it.
func unhurried(c *Config, _ *hooks) { c.Debounce, c.MaxWait = 1500*time.Millisecond, time.Minute }

// hurried is the window that people get.
func hurried(c *Config, _ *hooks) { c.Debounce, c.MaxWait = 0, 0 }

// stage is where a behaviour is played: a directory that is watched, and one
// beside it that is not.
type stage struct {
	testing.TB
	dir, outside string
	options      []option
	notifiers    *notifiers  // of the watchers on this stage alone
	stalled      sync.Locker // held, it keeps hints from being read
	launch       func(t testing.TB, dir string, options ...option) *watched
}

func newStage(t testing.TB, base string) *stage {
	t.Helper()
	s := &stage{
		TB: t, dir: filepath.Join(base, "root"), outside: filepath.Join(base, "outside"),
		options: []option{unhurried}, notifiers: new(notifiers), launch: watch,
	}
	must(t, os.Mkdir(s.dir, 0o755))
	must(t, os.Mkdir(s.outside, 0o755))
	return s
}

// watch starts a watcher of the stage's directory, watchAt of another one.
func (s *stage) watch(options ...option) *watched { return s.watchAt(s.dir, options...) }

func (s *stage) watchAt(dir string, options ...option) *watched {
	s.Helper()
	all := append(slices.Clone(s.options), func(_ *Config, h *hooks) { h.notifiers = s.notifiers })
	return s.launch(s.TB, dir, append(all, options...)...)
}

func (s *stage) at(rel string) string  { return filepath.Join(s.dir, rel) }
func (s *stage) out(rel string) string { return filepath.Join(s.outside, rel) }

func (s *stage) write(rel, content string) { s.Helper(); write(s, s.at(rel), content) }
func (s *stage) mkdir(rel string)          { s.Helper(); must(s, os.MkdirAll(s.at(rel), 0o755)) }
func (s *stage) remove(rel string)         { s.Helper(); must(s, os.RemoveAll(s.at(rel))) }
func (s *stage) rename(from, to string)    { s.Helper(); must(s, os.Rename(s.at(from), s.at(to))) }

func (s *stage) grow(rel, content string) {
	s.Helper()
	f, err := os.OpenFile(s.at(rel), os.O_APPEND|os.O_WRONLY, 0)
	must(s, err)
	_, err = f.WriteString(content)
	must(s, err)
	must(s, f.Close())
}

// plant makes a tree in the stage's directory and returns the events of its
// creation.
func (s *stage) plant(rel string, dirs, files int) []string {
	s.Helper()
	return plant(s, s.at(rel), rel, dirs, files)
}

// gone makes events of deletion of those of creation.
func gone(created []string) []string {
	var lines []string
	for _, l := range created {
		lines = append(lines, "deleted"+strings.TrimPrefix(l, "created"))
	}
	return lines
}

// watches wants a number of directories to be watched for u, and by the kernel.
func (s *stage) watches(u *watched, want int) {
	s.Helper()
	if u.Watcher == nil || u.cfg.Poll > 0 {
		return
	}
	eventually(s, func() bool { return u.Status().Watches == want },
		func() string { return fmt.Sprintf("%d watches, want %d", u.Status().Watches, want) })
	if n := s.notifiers.inUse(); len(n.fs.WatchList()) != want+1 { // and the parent of the root
		s.Errorf("the kernel watches %v, want %d and the parent of the root", n.fs.WatchList(), want)
	}
}

// inode is the number of the directory at rel, as long as it exists.
func (s *stage) inode(rel string) uint64 {
	s.Helper()
	info, err := os.Lstat(s.at(rel))
	must(s, err)
	return metaOf(info).id.ino
}

// behaviours are all of them, in the order of their numbers.
var behaviours = inOrder(ofFiles, ofDirectories, ofNames, ofTime, ofTrouble)

func inOrder(groups ...[]behaviour) []behaviour {
	all := slices.Concat(groups...)
	slices.SortFunc(all, func(a, b behaviour) int { return a.number - b.number })
	return all
}
