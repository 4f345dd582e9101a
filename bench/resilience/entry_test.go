package resilience

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

// BenchmarkEntry measures what an event of 300 bytes takes in the journal: of memory
// while its data is kept there too (hot), of memory when only the file has its data,
// waiting (cold) and stored in Redis, and of the file. It is for -benchtime=1x.
func BenchmarkEntry(b *testing.B) {
	const (
		hot  = 60_000  // well within the 64 MiB that are kept in memory
		full = 120_000 // more than these
		all  = 320_000
	)
	for b.Loop() {
		dir := b.TempDir()
		n := startNode(b, redistest.Start(b), dir)
		n.breaker.Hold(breaker.ForcedOpen, 0)
		empty := heap()
		fill(b, n, 0, hot)
		b.ReportMetric((heap()-empty)/hot, "hot-B/entry")
		fill(b, n, hot, full)
		before := heap()
		fill(b, n, full, all)
		b.ReportMetric((heap()-before)/(all-full), "cold-B/entry")
		file, err := os.Stat(filepath.Join(dir, "journal.db"))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(file.Size())/all, "file-B/entry")

		n = startNode(b, redistest.Start(b), b.TempDir())
		fill(b, n, 0, full)
		before = settledHeap(b, n)
		fill(b, n, full, all)
		b.ReportMetric((settledHeap(b, n)-before)/(all-full), "stored-B/entry")
	}
}

// settledHeap is the heap when nothing waits.
func settledHeap(b *testing.B, n *node) float64 {
	b.Helper()
	wait(b, "all is stored", func() bool {
		s := n.Status()
		return s.Pending == 0 && !s.Degraded
	})
	return heap()
}

// fill publishes the events from one number up to another.
func fill(b *testing.B, n *node, from, to int) {
	b.Helper()
	const batch = 100
	for ; from < to; from += batch {
		ops := make([]storage.Op, batch)
		for i := range ops {
			ops[i] = &storage.Append{
				Log: logOf(from + i), ID: fmt.Sprintf("%024d", from+i), Data: bytes.Clone(event), MaxAge: 24 * time.Hour,
			}
		}
		if results, err := n.Apply(context.Background(), ops); err != nil || results[0].Err != nil {
			b.Fatal(results[0], err)
		}
	}
}

func heap() float64 {
	runtime.GC()
	runtime.GC() // what pools held is let go of at the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
