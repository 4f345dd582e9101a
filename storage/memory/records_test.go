package memory

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func apply(t *testing.T, d *Driver, ops ...storage.Op) []storage.Result {
	t.Helper()
	results, err := d.Apply(context.Background(), ops)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// mustApply carries out operations none of which may fail.
func mustApply(t *testing.T, d *Driver, ops ...storage.Op) {
	t.Helper()
	for i, r := range apply(t, d, ops...) {
		if r.Err != nil {
			t.Fatalf("operation %d, %T: %v", i, ops[i], r.Err)
		}
	}
}

// Every byte that is counted is given back, whichever way a record ends.
func TestRecordsGiveTheirBytesBack(t *testing.T) {
	ops := []storage.Op{
		&storage.Put{Collection: "c", ID: "a", Body: []byte("body"), Indexes: map[string]string{"i": "v"}, TTL: time.Minute},
		&storage.Put{Collection: "c", ID: "a", Body: []byte("longer body"), TTL: time.Minute},
		&storage.Put{Collection: "c", ID: "b", MaxMembers: 1, Rank: 1, TTL: time.Minute},
		&storage.Add{Collection: "c", Member: "b", Deltas: map[string]int64{"n": 1}, RankBy: "n", IfExists: true},
		&storage.Del{Collection: "c", ID: "x"},
		&storage.Push{Queue: "q", ID: "1", Data: []byte("data"), Remaining: time.Minute},
		&storage.Push{Queue: "q", ID: "2", Data: []byte("data"), Remaining: time.Minute},
		&storage.Push{Queue: "dropped", ID: "1", Data: []byte("data")},
		&storage.Append{Log: "dropped", ID: "1", Data: []byte("data")},
		&storage.Drop{Scope: "dropped"},
		&storage.Add{Collection: "d", Scope: "s", Member: "m", Deltas: map[string]int64{"n": 1}},
		&storage.Add{Collection: "d", Scope: "s", Member: "m", Deltas: map[string]int64{"k": 1}, TrimFrom: "a", TrimTo: "z"},
	}
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{})
		defer d.Close()
		mustApply(t, d, ops...)
		if items, err := d.Take(context.Background(), "q", 1); len(items) != 1 || err != nil {
			t.Fatal(items, err)
		}
		d.mu.RLock()
		if d.records == 0 || d.size < d.records || len(d.collections["c"].documents) != 1 {
			t.Fatalf("size %d, records %d", d.size, d.records)
		}
		d.mu.RUnlock()
		time.Sleep(storage.TombstoneAge + 2*sweepInterval) // the sweeper does the rest
		d.mu.RLock()
		defer d.mu.RUnlock()
		if d.size != 0 || d.records != 0 {
			t.Errorf("%d bytes are left, %d of them records", d.size, d.records)
		}
		if len(d.collections) != 0 || len(d.queues) != 0 || len(d.logs) != 0 {
			t.Errorf("left are %v, %v, %v", d.collections, d.queues, d.logs)
		}
	})
}

// History gives way to records, and they to nothing.
func TestRecordsPushHistoryOut(t *testing.T) {
	d := New(Options{MaxSize: 64 << 10})
	defer d.Close()
	body := make([]byte, 1<<10)
	for i := range 20 {
		mustApply(t, d, &storage.Append{Log: fmt.Sprint("l", i), ID: "1", Data: body})
	}
	var unavailable *storage.UnavailableError
	puts := 0
	for ; puts < 1000; puts++ {
		r := apply(t, d, &storage.Put{Collection: "c", ID: fmt.Sprint(puts), Body: body})[0]
		if r.Err == nil {
			continue
		}
		if !errors.As(r.Err, &unavailable) || unavailable.RetryAfter <= 0 {
			t.Fatal(r.Err)
		}
		break
	}
	if puts < 40 || puts > 64 {
		t.Errorf("%d documents of 1 KiB fit 64 KiB", puts)
	}
	for _, op := range []storage.Op{
		&storage.Push{Queue: "q", ID: "1", Data: body},
		&storage.Add{Collection: "c", Member: string(body), Deltas: map[string]int64{"n": 1}},
	} {
		if r := apply(t, d, op)[0]; !errors.As(r.Err, &unavailable) {
			t.Errorf("%T: %v", op, r.Err)
		}
	}
	page, err := d.ReadLog(context.Background(), "l0", storage.LogQuery{})
	if err != nil || len(page.Entries) != 0 || page.State.Head.Seq != 1 {
		t.Errorf("the oldest log holds %+v, %v", page, err)
	}
	for i := range 3 { // an append never fails for want of space
		mustApply(t, d, &storage.Append{Log: "l0", ID: fmt.Sprint("new", i), Data: body})
	}
	mustApply(t, d, &storage.Del{Collection: "c", ID: "0"}, &storage.Put{Collection: "c", ID: "small"})
	if d.size > 2*d.maxSize {
		t.Errorf("size is %d of %d", d.size, d.maxSize)
	}
}

func TestRankingIsInOrder(t *testing.T) {
	var r ranking
	for _, p := range []place{{2, "b"}, {1, "z"}, {2, "a"}, {3, "m"}, {2, "a"}} {
		r.add(p)
	}
	if got := fmt.Sprint(r.highest(3), r.highest(10)); got != "[m a b] [m a b z]" {
		t.Errorf("highest first: %s", got)
	}
	if name, ok := r.lowest("z"); name != "a" || !ok {
		t.Errorf("lowest but z is %q", name)
	}
	r.remove(place{2, "a"})
	r.remove(place{9, "none"})
	if got := fmt.Sprint(r.highest(10)); got != "[m b z]" {
		t.Errorf("without a: %s", got)
	}
}
