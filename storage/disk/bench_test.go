package disk

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// callers runs fn from 64 goroutines; n counts all calls, from 1.
func callers(b *testing.B, unit string, fn func(n uint64) error) {
	b.Helper()
	var n atomic.Uint64
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := fn(n.Add(1)); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), unit)
}

func applyOne(b *testing.B, d *Driver, op storage.Op) error {
	r, err := d.Apply(b.Context(), []storage.Op{op})
	if err == nil {
		err = r[0].Err
	}
	return err
}

var payload = bytes.Repeat([]byte("x"), 300)

// BenchmarkAppend: 64 callers, entries of 300 bytes, the default history, into
// one log, 64 and 1000.
func BenchmarkAppend(b *testing.B) {
	for _, logs := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("logs=%d", logs), func(b *testing.B) {
			d := open(b, Options{})
			callers(b, "appends/s", func(n uint64) error {
				return applyOne(b, d, benchEntry(fmt.Sprint("e:", n%uint64(logs)), n))
			})
		})
	}
}

func benchEntry(log string, n uint64) *storage.Append {
	return &storage.Append{
		Log: log, ID: fmt.Sprint("event-", n), Data: payload, MaxLen: 1000, MaxAge: 24 * time.Hour,
	}
}

// BenchmarkAppendTrimming is the same in the steady state: each log is so full,
// of entries and of remembered ids, that an append trims.
func BenchmarkAppendTrimming(b *testing.B) {
	for _, logs := range []int{1, 16} {
		b.Run(fmt.Sprintf("logs=%d", logs), func(b *testing.B) {
			d := open(b, Options{})
			for log := range logs {
				fill(b, d, fmt.Sprint("e:", log), storage.DedupWindow*5/4, 1000)
			}
			callers(b, "appends/s", func(n uint64) error {
				return applyOne(b, d, benchEntry(fmt.Sprint("e:", n%uint64(logs)), n))
			})
		})
	}
}

// fill appends n entries to a log and answers the cursor behind the one in the
// middle.
func fill(b *testing.B, d *Driver, log string, n, maxLen int) (middle storage.Cursor) {
	b.Helper()
	for i := 0; i < n; i += 500 {
		ops := make([]storage.Op, 500)
		for j := range ops {
			ops[j] = &storage.Append{Log: log, ID: fmt.Sprint("fill-", i+j), Data: payload, MaxLen: maxLen}
		}
		r, err := d.Apply(b.Context(), ops)
		if err != nil {
			b.Fatal(err)
		}
		if i <= n/2 {
			middle = r[0].Cursor
		}
	}
	return middle
}

// BenchmarkPut: 64 callers, documents of 300 bytes with two indexes, in a
// collection of 10,000 that is written to over and over; and new ones in a full
// collection, each of which removes another.
func BenchmarkPut(b *testing.B) {
	put := func(id string, n uint64) *storage.Put {
		return &storage.Put{
			Collection: "c", ID: id, Body: payload, Rank: int64(n), MaxMembers: 10_000,
			Indexes: map[string]string{"user": fmt.Sprint(n % 100), "status": "running"},
		}
	}
	prepare := func(b *testing.B) *Driver {
		d := open(b, Options{})
		ops := make([]storage.Op, 10_000)
		for i := range ops {
			ops[i] = put(fmt.Sprint("d", i), uint64(i))
		}
		if _, err := d.Apply(b.Context(), ops); err != nil {
			b.Fatal(err)
		}
		return d
	}
	b.Run("again", func(b *testing.B) {
		d := prepare(b)
		callers(b, "puts/s", func(n uint64) error {
			return applyOne(b, d, put(fmt.Sprint("d", n*7919%10_000), n))
		})
	})
	b.Run("evicting", func(b *testing.B) {
		d := prepare(b)
		callers(b, "puts/s", func(n uint64) error {
			return applyOne(b, d, put(fmt.Sprint("new", n), 10_000+n))
		})
	})
}

// BenchmarkPushTake: 64 callers, each pushes an item into one of 64 queues and
// takes one.
func BenchmarkPushTake(b *testing.B) {
	d := open(b, Options{})
	callers(b, "pairs/s", func(n uint64) error {
		queue := fmt.Sprint("q", n%64)
		err := applyOne(b, d, &storage.Push{
			Queue: queue, ID: fmt.Sprint("item-", n), Data: payload, Remaining: 5 * time.Minute, MaxLen: 100,
		})
		if err != nil {
			return err
		}
		_, err = d.Take(b.Context(), queue, 1)
		return err
	})
}

// BenchmarkAdd: 64 callers, 100 members of one scope, 90 fields each.
func BenchmarkAdd(b *testing.B) {
	d := open(b, Options{})
	callers(b, "adds/s", func(n uint64) error {
		return applyOne(b, d, &storage.Add{
			Collection: "c", Scope: "s", Member: fmt.Sprint("m", n%100), RankBy: "count", MaxMembers: 1000,
			Deltas: map[string]int64{"count": 1, fmt.Sprint("day-", n%89): 1},
			High:   map[string]int64{"last": int64(n)},
		})
	})
}

const million = 1_000_000

// BenchmarkRead: 100 entries after a cursor out of a million.
func BenchmarkRead(b *testing.B) {
	d := open(b, Options{})
	middle := fill(b, d, "e", million, 0)
	for b.Loop() {
		page, err := d.ReadLog(b.Context(), "e", storage.LogQuery{After: &middle, Limit: 100})
		if err != nil || len(page.Entries) != 100 {
			b.Fatal(err, len(page.Entries))
		}
	}
}

// BenchmarkOpen: a file with a million events that was closed, and one whose
// driver died.
func BenchmarkOpen(b *testing.B) {
	d := open(b, Options{})
	dir := d.opener.Dir
	fill(b, d, "e", million, 0)
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	for name, dirty := range map[string]bool{"clean": false, "dirty": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if dirty {
					if err := os.WriteFile(d.opener.Marker(), nil, 0o600); err != nil {
						b.Fatal(err)
					}
				}
				d, err := Open(Options{Dir: dir})
				if err != nil {
					b.Fatal(err)
				}
				if err := d.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
