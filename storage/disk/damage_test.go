package disk

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap/zapcore"

	"github.com/actionflows/lifeline/storage"
)

// spoil overwrites a record below a root.
func spoil(t *testing.T, d *Driver, root []byte, name string, k []byte) {
	t.Helper()
	update(t, d, func(tx *bbolt.Tx) error {
		b := sub(tx, root, name)
		if b == nil || b.Get(k) == nil {
			t.Fatalf("there is no %q in %s of %q", k, root, name)
		}
		return b.Put(k, []byte("\xffgarbage"))
	})
}

func wantPoison(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, storage.ErrPoison) {
		t.Fatalf("%s: %v, want %v", what, err, storage.ErrPoison)
	}
}

// A damaged record makes what needs it poison, says so in the log, and nothing
// else: the others of the same call go on.
func TestDamagedDocument(t *testing.T) {
	log, logged := observed()
	d := open(t, Options{Logger: log})
	indexed := func(id string) *storage.Put {
		return &storage.Put{Collection: "c", ID: id, Indexes: map[string]string{"i": "v"}, MaxMembers: 3}
	}
	must(t, d, indexed("a"), indexed("b"))
	spoil(t, d, bucketDocuments, "c", append(key(keyDocument), "a"...))
	_, err := d.Get(t.Context(), "c", "a")
	wantPoison(t, "Get", err)
	r, err := d.Apply(t.Context(), []storage.Op{indexed("a"), indexed("b"), &storage.Add{Collection: "c", Member: "a", IfExists: true}})
	if err != nil || r[1].Err != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	wantPoison(t, "Put", r[0].Err)
	wantPoison(t, "Add", r[2].Err)
	if logged.FilterLevelExact(zapcore.ErrorLevel).Len() < 3 {
		t.Fatalf("logged %v", logged.All())
	}
	for _, index := range []string{"", "i"} {
		found, err := d.Scan(t.Context(), "c", index, storage.ScanQuery{Value: "v"})
		if err != nil || len(found) != 1 || found[0].ID != "b" {
			t.Fatalf("%+v, %v", found, err)
		}
	}
	// Deleting it is the way to be rid of it.
	must(t, d, &storage.Del{Collection: "c", ID: "a"}, &storage.Put{Collection: "c", ID: "a"})
	if found, err := d.Scan(t.Context(), "c", "i", storage.ScanQuery{Value: "v"}); err != nil || len(found) != 1 {
		t.Fatalf("the new document is found by the index of the old one: %+v, %v", found, err)
	}
}

// One that must make room does so.
func TestDamagedDocumentIsEvicted(t *testing.T) {
	d := open(t, Options{})
	put := func(id string, rank int64) *storage.Put {
		return &storage.Put{Collection: "c", ID: id, Rank: rank, MaxMembers: 2}
	}
	must(t, d, put("a", 1), put("b", 2))
	spoil(t, d, bucketDocuments, "c", append(key(keyDocument), "a"...))
	must(t, d, put("c", 3))
	found, err := d.Scan(t.Context(), "c", "", storage.ScanQuery{})
	if err != nil || len(found) != 2 || found[0].ID != "b" {
		t.Fatalf("%+v, %v", found, err)
	}
	if _, err := d.Get(t.Context(), "c", "a"); !errors.Is(err, storage.ErrNotFound) {
		t.Fatal(err)
	}
}

func TestDamagedTombstone(t *testing.T) {
	d := open(t, Options{})
	must(t, d, &storage.Del{Collection: "c", ID: "a"})
	spoil(t, d, bucketDocuments, "c", append(key(keyTombstone), "a"...))
	wantPoison(t, "Put", add(t, d, &storage.Put{Collection: "c", ID: "a"}).Err)
	must(t, d, &storage.Put{Collection: "c", ID: "b"}, &storage.Del{Collection: "c", ID: "a"}, &storage.Put{Collection: "c", ID: "a"})
}

func TestDamagedQueue(t *testing.T) {
	records := map[string][]byte{
		"state": key(keyQueueMeta), "item": itemKey(0), "id": itemIDKey("a"),
	}
	for name, k := range records {
		t.Run(name, func(t *testing.T) {
			d := open(t, Options{})
			must(t, d, &storage.Push{Queue: "q", ID: "a"}, &storage.Push{Queue: "other", ID: "a"})
			spoil(t, d, bucketQueues, "q", k)
			_, err := d.Take(t.Context(), "q", 0)
			wantPoison(t, "Take", err)
			if name != "item" {
				wantPoison(t, "Push", add(t, d, &storage.Push{Queue: "q", ID: "a"}).Err)
			}
			if ids := takeAll(t, d, "other"); len(ids) != 1 {
				t.Fatalf("items of the other queue are %q", ids)
			}
			must(t, d, &storage.Drop{Scope: "q"}, &storage.Push{Queue: "q", ID: "a"})
			if ids := takeAll(t, d, "q"); len(ids) != 1 {
				t.Fatalf("items are %q", ids)
			}
		})
	}
}

func TestDamagedCounter(t *testing.T) {
	d := open(t, Options{})
	count := func(member string) *storage.Add {
		return &storage.Add{Collection: "c", Scope: "s", Member: member, Deltas: map[string]int64{"n": 1}, RankBy: "n", MaxMembers: 2}
	}
	must(t, d, count("a"), count("b"))
	spoil(t, d, bucketCounters, "c", append(key(keyMember, "s"), "a"...))
	_, err := d.Counters(t.Context(), "c", "s", storage.CounterQuery{Member: "a"})
	wantPoison(t, "Counters", err)
	wantPoison(t, "Add", add(t, d, count("a")).Err)
	must(t, d, count("b"))
	top, err := d.Counters(t.Context(), "c", "s", storage.CounterQuery{Top: 5})
	if err != nil || len(top) != 1 || top[0].Fields["n"] != 2 {
		t.Fatalf("%+v, %v", top, err)
	}
	must(t, d, count("c")) // removes it
	if top, err = d.Counters(t.Context(), "c", "s", storage.CounterQuery{Top: 5}); err != nil || len(top) != 2 {
		t.Fatalf("%+v, %v", top, err)
	}
	must(t, d, count("a"))
}

// With a damaged scope or chain those who need it are refused.
func TestDamagedScope(t *testing.T) {
	d := open(t, Options{})
	linked := func(n uint64) *storage.Add {
		return &storage.Add{Collection: "c", Scope: "s", Member: "a", Deltas: map[string]int64{"n": 1}, Link: storage.Link{Producer: 5, Number: n}}
	}
	must(t, d, linked(1))
	spoil(t, d, bucketCounters, "c", key(keyChain))
	wantPoison(t, "Add", add(t, d, linked(2)).Err)
	must(t, d, &storage.Add{Collection: "c", Scope: "s", Member: "a", Deltas: map[string]int64{"n": 1}})
	spoil(t, d, bucketCounters, "c", append(key(keyScope), "s"...))
	wantPoison(t, "Add", add(t, d, &storage.Add{Collection: "c", Scope: "s", Member: "a"}).Err)
	must(t, d, &storage.Add{Collection: "c", Scope: "other", Member: "a", Deltas: map[string]int64{"n": 1}})
	if n := counterOf(t, d, "c", "s", "a")["n"]; n != 2 {
		t.Fatalf("the counter is %d", n)
	}
}

func TestDamagedLogIsDropped(t *testing.T) {
	for name, k := range map[string][]byte{"metadata": keyLogMeta, "entry": nil} {
		t.Run(name, func(t *testing.T) {
			d := open(t, Options{})
			c := mustAdd(t, d, "e", "a")
			mustAdd(t, d, "other", "a")
			if k == nil {
				k = microsKey(c.Pos.Micros)
			}
			// The committer knows the log from before; another driver does not.
			spoil(t, d, bucketLogs, "e", k)
			dir := d.opener.Dir
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			d = open(t, Options{Dir: dir})
			wantPoison(t, "Append", add(t, d, &storage.Append{Log: "e", ID: "b"}).Err)
			_, err := d.ReadLog(t.Context(), "e", storage.LogQuery{})
			wantPoison(t, "ReadLog", err)
			if r := must(t, d, &storage.Drop{Scope: "e"}); !r.Exists {
				t.Fatalf("answer is %+v", r)
			}
			mustAdd(t, d, "e", "b")
			if n := len(readAll(t, d, "other")); n != 1 {
				t.Fatalf("the other log has %d entries", n)
			}
		})
	}
}

// A damaged entry that stands where a log is trimmed does not fail the others of
// the transaction, and does not keep the janitor from making room.
func TestDamagedEntryIsNotTrimmed(t *testing.T) {
	const size = 4 << 20
	d := open(t, Options{MaxSize: size})
	c := mustAdd(t, d, "e", "0")
	spoil(t, d, bucketLogs, "e", microsKey(c.Pos.Micros))
	var ops []storage.Op
	for i := range 40 {
		ops = append(ops, &storage.Append{Log: "e", ID: fmt.Sprint("e", i), MaxLen: 2}, &storage.Append{Log: "other", ID: fmt.Sprint(i)})
	}
	r, err := d.Apply(t.Context(), ops)
	if err != nil {
		t.Fatal(err)
	}
	for i, result := range r {
		if i%2 == 1 && result.Err != nil {
			t.Fatal(result.Err)
		}
	}
	dir := d.opener.Dir
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, Options{Dir: dir, MaxSize: size}) // it cannot even load the log
	data := make([]byte, 64<<10)
	for i := range 2 * size / len(data) {
		must(t, d, &storage.Append{Log: "new", ID: fmt.Sprint(i), Data: data})
	}
	eventually(t, "the file fits its size", func() bool { return d.Health(t.Context()) == nil && d.used.Load() <= size })
}

// What ends while it is damaged does not keep the others from ending.
func TestDamagedEnds(t *testing.T) {
	var c clock
	d := open(t, Options{now: c.now})
	const ttl = storage.DedupAge
	must(t, d, &storage.Put{Collection: "c", ID: "a", TTL: ttl}, &storage.Put{Collection: "c", ID: "b", TTL: ttl},
		&storage.Push{Queue: "a", ID: "a", Remaining: ttl}, &storage.Push{Queue: "b", ID: "a", Remaining: ttl})
	spoil(t, d, bucketDocuments, "c", append(key(keyDocument), "a"...))
	spoil(t, d, bucketQueues, "a", key(keyQueueMeta))
	c.advance(2 * ttl)
	if !d.removeEnded() {
		t.Fatal("it failed")
	}
	err := d.view(t.Context(), func(tx *bbolt.Tx) error {
		if sub(tx, bucketQueues, "b") != nil || sub(tx, bucketDocuments, "c").Get(append(key(keyDocument), "b"...)) != nil {
			t.Fatal("what has ended is still there")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A log that cannot be gone through does not keep the janitor from the others.
func TestDamagedLogDoesNotStopTheJanitor(t *testing.T) {
	var c clock
	d := open(t, Options{now: c.now})
	var damaged storage.Cursor
	for _, log := range []string{"a", "b"} {
		for i := range 3 {
			r := must(t, d, &storage.Append{Log: log, ID: fmt.Sprint(i), Data: []byte("x"), MaxAge: time.Hour})
			if log == "a" && i == 1 {
				damaged = r.Cursor
			}
		}
	}
	spoil(t, d, bucketLogs, "a", microsKey(damaged.Pos.Micros))
	c.advance(2 * time.Hour)
	d.expire()
	err := d.view(t.Context(), func(tx *bbolt.Tx) error {
		k, v := logBucket(tx, "b").Cursor().First()
		if _, ok := keyMicros(k); !ok || v[0] != kindTrimmed {
			t.Fatalf("the other log was not trimmed: %x, %x", k, v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
