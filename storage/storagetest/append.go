package storagetest

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

var appendTests = []test{
	{"one entry comes back as it was given", oneEntry},
	{"positions are unique, increasing and dense over concurrent appends", concurrentAppends},
	{"one Apply takes several logs", severalLogs},
	{"a batch on one log keeps its order", batchOrder},
	{"the position is above Floor", floor},
	{"IfExists writes to a known log only", ifExists},
	{"an entry of 1 MiB", bigEntry},
	{"an entry without data", emptyEntry},
	{"odd names", oddLogs},
	{"no operations", func(e *env) { e.apply() }},
}

func oneEntry(e *env) {
	r := e.apply(e.entry("a"))[0]
	if r.Duplicate || r.Exists || r.Pending {
		e.Fatalf("result of a first append is %+v", r)
	}
	if r.Cursor.Epoch == 0 || r.Cursor.Pos.Seq != 1 || r.Cursor.Pos.Micros <= 0 {
		e.Fatalf("cursor of a first append is %s", r.Cursor)
	}
	if !r.ReceivedAt.Equal(r.Cursor.Pos.Time()) {
		e.Fatalf("received at %v, position %v", r.ReceivedAt, r.Cursor.Pos.Time())
	}
	if d := time.Since(r.ReceivedAt).Abs(); d > time.Minute {
		e.Fatalf("received %v away from now", d)
	}
	page := e.after(storage.MicrosCursor(0), 0)
	e.wantIDs(page.Entries, "a")
	got := page.Entries[0]
	if string(got.Data) != "data of a" || got.Pos != r.Cursor.Pos || got.Pending || !got.Received.Equal(r.ReceivedAt) {
		e.Fatalf("entry is %+v, result was %+v", got, r)
	}
	e.samePlace(got.Cursor, r.Cursor)
	e.samePlace(page.Cursor, r.Cursor)
	if s := page.State; s.Epoch != r.Cursor.Epoch || s.Head != got.Pos || s.First != got.Pos {
		e.Fatalf("state is %+v", s)
	}
	if r := e.apply(e.entry("b"))[0]; !r.Exists {
		e.Fatal("the second append says that the log did not exist")
	}
}

func concurrentAppends(e *env) {
	const writers, each = 8, 40
	var wg sync.WaitGroup
	results := make([][]storage.Result, writers)
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				a := e.entry(fmt.Sprintf("%d-%d", w, i))
				r, err := e.d.Apply(e.ctx, []storage.Op{a})
				if err != nil {
					errs[w] = err
					return
				}
				results[w] = append(results[w], r[0])
			}
		})
	}
	wg.Wait()
	entries := e.all()
	if len(entries) != writers*each {
		e.Fatalf("%d entries, want %d; errors %v", len(entries), writers*each, errs)
	}
	at := make(map[string]storage.Position)
	for i, entry := range entries {
		at[entry.ID] = entry.Pos
		if entry.Pos.Seq != uint64(i)+1 {
			e.Fatalf("entry %d has sequence number %d", i, entry.Pos.Seq)
		}
		if i > 0 && entry.Pos.Micros <= entries[i-1].Pos.Micros {
			e.Fatalf("position %s follows %s", entry.Pos, entries[i-1].Pos)
		}
	}
	for w := range results {
		for i, r := range results[w] {
			id := fmt.Sprintf("%d-%d", w, i)
			if r.Err != nil || r.Cursor.Pos != at[id] {
				e.Fatalf("%s was answered %s, %v and read at %s", id, r.Cursor.Pos, r.Err, at[id])
			}
			if i > 0 && r.Cursor.Pos.Micros <= results[w][i-1].Cursor.Pos.Micros {
				e.Fatalf("writer %d: entry %d is not behind the one before", w, i)
			}
		}
	}
}

func severalLogs(e *env) {
	other := e.entry("b")
	other.Log += "-other"
	results := e.apply(e.entry("a"), other, e.entry("c"))
	if results[0].Cursor.Pos.Seq != 1 || results[1].Cursor.Pos.Seq != 1 || results[2].Cursor.Pos.Seq != 2 {
		e.Fatalf("results are %+v", results)
	}
	if results[0].Cursor.Epoch == results[1].Cursor.Epoch {
		e.Fatal("two logs have the same epoch")
	}
	e.wantIDs(e.all(), "a", "c")
	page, err := e.d.ReadLog(e.ctx, other.Log, storage.LogQuery{})
	if err != nil {
		e.Fatal(err)
	}
	e.wantIDs(page.Entries, "b")
}

func batchOrder(e *env) {
	want := names("e", 0, 100)
	appends := make([]*storage.Append, len(want))
	for i, id := range want {
		appends[i] = e.entry(id)
	}
	for i, r := range e.apply(appends...) {
		if r.Cursor.Pos.Seq != uint64(i)+1 {
			e.Fatalf("append %d has position %s", i, r.Cursor.Pos)
		}
	}
	e.wantIDs(e.all(), want...)
}

func floor(e *env) {
	first := e.apply(e.entry("a"))[0].Cursor.Pos
	b := e.entry("b")
	b.Floor = first.Micros + time.Hour.Microseconds()
	second := e.apply(b)[0].Cursor.Pos
	if second.Micros <= b.Floor || second.Seq != 2 {
		e.Fatalf("position %s, floor was %d", second, b.Floor)
	}
	c := e.entry("c")
	c.Floor = first.Micros
	if third := e.apply(c)[0].Cursor.Pos; third.Micros <= second.Micros {
		e.Fatalf("position %s follows %s", third, second)
	}
	e.wantIDs(e.all(), "a", "b", "c")
}

func ifExists(e *env) {
	a := e.entry("a")
	a.IfExists = true
	r := e.apply(a)[0]
	if r.Exists || r.Duplicate || r.Cursor.Pos != (storage.Position{}) {
		e.Fatalf("append to an unknown log was answered %+v", r)
	}
	if page := e.read(storage.LogQuery{}); len(page.Entries) != 0 || page.State.Epoch != 0 {
		e.Fatalf("the log has come to exist: %+v", page)
	}
	e.apply(e.entry("b"))
	if r := e.apply(a)[0]; !r.Exists || r.Cursor.Pos.Seq != 2 {
		e.Fatalf("append to a known log was answered %+v", r)
	}
	e.wantIDs(e.all(), "b", "a")
}

func bigEntry(e *env) {
	big := e.entry("big")
	big.Data = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	e.apply(e.entry("a"), big, e.entry("b"))
	entries := e.all()
	e.wantIDs(entries, "a", "big", "b")
	if !bytes.Equal(entries[1].Data, big.Data) {
		e.Fatal("the data came back different")
	}
}

func emptyEntry(e *env) {
	a := e.entry("a")
	a.Data = nil
	e.apply(a)
	entries := e.all()
	e.wantIDs(entries, "a")
	if len(entries[0].Data) != 0 {
		e.Fatalf("data is %q", entries[0].Data)
	}
}

func oddLogs(e *env) {
	for _, name := range odd {
		a := &storage.Append{Log: e.log + name, ID: name, Data: []byte(name)}
		if r := e.apply(a)[0]; r.Exists {
			e.Fatalf("log %q exists already", a.Log)
		}
		if r := e.apply(a)[0]; !r.Duplicate {
			e.Fatalf("id %q is not recognised", name)
		}
	}
	for _, name := range odd {
		page, err := e.d.ReadLog(e.ctx, e.log+name, storage.LogQuery{})
		if err != nil {
			e.Fatalf("read log %q: %v", name, err)
		}
		e.wantIDs(page.Entries, name)
		if string(page.Entries[0].Data) != name {
			e.Fatalf("data is %q, want %q", page.Entries[0].Data, name)
		}
	}
}
