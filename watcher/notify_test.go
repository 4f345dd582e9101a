package watcher

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func subscribe(t *testing.T) (*notifier, *subscriber) {
	t.Helper()
	sub := newSubscriber()
	n, err := acquireNotifier(sub)
	must(t, err)
	t.Cleanup(func() { n.release(sub) })
	return n, sub
}

// hinted waits for a hint of path.
func hinted(t *testing.T, sub *subscriber, path string, want op) {
	t.Helper()
	var got op
	eventually(t, func() bool {
		dirty, _, _ := sub.take()
		got |= dirty[path].ops
		return got&want == want
	}, func() string { return "no hint for " + path })
}

// A directory is moved and watched under its new path before the hints of the
// move are read: those must not end the new watch.
func TestMovedDirectoryIsWatchedUnderItsNewPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	must(t, os.Mkdir(from, 0o755))
	n, sub := subscribe(t)
	must(t, n.add(sub, from, 0))
	must(t, os.Rename(from, to))
	must(t, n.add(sub, to, 0))
	hinted(t, sub, from, opCreate) // its user is to look again
	n.remove(sub, from)
	write(t, filepath.Join(to, "f"), "x")
	hinted(t, sub, filepath.Join(to, "f"), opCreate|opWrite)
	write(t, filepath.Join(to, "g"), "x")
	hinted(t, sub, filepath.Join(to, "g"), opCreate|opWrite)
}

func TestRenewedWatchMakesOthersReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n, one := subscribe(t)
	_, two := subscribe(t)
	must(t, n.add(one, dir, 0))
	must(t, n.add(two, dir, 0))
	if dirty, _, _ := one.take(); len(dirty) > 0 {
		t.Errorf("a second user gave hints: %v", dirty)
	}
	must(t, n.add(two, dir, n.position()))
	hinted(t, one, dir, opReread)
	n.remove(one, dir)
	write(t, filepath.Join(dir, "f"), "x")
	hinted(t, two, filepath.Join(dir, "f"), opCreate)
	if dirty, _, _ := one.take(); len(dirty) > 0 {
		t.Errorf("hints after the end: %v", dirty)
	}
}

func TestWatchOfWhatIsNoDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n, sub := subscribe(t)
	must(t, os.Symlink(dir, filepath.Join(dir, "link")))
	if err := n.add(sub, filepath.Join(dir, "link"), 0); !isVanished(err) {
		t.Errorf("watched a link: %v", err)
	}
	if err := n.add(sub, filepath.Join(dir, "none"), 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("watched nothing: %v", err)
	}
	if n.count(sub, "") != 0 {
		t.Error("something is watched")
	}
}
