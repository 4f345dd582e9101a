package memory

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func add(t *testing.T, d *Driver, a *storage.Append) storage.Result {
	t.Helper()
	r, err := d.Apply(t.Context(), []storage.Op{a})
	if err != nil {
		t.Fatal(err)
	}
	return r[0]
}

func read(t *testing.T, d *Driver, log string, after storage.Cursor) storage.LogPage {
	t.Helper()
	page, err := d.ReadLog(t.Context(), log, storage.LogQuery{After: &after, Limit: storage.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// kept is how many entries of a log the driver holds, answered or not.
func kept(d *Driver, log string) int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.logs[log].entries)
}

// believed is how many bytes the driver believes to hold.
func believed(d *Driver) int64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.size
}

// size counts them.
func size(d *Driver) (n int64) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, l := range d.logs {
		for _, e := range l.entries {
			n += int64(len(e.ID)+len(e.Data)) + entryOverhead - int64(len(e.ID))
		}
		for _, generation := range []map[string]storage.LogEntry{l.ids.young, l.ids.old} {
			for id := range generation {
				n += int64(len(id)) + idOverhead
			}
		}
	}
	return n
}

func TestMaxSize(t *testing.T) {
	d := New(Options{MaxSize: 100_000})
	defer d.Close()
	data := bytes.Repeat([]byte("x"), 1000)
	first := add(t, d, &storage.Append{Log: "old", ID: "first", Data: data}).Cursor
	var middle storage.Cursor
	fill := func(log, prefix string, n int) {
		t.Helper()
		for i := range n {
			r := add(t, d, &storage.Append{Log: log, ID: fmt.Sprint(prefix, i), Data: data})
			if log == "middle" && middle.Epoch == 0 {
				middle = r.Cursor
			}
			if d.size > d.maxSize || d.size != size(d) {
				t.Fatalf("size is %d, counted %d", d.size, size(d))
			}
		}
	}
	fill("old", "", 30)
	fill("middle", "", 30)
	if page := read(t, d, "old", first); len(page.Entries) != 30 || page.Gap {
		t.Fatalf("old, before it is full: %d entries", len(page.Entries))
	}
	fill("new", "", 25)
	// "old" was written longest ago, so its history went as a whole.
	page := read(t, d, "old", first)
	if len(page.Entries) != 0 || !page.Gap || page.State.Epoch != first.Epoch || page.State.Head.Seq != 31 {
		t.Fatalf("old: %d entries, %+v", len(page.Entries), page.State)
	}
	if page := read(t, d, "middle", middle); page.Gap || page.State.First.Seq != 1 {
		t.Fatalf("middle: %+v", page.State)
	}
	// Its state is still there: the log goes on.
	if r := add(t, d, &storage.Append{Log: "old", ID: "next"}); !r.Exists || r.Cursor.Pos.Seq != 32 {
		t.Fatalf("%+v", r)
	}
	// One log alone loses its own beginning, never the newest entry.
	fill("middle", "more", 300)
	page = read(t, d, "middle", middle)
	n := len(page.Entries)
	if n < 30 || page.Entries[n-1].ID != "more299" || !page.Gap || d.size > d.maxSize || d.size != size(d) {
		t.Fatalf("middle: %d entries, size %d of %d", n, d.size, d.maxSize)
	}
}

func TestIDsAreBounded(t *testing.T) {
	d := New(Options{MaxSize: 200_000})
	defer d.Close()
	for i := range 10_000 {
		add(t, d, &storage.Append{Log: "e", ID: fmt.Sprint(i), MaxLen: 3})
		if d.size > d.maxSize {
			t.Fatalf("size is %d", d.size)
		}
	}
	if d.size != size(d) {
		t.Fatalf("size is %d, counted %d", d.size, size(d))
	}
}

func TestDedupGenerations(t *testing.T) {
	d := New(Options{})
	defer d.Close()
	for i := range 3 * storage.DedupWindow {
		add(t, d, &storage.Append{Log: "e", ID: fmt.Sprint(i), MaxLen: 3})
	}
	l := d.logs["e"]
	if n := len(l.ids.young) + len(l.ids.old); n < storage.DedupWindow || n > 2*storage.DedupWindow {
		t.Fatalf("%d ids are remembered", n)
	}
	if d.size != size(d) {
		t.Fatalf("size is %d, counted %d", d.size, size(d))
	}
}

func TestTooLarge(t *testing.T) {
	d := New(Options{MaxSize: 1000})
	defer d.Close()
	if r := add(t, d, &storage.Append{Log: "e", ID: "a", Data: make([]byte, 1000)}); !errors.Is(r.Err, storage.ErrPoison) {
		t.Fatalf("%+v", r)
	}
	if r := add(t, d, &storage.Append{Log: "e", ID: "a", Data: make([]byte, 100)}); r.Err != nil || r.Exists {
		t.Fatalf("%+v", r)
	}
}

func TestMaxLogs(t *testing.T) {
	d := New(Options{MaxLogs: 3})
	defer d.Close()
	first := make(map[string]storage.Cursor)
	for _, log := range []string{"a", "b", "c", "a", "d"} { // "b" was written longest ago
		r := add(t, d, &storage.Append{Log: log, ID: storage.NewEpoch().String()})
		if _, ok := first[log]; !ok {
			first[log] = r.Cursor
		}
	}
	for log, known := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		page := read(t, d, log, first[log])
		if (page.State.Epoch != 0) != known || page.Gap == known {
			t.Errorf("%s: %+v, gap %v", log, page.State, page.Gap)
		}
	}
	if r := add(t, d, &storage.Append{Log: "b", ID: "new"}); r.Exists || r.Cursor.Epoch == first["b"].Epoch {
		t.Fatalf("%+v", r)
	}
	if len(d.logs) != 3 || d.full.Len()+d.empty.Len() != 3 {
		t.Fatalf("%d logs, %d and %d in order", len(d.logs), d.full.Len(), d.empty.Len())
	}
}

func TestMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{})
		defer d.Close()
		const age = time.Hour
		aged := func(id string) storage.Result {
			return add(t, d, &storage.Append{Log: "e", ID: id, Data: []byte("x"), MaxAge: age})
		}
		first := aged("a").Cursor
		add(t, d, &storage.Append{Log: "ageless", ID: "a"})
		time.Sleep(age / 2)
		aged("b")
		time.Sleep(age/2 + time.Second)
		// Not answered, though nothing was appended since.
		if page := read(t, d, "e", storage.MicrosCursor(0)); len(page.Entries) != 1 || page.Entries[0].ID != "b" {
			t.Fatalf("entries are %+v", page.Entries)
		}
		aged("c") // trims
		if n := kept(d, "e"); n != 2 {
			t.Fatalf("%d entries are kept", n)
		}
		// The sweeper takes what is idle: first the entries…
		time.Sleep(age + 2*sweepInterval)
		synctest.Wait()
		if n := kept(d, "e"); n != 0 || believed(d) != size(d) {
			t.Fatalf("%d entries are kept, size %d, counted %d", n, believed(d), size(d))
		}
		if r := aged("a"); !r.Duplicate {
			t.Fatalf("%+v", r)
		}
		if page := read(t, d, "e", first); !page.Gap {
			t.Fatal("the reader was not told")
		}
		// …and a day after the last write the log.
		time.Sleep(storage.DedupAge + 2*sweepInterval)
		synctest.Wait()
		d.mu.RLock()
		n, ageless := len(d.logs), d.logs["ageless"]
		d.mu.RUnlock()
		if n != 1 || ageless == nil {
			t.Fatalf("%d logs are known", n)
		}
	})
}

func TestConcurrent(t *testing.T) {
	d := New(Options{MaxSize: 1 << 20, MaxLogs: 5})
	defer d.Close()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 500 {
				log := fmt.Sprint("e", (w+i)%10)
				_, err := d.Apply(t.Context(), []storage.Op{&storage.Append{Log: log, ID: fmt.Sprint(w, "-", i), Data: make([]byte, 2000)}})
				if err != nil {
					t.Error(err)
				}
				if _, err := d.ReadLog(t.Context(), log, storage.LogQuery{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if believed(d) != size(d) || d.size > d.maxSize || len(d.logs) > 5 {
		t.Fatalf("size %d, counted %d, %d logs", d.size, size(d), len(d.logs))
	}
}
