package watch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// entry is what counts of a file or directory.
type entry struct {
	dir   bool
	size  int64
	mtime time.Time
}

// snapshot is what is in a directory, by relative path; none where it is not there.
func snapshot(tb testing.TB, dir string) map[string]entry {
	tb.Helper()
	entries := make(map[string]entry)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		entries[rel] = entry{info.IsDir(), info.Size(), info.ModTime()}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		tb.Fatal(err)
	}
	return entries
}

// happening is one event, by what it says.
type happening struct{ kind, path string }

// between are the events that lead from one snapshot to the other: each once.
func between(before, after map[string]entry) map[happening]bool {
	events := make(map[happening]bool)
	for path, was := range before {
		is, ok := after[path]
		switch {
		case !ok:
			events[happening{"deleted", path}] = true
		case was.dir != is.dir:
			events[happening{"deleted", path}] = true
			events[happening{"created", path}] = true
		case !is.dir && was != is:
			events[happening{"modified", path}] = true
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			events[happening{"created", path}] = true
		}
	}
	return events
}

// compare counts the events that should have come and did not, and those that came
// and should not, one that came twice among them.
func compare(want map[happening]bool, got []line) (missing, invented int) {
	came := make(map[happening]bool)
	for _, l := range got {
		h := happening{l.Kind, l.Path}
		if !want[h] || came[h] {
			invented++
		}
		came[h] = true
	}
	for h := range want {
		if !came[h] {
			missing++
		}
	}
	return missing, invented
}

// withoutReplaced leaves out events about directories that were there and are not to be
// told of.
func withoutReplaced(before map[string]entry, want map[happening]bool, got []line) (rest []line) {
	for _, l := range got {
		if !before[l.Path].dir || l.Kind == "modified" || want[happening{l.Kind, l.Path}] {
			rest = append(rest, l)
		}
	}
	return rest
}

// fill makes files beneath dir, in directories of perDir each.
func fill(tb testing.TB, dir string, files, perDir int) {
	tb.Helper()
	for i := range files {
		in := filepath.Join(dir, "d"+number(i/perDir/10), "e"+number(i/perDir%10))
		if i%perDir == 0 {
			mkdir(tb, in)
		}
		write(tb, filepath.Join(in, "f"+number(i%perDir)), "content")
	}
}

func mkdir(tb testing.TB, path string) {
	tb.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		tb.Fatal(err)
	}
}

func write(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func rename(tb testing.TB, from, to string) {
	tb.Helper()
	if err := os.Rename(from, to); err != nil {
		tb.Fatal(err)
	}
}

func remove(tb testing.TB, path string) {
	tb.Helper()
	if err := os.RemoveAll(path); err != nil {
		tb.Fatal(err)
	}
}

func TestCompare(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 6, 3)
	before := snapshot(t, dir)
	if len(before) != 6+3 { // and d0000, with e0000 and e0001
		t.Errorf("%d entries: %v", len(before), before)
	}
	write(t, filepath.Join(dir, "new"), "x")
	write(t, filepath.Join(dir, "d0000/e0000/f0000"), "longer than it was")
	remove(t, filepath.Join(dir, "d0000/e0001"))
	write(t, filepath.Join(dir, "d0000/e0001"), "a file now")
	want := between(before, snapshot(t, dir))
	if len(want) != 1+1+3+2 {
		t.Errorf("%d events: %v", len(want), want)
	}
	got := []line{
		{Kind: "created", Path: "new"},
		{Kind: "created", Path: "new"},
		{Kind: "modified", Path: "new"},
		{Kind: "modified", Path: "d0000/e0000/f0000"},
		{Kind: "deleted", Path: "d0000"},
	}
	if missing, invented := compare(want, got); missing != 5 || invented != 3 {
		t.Errorf("%d missing, %d invented", missing, invented)
	}
}
