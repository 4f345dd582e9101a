package watcher

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// beneath makes a directory that roots must be beneath, one outside of it, and
// a watcher of a root in the first.
func beneath(t *testing.T) (u *watched, allowed, outside string) {
	t.Helper()
	allowed, outside = t.TempDir(), t.TempDir()
	write(t, filepath.Join(outside, "secret"), "x")
	root := filepath.Join(allowed, "team", "project")
	must(t, os.MkdirAll(root, 0o755))
	write(t, filepath.Join(root, "known"), "x")
	u = watch(t, root, func(c *Config, _ *hooks) {
		c.Beneath = allowed
		c.RetryInitial = time.Millisecond
	})
	write(t, filepath.Join(root, "f"), "x")
	u.expect("created f")
	return u, allowed, outside
}

func TestRootReplacedByALinkIsNotFollowed(t *testing.T) {
	t.Parallel()
	for name, swap := range map[string]func(t *testing.T, root, outside string){
		"root to outside": func(t *testing.T, root, outside string) {
			must(t, os.RemoveAll(root))
			must(t, os.Symlink(outside, root))
		},
		"root to a place beneath": func(t *testing.T, root, _ string) {
			other := filepath.Join(filepath.Dir(root), "other")
			must(t, os.Mkdir(other, 0o755))
			write(t, filepath.Join(other, "secret"), "x")
			must(t, os.RemoveAll(root))
			must(t, os.Symlink(other, root))
		},
		"directory above": func(t *testing.T, root, outside string) {
			must(t, os.Mkdir(filepath.Join(outside, "project"), 0o755))
			write(t, filepath.Join(outside, "project", "secret"), "x")
			must(t, os.RemoveAll(filepath.Dir(root)))
			must(t, os.Symlink(outside, filepath.Dir(root)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, _, outside := beneath(t)
			swap(t, u.dir, outside)
			u.expectInAnyOrder("deleted f", "deleted known")
			u.waitState(StateFailed)
			if err := u.Status().LastError; !strings.Contains(err, errRootGone.Error()) {
				t.Errorf("last error %q", err)
			}
			u.Stop()
			if known := u.known(); len(known) > 0 || len(u.events) > 0 {
				t.Errorf("known %v, %d events", known, len(u.events))
			}
		})
	}
}

func TestRootThatIsNotBeneathIsRefused(t *testing.T) {
	t.Parallel()
	allowed, outside := t.TempDir(), t.TempDir()
	link := filepath.Join(allowed, "link")
	must(t, os.Symlink(outside, link))
	for _, dir := range []string{outside, link, filepath.Dir(allowed)} {
		u := watch(t, dir, quick, func(c *Config, _ *hooks) { c.Beneath = allowed })
		u.waitState(StateFailed)
		if err := u.Status().LastError; !strings.Contains(err, ErrNotBeneath.Error()) || strings.Contains(err, outside) && dir != outside {
			t.Errorf("%s: last error %q", dir, err)
		}
	}
	// The same through a link of the one who configures it, and without links.
	alias := filepath.Join(outside, "alias")
	must(t, os.Symlink(allowed, alias))
	for _, dir := range []string{allowed, alias} {
		u := watch(t, dir, func(c *Config, _ *hooks) { c.Beneath = alias })
		u.waitState(StateWatching)
	}
}

// A link may take the place of a directory between any two system calls: what
// is then opened must be what was looked at.
func TestTreeIsReachedThroughDirectoriesOnly(t *testing.T) {
	t.Parallel()
	allowed := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(allowed, "a", "b"), 0o755))
	must(t, os.Symlink("a", filepath.Join(allowed, "link")))
	for rel, there := range map[string]bool{"a/b": true, "link/b": false, "link": false, "a/none": false} {
		r, err := openRoot(filepath.Join(allowed, rel), allowed)
		if there != (err == nil) || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", rel, err)
		}
		if r != nil {
			must(t, r.Close())
		}
	}

	opened, err := openTree(allowed, "")
	must(t, err)
	defer opened.close()
	outside := t.TempDir()
	must(t, os.Mkdir(filepath.Join(outside, "b"), 0o755))
	must(t, os.Remove(filepath.Join(allowed, "link")))
	must(t, os.Symlink(outside, filepath.Join(allowed, "link")))
	if _, err := opened.stat("link/b"); !isVanished(err) {
		t.Errorf("saw an entry behind a link: %v", err)
	}
	for _, rel := range []string{"link", "link/b"} {
		if _, _, err := opened.read(rel); !isVanished(err) {
			t.Errorf("read %s: %v", rel, err)
		}
	}
}

// What is read must be the directory that was looked at, not one that a link has
// put in its place since.
func TestAnotherDirectoryIsNotRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "a"), 0o755))
	must(t, os.MkdirAll(filepath.Join(dir, "other", "secret"), 0o755))
	opened, err := openTree(dir, "")
	must(t, err)
	defer opened.close()
	looked, err := opened.stat("a")
	must(t, err)
	must(t, os.Remove(filepath.Join(dir, "a")))
	must(t, os.Symlink("other", filepath.Join(dir, "a")))
	s := &scanner{
		root: dir, tree: opened, depth: DefaultDepth, ignore: newIgnorer(nil, true), snap: newSnapshot(),
		watch:   func(string, fileID, uint64) error { return nil },
		readDir: opened.read,
		report:  func(c change) { t.Errorf("reported %+v", c) },
		blind:   map[string]error{},
	}
	if err := s.scan(t.Context(), "a", &node{meta: looked}, pass{}); !errors.Is(err, errVanished) {
		t.Errorf("scanned: %v", err)
	}
}
