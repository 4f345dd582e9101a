package disk

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
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
	err := d.file.Load().DB.View(func(tx *bbolt.Tx) error {
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
	err := d.file.Load().DB.View(func(tx *bbolt.Tx) error {
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
	err := d.file.Load().DB.View(func(tx *bbolt.Tx) error {
		return logBucket(tx, "e").ForEach(func([]byte, []byte) error { n++; return nil })
	})
	if err != nil || n < storage.DedupWindow || n > storage.DedupWindow*5/4+1 {
		t.Fatalf("%d records, %v", n, err)
	}
}

// Documents are not removed for others: when nothing but them is left, what would
// bring more is refused until something is deleted, and everything else goes on.
func TestMaxSizeRefuses(t *testing.T) {
	const size = 2 << 20
	log, logged := observed()
	d := open(t, Options{MaxSize: size, Logger: log})
	first := mustAdd(t, d, "history", "a")
	body := bytes.Repeat([]byte("x"), 32<<10)
	n := 0
	eventually(t, "the file is full", func() bool {
		r := add(t, d, &storage.Put{Collection: "c", ID: fmt.Sprintf("%04d", n), Body: body})
		if r.Err == nil {
			n++
			return false
		}
		wantUnavailable(t, r.Err, "max_size is reached")
		return true
	})
	if page, err := d.ReadLog(t.Context(), "history", storage.LogQuery{After: &first}); err != nil || len(page.Entries) != 0 {
		t.Fatalf("history was not removed first: %+v, %v", page, err)
	}
	for _, op := range []storage.Op{
		&storage.Append{Log: "e", ID: "a"}, &storage.Push{Queue: "q", ID: "a"},
		&storage.Add{Collection: "c", Member: "a", Deltas: map[string]int64{"n": 1}},
	} {
		wantUnavailable(t, add(t, d, op).Err, "max_size is reached")
	}
	if err := d.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := d.Scan(t.Context(), "c", "", storage.ScanQuery{Limit: storage.MaxPage})
	if err != nil || len(found) != n {
		t.Fatalf("%d documents of %d, %v", len(found), n, err)
	}
	// What came while the janitor was at work exceeds the bound, so how much has to go
	// is not known beforehand.
	deleted := 0
	eventually(t, "there is room again", func() bool {
		if deleted < n/2 {
			must(t, d, &storage.Del{Collection: "c", ID: fmt.Sprintf("%04d", deleted)})
			deleted++
		}
		return add(t, d, &storage.Put{Collection: "c", ID: "new", Body: body}).Err == nil
	})
	if n := logged.FilterMessageSnippet("no history is left").Len(); n != 1 {
		t.Fatalf("it was said %d times", n)
	}
}

func TestTooLong(t *testing.T) {
	d := open(t, Options{})
	half := strings.Repeat("x", maxNames/2)
	for _, op := range []storage.Op{
		&storage.Append{Log: half, ID: half},
		&storage.Put{Collection: half, ID: half},
		&storage.Put{Collection: "c", ID: "a", Indexes: map[string]string{half[1:]: half[1:]}, Within: half[1:], MaxMembers: 1},
		&storage.Del{Collection: half, ID: half},
		&storage.Push{Queue: half + half, ID: half + half},
		&storage.Push{Queue: half, ID: half, Remaining: time.Hour},
		&storage.Add{Collection: half + half, Scope: half, Member: half, Deltas: map[string]int64{"n": 1}, RankBy: "n"},
		&storage.Drop{Scope: half + half},
	} {
		must(t, d, op)
	}
	longer := half + half + "x"
	for _, op := range []storage.Op{
		&storage.Append{Log: longer, ID: "a"}, &storage.Append{Log: "e", ID: longer},
		&storage.Put{Collection: half + "x", ID: half},
		&storage.Put{Collection: "c", ID: "a", Indexes: map[string]string{half: half}},
		&storage.Push{Queue: "q", ID: longer},
		&storage.Add{Collection: "c", Scope: half + "x", Member: half},
		&storage.Drop{Scope: longer},
	} {
		wantPoison(t, fmt.Sprintf("%T", op), add(t, d, op).Err)
	}
	// Reading such a name finds nothing.
	if _, err := d.Get(t.Context(), longer, longer); !errors.Is(err, storage.ErrNotFound) {
		t.Fatal(err)
	}
}

// A bound that was lowered is kept in steps that no transaction is too long for.
func TestBoundLowered(t *testing.T) {
	d := open(t, Options{})
	ops := make([]storage.Op, maxTrim+100)
	for i := range ops {
		ops[i] = &storage.Put{Collection: "c", ID: fmt.Sprint(i), Rank: int64(i)}
	}
	if _, err := d.Apply(t.Context(), ops); err != nil {
		t.Fatal(err)
	}
	left := func() (n int) {
		err := d.view(t.Context(), func(tx *bbolt.Tx) error {
			n = count(sub(tx, bucketDocuments, "c"), append(key(keyCount), document{}.group()...))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	must(t, d, &storage.Put{Collection: "c", ID: "a", MaxMembers: 10})
	if n := left(); n != 101 {
		t.Fatalf("%d documents after one step", n)
	}
	must(t, d, &storage.Put{Collection: "c", ID: "b", MaxMembers: 10})
	if n := left(); n != 10 {
		t.Fatalf("%d documents after two", n)
	}
}
