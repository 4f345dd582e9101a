package disk

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// What has ended is invisible at once and removed by the janitor; nothing of it
// stays in the file.
func TestEnds(t *testing.T) {
	var c clock
	d := open(t, Options{now: c.now})
	const ttl = time.Hour
	for i := range 2500 { // more than one step
		if i%500 == 0 {
			must(t, d, &storage.Push{Queue: fmt.Sprint("q", i), ID: "a", Remaining: ttl})
		}
		must(t, d, &storage.Put{Collection: fmt.Sprint("c", i%3), ID: fmt.Sprint(i), TTL: ttl, Indexes: map[string]string{"i": "v"}})
	}
	must(t, d, &storage.Put{Collection: "ever", ID: "a"},
		&storage.Add{Collection: "c0", Member: "0", Deltas: map[string]int64{"n": 1}, RankBy: "n"},
		&storage.Push{Queue: "ever", ID: "a"})
	c.advance(ttl + time.Second)
	if _, err := d.Get(t.Context(), "c0", "0"); !errors.Is(err, storage.ErrNotFound) {
		t.Fatal(err)
	}
	if found, err := d.Scan(t.Context(), "c1", "i", storage.ScanQuery{Value: "v"}); err != nil || len(found) > 0 {
		t.Fatalf("%d documents, %v", len(found), err)
	}
	if ids := takeAll(t, d, "q0"); len(ids) != 0 {
		t.Fatalf("items are %q", ids)
	}
	if !d.removeEnded() {
		t.Fatal("it failed")
	}
	if n := keys(t, d, bucketDocuments); n != 3 { // document, rank, count
		t.Fatalf("%d keys of documents are left", n)
	}
	if n := keys(t, d, bucketQueues); n != 3 { // state, item, id
		t.Fatalf("%d keys of queues are left", n)
	}
	if n := keys(t, d, bucketExpiry); n != 1 { // that of the queue
		t.Fatalf("%d ends are left", n)
	}
	if n := counterOf(t, d, "c0", "", "0"); n != nil {
		t.Fatalf("the counters of an ended document are %v", n)
	}
	// Without an end a queue lives for a day after the last operation.
	c.advance(storage.DedupAge - 2*time.Hour)
	must(t, d, &storage.Push{Queue: "ever", ID: "b"})
	c.advance(storage.DedupAge - time.Hour)
	d.removeEnded()
	if ids := itemsOf(t, d, "ever"); len(ids) != 2 {
		t.Fatalf("items are %q", ids)
	}
	c.advance(2 * time.Hour)
	if ids := itemsOf(t, d, "ever"); len(ids) != 0 {
		t.Fatalf("items are %q", ids)
	}
	d.removeEnded()
	if n := keys(t, d, bucketQueues) + keys(t, d, bucketExpiry); n != 0 {
		t.Fatalf("%d keys are left", n)
	}
}

// The janitor does so by itself, and a deletion is remembered for seven days.
func TestDeletionsAreForgotten(t *testing.T) {
	var c clock
	d := open(t, Options{now: c.now})
	future := time.Now().Add(365 * 24 * time.Hour).UnixMicro()
	del := &storage.Del{Collection: "c", ID: "a", Stamp: storage.Stamp{Micros: future}}
	put := &storage.Put{Collection: "c", ID: "a", Stamp: storage.Stamp{Micros: future - 1}}
	must(t, d, del)
	c.advance(storage.TombstoneAge - time.Minute)
	d.removeEnded()
	if r := must(t, d, put); !r.Duplicate {
		t.Fatal("the deletion was forgotten too early")
	}
	c.advance(2 * time.Minute)
	d.removeEnded()
	if n := keys(t, d, bucketDocuments) + keys(t, d, bucketExpiry); n != 0 {
		t.Fatalf("%d keys are left", n)
	}
	if r := must(t, d, put); r.Duplicate {
		t.Fatal("the deletion is still remembered")
	}
}

func TestTombstoneIsOverBeforeItIsRemoved(t *testing.T) {
	var c clock
	d := open(t, Options{now: c.now})
	stamp := storage.Stamp{Micros: 1 << 53}
	must(t, d, &storage.Del{Collection: "c", ID: "a", Stamp: stamp})
	c.advance(storage.TombstoneAge + time.Second)
	if r := must(t, d, &storage.Put{Collection: "c", ID: "a", Stamp: stamp}); r.Duplicate {
		t.Fatal("the deletion is still remembered")
	}
	if n := keys(t, d, bucketExpiry); n != 0 {
		t.Fatalf("%d ends are left", n)
	}
}

// A gravestone keeps a dead epoch dead for seven days, whatever the janitor does
// meanwhile.
func TestGravestone(t *testing.T) {
	var c clock
	d := open(t, Options{now: c.now})
	epoch := mustAdd(t, d, "e", "a").Epoch
	late := &storage.Append{Log: "e", ID: "late", Epoch: epoch, MaxAge: time.Hour}
	must(t, d, &storage.Drop{Scope: "e"})
	must(t, d, &storage.Append{Log: "e", ID: "b", MaxAge: time.Hour})
	for range 3 { // the log that came after it is forgotten after a day
		c.advance(2 * storage.DedupAge)
		d.expire()
	}
	if r := must(t, d, &storage.Append{Log: "e", ID: "c", IfExists: true}); r.Exists {
		t.Fatalf("the log is still known: %+v", r)
	}
	for range 2 {
		if r := add(t, d, late); !errors.Is(r.Err, storage.ErrGone) {
			t.Fatalf("answer is %+v", r)
		}
	}
	c.advance(storage.DedupAge + time.Minute)
	d.expire()
	if n := states(t, d); n != 0 {
		t.Fatalf("%d logs are known", n)
	}
	must(t, d, late)
}

// What a queue remembers of items without an end is bounded in time, though the
// queue is in use.
func TestTakenIDsAreForgotten(t *testing.T) {
	var c clock
	d := open(t, Options{now: c.now})
	for i := range 10 {
		must(t, d, &storage.Push{Queue: "q", ID: fmt.Sprint(i)})
		takeAll(t, d, "q")
		c.advance(storage.DedupAge / 4)
	}
	if r := must(t, d, &storage.Push{Queue: "q", ID: "9"}); !r.Duplicate {
		t.Fatal("what was just taken is not remembered")
	}
	n := 0
	err := d.view(t.Context(), func(tx *bbolt.Tx) error {
		prefix := key(keyItemID)
		cursor := sub(tx, bucketQueues, "q").Cursor()
		for _, _, ok := seek(cursor, prefix, prefix); ok; _, _, ok = next(cursor, prefix) {
			n++
		}
		return nil
	})
	if err != nil || n > 4 {
		t.Fatalf("%d ids are remembered, %v", n, err)
	}
}

// An expired document gives its place before any that lives, and only as many as
// need to.
func TestExpiredMakeRoom(t *testing.T) {
	var c clock
	d := open(t, Options{now: c.now})
	put := func(id string, rank int64, ttl time.Duration) *storage.Put {
		return &storage.Put{Collection: "c", ID: id, Rank: rank, TTL: ttl, MaxMembers: 3}
	}
	must(t, d, put("high", 9, time.Hour), put("low", 1, 0), put("middle", 5, 0))
	c.advance(2 * time.Hour)
	must(t, d, put("new", 0, 0))
	found, err := d.Scan(t.Context(), "c", "", storage.ScanQuery{})
	if err != nil || len(found) != 3 || found[0].ID != "low" {
		t.Fatalf("%+v, %v", found, err)
	}
}

// A log remembers the 32 epochs that were dropped last.
func TestGravestonesAreBounded(t *testing.T) {
	d := open(t, Options{})
	var epochs []storage.Epoch
	for range sequence.MaxGraves + 1 {
		epochs = append(epochs, mustAdd(t, d, "e", "a").Epoch)
		must(t, d, &storage.Drop{Scope: "e"})
	}
	late := &storage.Append{Log: "e", ID: "late"}
	for _, late.Epoch = range epochs[1:] {
		if r := add(t, d, late); !errors.Is(r.Err, storage.ErrGone) {
			t.Fatalf("answer is %+v", r)
		}
	}
	late.Epoch = epochs[0]
	must(t, d, late)
}
