package redis

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

// BenchmarkApply stores batches of 32 entries of 300 bytes, of 8 logs, from as
// many callers as there are connections.
func BenchmarkApply(b *testing.B) {
	d, err := New(Options{URL: redistest.Start(b).URL(), Timeout: 5 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	var n atomic.Int64
	data := make([]byte, 300)
	const size = 32
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ops := make([]storage.Op, size)
			for i := range ops {
				ops[i] = &storage.Append{
					Log: "e:" + strconv.Itoa(i%8), ID: strconv.FormatInt(n.Add(1), 10),
					Data: data, MaxLen: 1000, MaxAge: 24 * time.Hour,
				}
			}
			if _, err := d.Apply(b.Context(), ops); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkReadLog reads 100 entries behind a cursor.
func BenchmarkReadLog(b *testing.B) {
	d, err := New(Options{URL: redistest.Start(b).URL(), Timeout: 5 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	ops := make([]storage.Op, 1000)
	for i := range ops {
		ops[i] = &storage.Append{Log: testLog, ID: strconv.Itoa(i), Data: make([]byte, 300)}
	}
	results, err := d.Apply(b.Context(), ops)
	if err != nil {
		b.Fatal(err)
	}
	q := storage.LogQuery{After: &results[500].Cursor}
	for b.Loop() {
		if page, err := d.ReadLog(b.Context(), testLog, q); err != nil || len(page.Entries) != 100 {
			b.Fatal(len(page.Entries), err)
		}
	}
}
