package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func number(i int) string { return fmt.Sprintf("%04d", i) }

// scenario is something that is done in a directory while it is watched. Each step is
// done at once, and the next when its events have come.
type scenario struct {
	name  string
	setup func(tb testing.TB, root, beside string)
	steps []func(tb testing.TB, root, beside string)
	// replaces: directories give way to others of their name, which may be told as
	// deleted and created, or not.
	replaces bool
	// frozen: the watcher gets no processor during a step, so that the kernel's queue
	// of 16,384 events overflows.
	frozen bool
}

// scenarios use a root, which is watched, and a directory beside it, which is not.
var scenarios = []scenario{
	{name: "nested", steps: []func(testing.TB, string, string){
		func(tb testing.TB, root, _ string) {
			tb.Helper()
			for i := range 200 {
				dir := filepath.Join(root, number(i), "b", "c")
				mkdir(tb, dir)
				write(tb, filepath.Join(dir, "file"), "x")
			}
		},
	}},
	{name: "copied", steps: []func(testing.TB, string, string){
		func(tb testing.TB, root, _ string) {
			tb.Helper()
			fill(tb, filepath.Join(root, "copy"), 5000, 20)
		},
	}},
	{name: "moved_in", setup: func(tb testing.TB, _, beside string) {
		tb.Helper()
		fill(tb, filepath.Join(beside, "tree"), 5000, 20)
	}, steps: []func(testing.TB, string, string){
		func(tb testing.TB, root, beside string) {
			tb.Helper()
			rename(tb, filepath.Join(beside, "tree"), filepath.Join(root, "tree"))
		},
		func(tb testing.TB, root, beside string) {
			tb.Helper()
			rename(tb, filepath.Join(root, "tree"), filepath.Join(beside, "tree"))
			write(tb, filepath.Join(beside, "tree", "outside"), "nobody's business")
		},
	}},
	{name: "renamed", setup: func(tb testing.TB, root, _ string) {
		tb.Helper()
		fill(tb, filepath.Join(root, "one"), 1000, 20)
	}, steps: []func(testing.TB, string, string){
		func(tb testing.TB, root, _ string) {
			tb.Helper()
			rename(tb, filepath.Join(root, "one"), filepath.Join(root, "two"))
		},
		func(tb testing.TB, root, _ string) {
			tb.Helper()
			for i := range 5 {
				dir := filepath.Join(root, "two", "d"+number(i), "e0000")
				write(tb, filepath.Join(dir, "new"), "x")
				write(tb, filepath.Join(dir, "f0000"), "longer than it was")
			}
		},
	}},
	{name: "root_again", setup: func(tb testing.TB, root, _ string) {
		tb.Helper()
		fill(tb, root, 200, 20)
	}, steps: []func(testing.TB, string, string){
		func(tb testing.TB, root, _ string) {
			tb.Helper()
			remove(tb, root)
			mkdir(tb, root)
			for i := range 20 {
				write(tb, filepath.Join(root, number(i)), "x")
			}
		},
		func(tb testing.TB, root, _ string) {
			tb.Helper()
			mkdir(tb, filepath.Join(root, "later"))
			write(tb, filepath.Join(root, "later", "file"), "x")
		},
	}},
	{name: "again", replaces: true, setup: func(tb testing.TB, root, _ string) {
		tb.Helper()
		for i := range 50 {
			write(tb, filepath.Join(make1(tb, root, number(i)), "old"), "x")
		}
	}, steps: []func(testing.TB, string, string){
		func(tb testing.TB, root, _ string) {
			tb.Helper()
			for i := range 50 {
				remove(tb, filepath.Join(root, number(i), "old"))
				remove(tb, filepath.Join(root, number(i)))
				write(tb, filepath.Join(make1(tb, root, number(i)), "new"), "x")
			}
		},
		func(tb testing.TB, root, _ string) {
			tb.Helper()
			for i := range 50 {
				write(tb, filepath.Join(root, number(i), "later"), "x")
			}
		},
	}},
	{name: "saved", setup: func(tb testing.TB, root, _ string) {
		tb.Helper()
		fill(tb, root, 200, 20)
	}, steps: []func(testing.TB, string, string){
		func(tb testing.TB, root, _ string) {
			tb.Helper()
			for i := range 200 {
				file := filepath.Join(root, "d0000", "e"+number(i/20), "f"+number(i%20))
				write(tb, file+".tmp", "saved by way of another file")
				rename(tb, file+".tmp", file)
			}
		},
	}},
	{name: "overflow", frozen: true, setup: func(tb testing.TB, root, _ string) {
		tb.Helper()
		for i := range 300 {
			mkdir(tb, filepath.Join(root, "d"+number(i/10), "e"+number(i%10)))
		}
	}, steps: []func(testing.TB, string, string){
		func(tb testing.TB, root, _ string) {
			tb.Helper()
			for i := range 30_000 {
				dir := filepath.Join(root, "d"+number(i/1000), "e"+number(i/100%10))
				write(tb, filepath.Join(dir, "f"+number(i%100)), "x")
			}
		},
	}},
	{name: "deleted", setup: func(tb testing.TB, root, _ string) {
		tb.Helper()
		fill(tb, filepath.Join(root, "tree"), 5000, 20)
	}, steps: []func(testing.TB, string, string){
		func(tb testing.TB, root, _ string) {
			tb.Helper()
			remove(tb, filepath.Join(root, "tree"))
		},
	}},
}

// make1 makes one directory and answers its path.
func make1(tb testing.TB, parent, name string) string {
	tb.Helper()
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// play lets a watcher watch a scenario and counts what is missing and invented.
func (s scenario) play(tb testing.TB, command []string) (expected, missing, invented int) {
	tb.Helper()
	root, beside := filepath.Join(tb.TempDir(), "root"), tb.TempDir()
	mkdir(tb, root)
	if s.setup != nil {
		s.setup(tb, root, beside)
	}
	p := start(tb, command, root)
	for _, step := range s.steps {
		before := snapshot(tb, root)
		if s.frozen {
			p.signal(syscall.SIGSTOP)
		}
		step(tb, root, beside)
		if s.frozen {
			p.signal(syscall.SIGCONT)
		}
		want := between(before, snapshot(tb, root))
		got := p.settle()
		if s.replaces {
			got = withoutReplaced(before, want, got)
		}
		m, i := compare(want, got)
		expected, missing, invented = expected+len(want), missing+m, invented+i
	}
	p.stop()
	return expected, missing, invented
}
