package memory

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// A document more than its collection may have, of 100,000.
func BenchmarkPutAtItsBound(b *testing.B) {
	d := New(Options{MaxSize: 1 << 30})
	defer d.Close()
	put := func(i int) {
		op := &storage.Put{Collection: "c", ID: fmt.Sprint(i), Rank: int64(i), MaxMembers: 100_000}
		if r, err := d.Apply(context.Background(), []storage.Op{op}); err != nil || r[0].Err != nil {
			b.Fatal(r, err)
		}
	}
	i := 0
	for ; i < 100_000; i++ {
		put(i)
	}
	for b.Loop() {
		put(i)
		i++
	}
}

// An item in and out of a queue that remembers 100,000 others.
func BenchmarkPushTakeRemembered(b *testing.B) {
	d := New(Options{MaxSize: 1 << 30})
	defer d.Close()
	pushTake := func(i int) {
		op := &storage.Push{Queue: "q", ID: fmt.Sprint(i), Remaining: time.Hour}
		if r, err := d.Apply(context.Background(), []storage.Op{op}); err != nil || r[0].Err != nil {
			b.Fatal(r, err)
		}
		if items, err := d.Take(context.Background(), "q", 0); err != nil || len(items) != 1 {
			b.Fatal(items, err)
		}
	}
	// The items that are remembered are pushed and taken in pages, so that the
	// preparation does not depend on what is measured.
	ops := make([]storage.Op, 0, storage.MaxPage)
	for i := range 100_000 {
		ops = append(ops, &storage.Push{Queue: "q", ID: fmt.Sprint("before", i), Remaining: time.Hour, Taken: true})
		if len(ops) == storage.MaxPage {
			_, _ = d.Apply(context.Background(), ops)
			ops = ops[:0]
		}
	}
	i := 0
	for b.Loop() {
		pushTake(i)
		i++
	}
}
