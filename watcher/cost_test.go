//go:build unix

package watcher

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// forest makes directories with 20 files each.
func forest(t testing.TB, dirs int) (dir string, entries int) {
	t.Helper()
	dir = inMemory(t)
	for d := range dirs {
		at := filepath.Join(dir, fmt.Sprintf("group-%d", d/50), fmt.Sprintf("package-%d", d))
		must(t, os.MkdirAll(at, 0o755))
		for f := range 20 {
			write(t, filepath.Join(at, fmt.Sprintf("some_file_%d.go", f)), "x")
		}
	}
	return dir, dirs*21 + (dirs+49)/50
}

func startQuietly(t testing.TB, dir string, poll time.Duration) *Watcher {
	t.Helper()
	w, err := Start(Config{
		Session: "s", Dir: dir, Poll: poll,
		Sink: func(context.Context, Event) error { return nil },
	})
	must(t, err)
	if s := w.Status(); s.State != StateWatching {
		t.Fatalf("status %+v", s)
	}
	return w
}

func heap() uint64 {
	var m runtime.MemStats
	for range 3 { // what finalizers hold goes with a later one
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// An entry may take 250 bytes, the watches of directories included.
func TestHeapPerEntry(t *testing.T) {
	dir, entries := forest(t, 500)
	before := heap()
	w := startQuietly(t, dir, 0)
	perEntry := float64(heap()-before) / float64(entries)
	if w.Status().Entries != entries {
		t.Errorf("%d entries, want %d", w.Status().Entries, entries)
	}
	w.Stop()
	t.Logf("%.0f bytes for each of %d entries", perEntry, entries)
	if perEntry > 250 {
		t.Errorf("%.0f bytes per entry", perEntry)
	}
}

// While nothing happens, a watcher looks at its root and its watches from time
// to time, and at nothing in the tree.
func TestIdleWatcherLooksAtNothing(t *testing.T) {
	dir, entries := forest(t, 100)
	w := startQuietly(t, dir, 0)
	defer w.Stop()
	before := mallocs()
	time.Sleep(2*checkInterval + checkInterval/2)
	if n := mallocs() - before; n > uint64(entries)/10 {
		t.Errorf("%d allocations in two checks of %d entries", n, entries)
	}
}

// The first scan of 50,000 entries, and the heap that they take.
func BenchmarkFirstScan(b *testing.B) {
	dir, entries := forest(b, 2380)
	before := heap()
	var perEntry float64
	var computed time.Duration
	for b.Loop() {
		began := cpu(b)
		w := startQuietly(b, dir, 0)
		computed += cpu(b) - began
		b.StopTimer()
		perEntry = float64(heap()-before) / float64(entries)
		w.Stop()
		b.StartTimer()
	}
	b.ReportMetric(perEntry, "heap-B/entry")
	b.ReportMetric(float64(computed.Nanoseconds())/float64(b.N*entries), "cpu-ns/entry")
}

// What a second of doing nothing costs with 50,000 entries: one of watching, and
// one of polling every 2 s.
func BenchmarkIdle(b *testing.B) {
	dir, _ := forest(b, 2380)
	for name, poll := range map[string]time.Duration{"watching": 0, "polling": 2 * time.Second} {
		b.Run(name, func(b *testing.B) {
			w := startQuietly(b, dir, poll)
			defer w.Stop()
			before := cpu(b)
			for b.Loop() {
				time.Sleep(time.Second)
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/s")
		})
	}
}

// cpu is the time that this process has computed.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	must(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
