package watcher

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRandomProgram does random things to a tree and then compares what the
// watcher knows, and what its events add up to, with a fresh walk.
func TestRandomProgram(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range uint64(6) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			randomProgram(t, rand.New(rand.NewPCG(seed, round)), round%2 == 1)
		})
	}
}

func randomProgram(t *testing.T, rng *rand.Rand, pauses bool) {
	t.Helper()
	dir := t.TempDir()
	tree(t, filepath.Join(dir, "a"), "a", 3, 3)
	model := map[string]bool{}
	for _, p := range walk(t, dir) {
		model[p] = true
	}
	u := watch(t, dir)
	for range 400 {
		randomStep(rng, dir)
		if pauses && rng.IntN(10) == 0 {
			time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
		}
	}
	write(t, filepath.Join(dir, "end"), "1")
	for line := ""; line != "modified end"; {
		ev := u.next()
		line = u.line(ev)
		if line == "created end" {
			write(t, filepath.Join(dir, "end"), "22")
		}
		apply(t, model, ev)
	}
	u.Stop()

	want := walk(t, dir)
	if got := u.known(); !slices.Equal(got, want) {
		t.Errorf("snapshot differs from the tree: %s", difference(got, want))
	}
	var got []string
	for p := range model {
		got = append(got, p)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("events do not add up to the tree: %s", difference(got, want))
	}
}

// apply holds every event to what the events before it have said.
func apply(t *testing.T, model map[string]bool, ev Event) {
	t.Helper()
	key := ev.RelativePath
	if ev.IsDirectory {
		key += "/"
	}
	above := filepath.Dir(ev.RelativePath)
	switch ev.ChangeType {
	case Created:
		if model[key] || above != "." && !model[above+"/"] {
			t.Errorf("created %s: there already, or without its directory", key)
		}
		model[key] = true
	case Modified:
		if !model[key] {
			t.Errorf("modified %s, which nobody created", key)
		}
	case Deleted:
		for p := range model {
			if ev.IsDirectory && p != key && strings.HasPrefix(p, key) {
				t.Errorf("deleted %s before %s", key, p)
			}
		}
		if !model[key] {
			t.Errorf("deleted %s, which nobody created", key)
		}
		delete(model, key)
	}
}

func difference(got, want []string) string {
	var b strings.Builder
	for _, p := range got {
		if !slices.Contains(want, p) {
			fmt.Fprintf(&b, " +%s", p)
		}
	}
	for _, p := range want {
		if !slices.Contains(got, p) {
			fmt.Fprintf(&b, " -%s", p)
		}
	}
	return b.String()
}

// randomStep does one thing; it may fail, as in life.
func randomStep(rng *rand.Rand, dir string) {
	names := []string{"a", "b", "c", "d"}
	path := func() string {
		p := dir
		for range 1 + rng.IntN(4) {
			p = filepath.Join(p, names[rng.IntN(len(names))])
		}
		return p
	}
	switch rng.IntN(8) {
	case 0, 1:
		_ = os.MkdirAll(path(), 0o755)
	case 2, 3:
		_ = os.WriteFile(path(), []byte(strings.Repeat("x", rng.IntN(50))), 0o644)
	case 4:
		_ = os.RemoveAll(path())
	case 5, 6:
		_ = os.Rename(path(), path())
	case 7:
		_ = os.Symlink("target", path())
	}
}
