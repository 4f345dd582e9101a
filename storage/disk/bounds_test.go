package disk

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap/zapcore"

	"github.com/actionflows/lifeline/storage"
)

// When max_size is reached the log written longest ago loses its history first.
func TestMaxSize(t *testing.T) {
	const size = 4 << 20
	d := open(t, Options{MaxSize: size})
	old := mustAdd(t, d, "old", "first")
	data := bytes.Repeat([]byte("x"), 16<<10)
	fill := func(log string, n int) {
		t.Helper()
		for i := range n {
			if r := add(t, d, &storage.Append{Log: log, ID: fmt.Sprint(i), Data: data}); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	fill("old", 100)
	fill("middle", 50)
	fill("new", 20)
	if n := len(readAll(t, d, "old")); n != 101 {
		t.Fatalf("%d entries before the bound was reached", n)
	}
	fill("new", 120)
	fits := func() bool { return d.Health(t.Context()) == nil && d.used.Load() <= size }
	eventually(t, "the file fits its size", fits)
	page, err := d.ReadLog(t.Context(), "old", storage.LogQuery{After: &old})
	if err != nil || !page.Gap || page.State.Epoch != old.Epoch || page.State.Head.Seq != 101 {
		t.Fatalf("the oldest log: %+v, %v", page, err)
	}
	if n := len(readAll(t, d, "new")); n != 120 {
		t.Fatalf("the newest log has %d entries", n)
	}
	// A log that fills the whole file by itself loses its own beginning.
	for i := range 400 {
		if r := add(t, d, &storage.Append{Log: "new", ID: fmt.Sprint("more", i), Data: data}); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	eventually(t, "the file fits its size", fits)
	entries := readAll(t, d, "new")
	if len(entries) == 0 || entries[len(entries)-1].ID != "more399" {
		t.Fatalf("%d entries", len(entries))
	}
}

// states counts the logs that the file knows.
func states(t *testing.T, d *Driver) (n int) {
	t.Helper()
	err := d.file.Load().db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketLogs).ForEachBucket(func([]byte) error { n++; return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMaxSizeForgetsStates(t *testing.T) {
	const size = 512 << 10
	d := open(t, Options{MaxSize: size})
	for i := range 60 {
		ops := make([]storage.Op, 100)
		for j := range ops {
			ops[j] = &storage.Append{Log: fmt.Sprint("log-", i, "-", j), ID: "a", Data: []byte("x")}
		}
		if _, err := d.Apply(t.Context(), ops); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the file fits its size", func() bool {
		return d.Health(t.Context()) == nil && d.used.Load() <= size
	})
	if n := states(t, d); n == 6000 {
		t.Fatal("no state was forgotten")
	}
}

// clock is a clock that tests put forward and back.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

func TestExpire(t *testing.T) {
	var c clock
	d := open(t, Options{now: c.now})
	const age = time.Hour
	first := add(t, d, &storage.Append{Log: "aged", ID: "a", Data: []byte("x"), MaxAge: age})
	mustAdd(t, d, "ageless", "a")
	c.advance(2 * age)
	d.expire()
	page, err := d.ReadLog(t.Context(), "aged", storage.LogQuery{After: &storage.Cursor{Epoch: first.Cursor.Epoch}})
	if err != nil || !page.Gap || len(page.Entries) != 0 {
		t.Fatalf("%+v, %v", page, err)
	}
	// The id is remembered for a day after the last write.
	if r := add(t, d, &storage.Append{Log: "aged", ID: "a", MaxAge: age}); !r.Duplicate {
		t.Fatalf("%+v", r)
	}
	c.advance(storage.DedupAge)
	d.expire()
	if n := states(t, d); n != 1 {
		t.Fatalf("%d logs are known", n)
	}
	if n := len(readAll(t, d, "ageless")); n != 1 {
		t.Fatalf("the other log has %d entries", n)
	}
	if r := add(t, d, &storage.Append{Log: "aged", ID: "a", MaxAge: age}); r.Exists || r.Cursor.Epoch == first.Cursor.Epoch {
		t.Fatalf("%+v", r)
	}
}

// MaxAge trims on append, once a quarter more has gathered.
func TestMaxAgeTrims(t *testing.T) {
	var c clock
	d := open(t, Options{now: c.now})
	for i := range 20 {
		r := add(t, d, &storage.Append{Log: "e", ID: fmt.Sprint(i), Data: []byte("x"), MaxAge: 10 * time.Hour})
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		c.advance(time.Hour)
	}
	if n := len(readAll(t, d, "e")); n != 9 {
		t.Fatalf("%d entries of 20 are answered", n)
	}
	trimmed := 0
	err := d.file.Load().db.View(func(tx *bbolt.Tx) error {
		return logBucket(tx, "e").ForEach(func(k, v []byte) error {
			if len(k) == 8 && v[0] == kindTrimmed {
				trimmed++
			}
			return nil
		})
	})
	if err != nil || trimmed < 5 || trimmed > 11 {
		t.Fatalf("%d entries are trimmed, %v", trimmed, err)
	}
}

func TestClockBack(t *testing.T) {
	var c clock
	log, logged := observed()
	d := open(t, Options{now: c.now, Logger: log})
	first := mustAdd(t, d, "e", "a")
	c.advance(-time.Hour)
	for i := range int64(3) {
		next := mustAdd(t, d, "e", fmt.Sprint("b", i))
		if next.Epoch != first.Epoch || next.Pos.Micros != first.Pos.Micros+i+1 {
			t.Fatalf("cursor is %s, the first was %s", next, first)
		}
	}
	if n := logged.FilterLevelExact(zapcore.WarnLevel).Len(); n != 1 {
		t.Fatalf("%d warnings", n)
	}
}

// Records beyond the window of ids are removed, and the memory of ids is bound.
func TestDedupWindowIsBounded(t *testing.T) {
	d := open(t, Options{})
	for i := range 2 * storage.DedupWindow / 500 {
		ops := make([]storage.Op, 500)
		for j := range ops {
			ops[j] = &storage.Append{Log: "e", ID: fmt.Sprint(i, "-", j), MaxLen: 10}
		}
		if _, err := d.Apply(t.Context(), ops); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	err := d.file.Load().db.View(func(tx *bbolt.Tx) error {
		return logBucket(tx, "e").ForEach(func([]byte, []byte) error { n++; return nil })
	})
	if err != nil || n < storage.DedupWindow || n > storage.DedupWindow*5/4+1 {
		t.Fatalf("%d records, %v", n, err)
	}
}
