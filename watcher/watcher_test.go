package watcher

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFileEvents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "old.txt"), "old")
	must(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	u := watch(t, dir)

	write(t, filepath.Join(dir, "a.txt"), "1")
	u.expect("created a.txt")
	write(t, filepath.Join(dir, "a.txt"), "22")
	u.expect("modified a.txt")
	write(t, filepath.Join(dir, "old.txt"), "new")
	u.expect("modified old.txt")
	must(t, os.Remove(filepath.Join(dir, "a.txt")))
	u.expect("deleted a.txt")
	write(t, filepath.Join(dir, "empty", "b.txt"), "1")
	u.expect("created empty/b.txt")
	must(t, os.RemoveAll(filepath.Join(dir, "empty")))
	u.expect("deleted empty/b.txt", "deleted empty/")
	u.nothing()
	if s := u.Status(); s.State != StateWatching || s.Entries != 2 || s.Watches != 1 || s.LastEvent == nil {
		t.Errorf("status %+v", s)
	}
}

func TestNewDirectoriesLoseNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	u := watch(t, dir)
	var want []string
	for i := range 50 {
		rel := fmt.Sprintf("m%d", i)
		want = append(want, "created "+rel+"/")
		for l := range 8 {
			rel += fmt.Sprintf("/l%d", l)
			want = append(want, "created "+rel+"/")
		}
		must(t, os.MkdirAll(filepath.Join(dir, rel), 0o755))
		write(t, filepath.Join(dir, rel, "f"), "x")
		want = append(want, "created "+rel+"/f")
	}
	seen := map[string]bool{}
	for range want {
		ev := u.next()
		if above := filepath.Dir(ev.RelativePath); above != "." && !seen[above] {
			t.Fatalf("%s came before its directory", ev.RelativePath)
		}
		seen[ev.RelativePath] = true
	}
	for _, line := range want {
		if !seen[strings.Trim(strings.TrimPrefix(line, "created "), "/")] {
			t.Errorf("missing: %s", line)
		}
	}
	u.nothing()
}

func TestTreeCopiedAndMoved(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	u := watch(t, dir)

	u.expectSet(tree(t, filepath.Join(dir, "copied"), "copied", 10, 30)...)

	lines := tree(t, filepath.Join(outside, "moved"), "moved", 10, 30)
	must(t, os.Rename(filepath.Join(outside, "moved"), filepath.Join(dir, "moved")))
	u.expectSet(lines...)
	write(t, filepath.Join(dir, "moved", "d3", "late"), "x")
	u.expect("created moved/d3/late")

	watches := u.Status().Watches
	must(t, os.Rename(filepath.Join(dir, "moved"), filepath.Join(outside, "gone")))
	gone := []string{"deleted moved/d3/late"}
	for _, l := range lines {
		gone = append(gone, "deleted"+strings.TrimPrefix(l, "created"))
	}
	u.expectSet(gone...)
	write(t, filepath.Join(outside, "gone", "d3", "later"), "x")
	write(t, filepath.Join(outside, "gone", "d4", "f0.txt"), "x")
	u.nothing()
	if now := u.Status().Watches; now != watches-11 {
		t.Errorf("%d watches, want %d", now, watches-11)
	}
	must(t, os.RemoveAll(filepath.Join(outside, "gone")))
	u.nothing()
}

func TestRenamedDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tree(t, filepath.Join(dir, "one"), "one", 2, 1)
	u := watch(t, dir)
	at := func(rel string) string { return filepath.Join(dir, filepath.FromSlash(rel)) }

	must(t, os.Rename(at("one"), at("two")))
	must(t, os.Rename(at("two"), at("three")))
	u.expectSet("deleted one/", "deleted one/d0/", "deleted one/d0/f0.txt", "deleted one/d1/", "deleted one/d1/f0.txt",
		"created three/", "created three/d0/", "created three/d0/f0.txt", "created three/d1/", "created three/d1/f0.txt")
	write(t, at("three/d1/f0.txt"), "new")
	u.expect("modified three/d1/f0.txt")
	write(t, at("three/d0/g"), "new")
	u.expect("created three/d0/g")
	u.nothing()

	// Two directories that change places keep nothing of each other.
	must(t, os.Mkdir(at("four"), 0o755))
	write(t, at("four/own"), "x")
	u.expect("created four/", "created four/own")
	must(t, os.Rename(at("four"), at("tmp")))
	must(t, os.Rename(at("three"), at("four")))
	must(t, os.Rename(at("tmp"), at("three")))
	u.marks("swapped")
	write(t, at("three/own"), "y")
	u.expect("modified three/own")
	write(t, at("four/d0/g"), "yy")
	u.expect("modified four/d0/g")
	u.nothing()
}

func TestDirectoryRemovedAndMadeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	u := watch(t, dir)
	sub := filepath.Join(dir, "d")
	for i := range 5 {
		must(t, os.MkdirAll(filepath.Join(sub, "e"), 0o755))
		name := fmt.Sprintf("f%d", i)
		write(t, filepath.Join(sub, "e", name), "x")
		must(t, os.RemoveAll(sub))
		must(t, os.MkdirAll(filepath.Join(sub, "e"), 0o755))
		write(t, filepath.Join(sub, "e", name), "y")
		u.expect("created d/", "created d/e/", "created d/e/"+name)
		write(t, filepath.Join(sub, "e", name), "later")
		u.expect("modified d/e/" + name)
		must(t, os.RemoveAll(sub))
		u.expect("deleted d/e/"+name, "deleted d/e/", "deleted d/")
	}
	u.nothing()

	must(t, os.Mkdir(sub, 0o755))
	write(t, filepath.Join(sub, "f"), "x")
	u.expect("created d/", "created d/f")
	must(t, os.RemoveAll(sub))
	write(t, sub, "a file now")
	u.expect("deleted d/f", "deleted d/", "created d")
}

func TestCoalescedChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "f.go")
	write(t, file, "1")
	write(t, filepath.Join(dir, "gone"), "1")
	u := watch(t, dir)

	for range 3 { // an editor's atomic save
		write(t, file+".tmp", "22")
		must(t, os.Rename(file+".tmp", file))
	}
	u.expect("modified f.go")
	must(t, os.Rename(file, file+"~")) // vim's
	write(t, file, "333")
	must(t, os.Remove(file+"~"))
	u.expect("modified f.go")
	write(t, filepath.Join(dir, "short"), "x")
	must(t, os.Remove(filepath.Join(dir, "short")))
	u.nothing()
	write(t, filepath.Join(dir, "gone"), "2")
	must(t, os.Remove(filepath.Join(dir, "gone")))
	u.expect("deleted gone")
	must(t, os.Rename(file, filepath.Join(dir, "g.go")))
	u.expect("deleted f.go", "created g.go")
	write(t, filepath.Join(dir, "h.go"), "x")
	u.expect("created h.go")
	must(t, os.Rename(filepath.Join(dir, "h.go"), filepath.Join(dir, "g.go")))
	u.expect("deleted h.go", "modified g.go")
	must(t, os.Chmod(filepath.Join(dir, "g.go"), 0o600))
	must(t, os.Chtimes(filepath.Join(dir, "g.go"), time.Now(), time.Now().Add(-time.Hour)))
	u.nothing()
}

func TestIgnoredEntries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "node_modules", "x", "y"), 0o755))
	u := watch(t, dir, func(c *Config, _ *hooks) { c.Ignore = []string{"*.tmp", "logs/**/old", "out/"} })
	if got := u.Status(); got.Watches != 1 || got.Entries != 0 {
		t.Errorf("status %+v", got)
	}
	for _, ignored := range []string{"a/dist/b", "a/.git", "out/x", "logs/p/q/old"} {
		must(t, os.MkdirAll(filepath.Join(dir, ignored), 0o755))
		write(t, filepath.Join(dir, ignored, "f"), "x")
	}
	for _, name := range []string{"a/x.tmp", "a/b.pyc", ".env", "a/.env.local"} {
		write(t, filepath.Join(dir, name), "x")
	}
	for _, name := range []string{"a/dist2", "a/xdist", "a/out", "a/x.env", "old"} {
		write(t, filepath.Join(dir, name), "x")
	}
	u.expectSet("created a/", "created logs/", "created logs/p/", "created logs/p/q/",
		"created a/dist2", "created a/xdist", "created a/out", "created a/x.env", "created old")
	if got := u.Status().Watches; got != 5 {
		t.Errorf("%d watches, want the root, a, logs, p and q", got)
	}

	plain := watch(t, dir, func(c *Config, _ *hooks) { c.NoDefaultIgnore = true })
	write(t, filepath.Join(dir, "node_modules", "x", "f"), "x")
	plain.expect("created node_modules/x/f")
}

func TestDepth(t *testing.T) {
	t.Parallel()
	for _, depth := range []int{0, 1, 10} {
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			u := watch(t, dir, func(c *Config, _ *hooks) {
				if depth != DefaultDepth {
					c.Depth = &depth
				}
			})
			rel, want := "", []string(nil)
			for l := range 13 {
				rel = filepath.Join(rel, fmt.Sprintf("l%d", l))
				if l <= depth {
					want = append(want, "created "+rel+"/")
				}
			}
			must(t, os.MkdirAll(filepath.Join(dir, rel), 0o755))
			u.expect(want...)
			write(t, filepath.Join(dir, rel, "f"), "x")
			u.nothing()
			if got := u.Status().Watches; got != depth+1 {
				t.Errorf("%d watches, want %d", got, depth+1)
			}
		})
	}
}

func TestSymlinks(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	u := watch(t, dir)
	at := func(rel string) string { return filepath.Join(dir, rel) }
	must(t, os.Mkdir(at("d"), 0o755))
	must(t, os.Symlink(outside, at("out")))
	must(t, os.Symlink(dir, at("d/loop")))
	must(t, os.Symlink("nowhere", at("dangling")))
	u.expectSet("created d/", "created out", "created d/loop", "created dangling")
	write(t, filepath.Join(outside, "f"), "x")
	u.nothing()
	must(t, os.Symlink("elsewhere", at("new")))
	must(t, os.Rename(at("new"), at("dangling")))
	u.expect("modified dangling")
	must(t, os.Remove(at("out")))
	must(t, os.Mkdir(at("out"), 0o755))
	u.expect("deleted out", "created out/")

	// The root itself may be given through a link.
	link := filepath.Join(outside, "link")
	must(t, os.Symlink(dir, link))
	linked := watch(t, link)
	write(t, at("g"), "x")
	if ev := linked.next(); ev.Path != filepath.Join(link, "g") {
		t.Errorf("path %s", ev.Path)
	}
}

func TestOddNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	u := watch(t, dir)
	for _, name := range []string{"[a]", "{x}", "*", "...", "a b\n"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		u.expect("created " + name + "/")
		write(t, filepath.Join(dir, name, "f"), "x")
		u.expect("created " + name + "/f")
	}
	write(t, filepath.Join(dir, "bad\xff"), "x")
	u.expect("created bad\uFFFD")
}

func TestContinuousWriting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	u := watch(t, dir)
	file, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		defer file.Close()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				_, _ = file.WriteString("line\n")
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	began := time.Now()
	u.expect("created log")
	if after := time.Since(began); after < time.Second || after > 4*time.Second {
		t.Errorf("created after %s", after)
	}
	began = time.Now()
	u.expect("modified log")
	if after := time.Since(began); after < time.Second || after > 4*time.Second {
		t.Errorf("modified after %s", after)
	}
}
