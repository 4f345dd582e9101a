package disk

import (
	"bytes"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// BenchmarkAppend: 64 callers, entries of 300 bytes, the default history, into
// one log, and into 64.
func BenchmarkAppend(b *testing.B) {
	for _, logs := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("logs=%d", logs), func(b *testing.B) {
			d := open(b, Options{})
			data := bytes.Repeat([]byte("x"), 300)
			var n atomic.Uint64
			b.SetParallelism(64 / runtime.GOMAXPROCS(0))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := n.Add(1)
					_, err := d.Apply(b.Context(), []storage.Op{&storage.Append{
						Log: fmt.Sprint("e:", i%uint64(logs)), ID: fmt.Sprint("event-", i), Data: data,
						MaxLen: 1000, MaxAge: 24 * time.Hour,
					}})
					if err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

// BenchmarkRead: 100 entries after a cursor out of a million.
func BenchmarkRead(b *testing.B) {
	d := open(b, Options{})
	data := bytes.Repeat([]byte("x"), 300)
	var middle storage.Cursor
	for i := range 1000 {
		ops := make([]storage.Op, 1000)
		for j := range ops {
			ops[j] = &storage.Append{Log: "e", ID: fmt.Sprint(i, "-", j), Data: data}
		}
		r, err := d.Apply(b.Context(), ops)
		if err != nil {
			b.Fatal(err)
		}
		if i == 500 {
			middle = r[0].Cursor
		}
	}
	for b.Loop() {
		page, err := d.ReadLog(b.Context(), "e", storage.LogQuery{After: &middle, Limit: 100})
		if err != nil || len(page.Entries) != 100 {
			b.Fatal(err, len(page.Entries))
		}
	}
}
