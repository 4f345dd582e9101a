package watcher

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func subscribe(t *testing.T, in *notifiers) *subscriber {
	t.Helper()
	sub, err := in.acquire()
	must(t, err)
	t.Cleanup(sub.release)
	return sub
}

// hinted waits for a hint of path.
func hinted(t *testing.T, sub *subscriber, path string, want op) {
	t.Helper()
	var got op
	eventually(t, func() bool {
		got |= sub.take().dirty[path].ops
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
	sub := subscribe(t, new(notifiers))
	must(t, sub.watch(from, fileID{}, 0))
	must(t, os.Rename(from, to))
	must(t, sub.watch(to, fileID{}, 0))
	hinted(t, sub, from, opCreate) // its user is to look again
	sub.unwatch(from)
	write(t, filepath.Join(to, "f"), "x")
	hinted(t, sub, filepath.Join(to, "f"), opCreate|opWrite)
	write(t, filepath.Join(to, "g"), "x")
	hinted(t, sub, filepath.Join(to, "g"), opCreate|opWrite)
}

func TestRenewedWatchMakesOthersReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := new(notifiers)
	one, two := subscribe(t, in), subscribe(t, in)
	must(t, one.watch(dir, fileID{}, 0))
	must(t, two.watch(dir, fileID{}, 0))
	if dirty := one.take().dirty; len(dirty) > 0 {
		t.Errorf("a second user gave hints: %v", dirty)
	}
	must(t, two.watch(dir, fileID{}, two.position()))
	hinted(t, one, dir, opReread)
	one.unwatch(dir)
	write(t, filepath.Join(dir, "f"), "x")
	hinted(t, two, filepath.Join(dir, "f"), opCreate)
	if dirty := one.take().dirty; len(dirty) > 0 {
		t.Errorf("hints after the end: %v", dirty)
	}
}

func TestWatchOfWhatIsNoDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sub := subscribe(t, new(notifiers))
	must(t, os.Symlink(dir, filepath.Join(dir, "link")))
	if err := sub.watch(filepath.Join(dir, "link"), fileID{}, 0); !isVanished(err) {
		t.Errorf("watched a link: %v", err)
	}
	if err := sub.watch(filepath.Join(dir, "none"), fileID{}, 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("watched nothing: %v", err)
	}
	if sub.watches("") != 0 {
		t.Error("something is watched")
	}
}
