package storagetest

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/actionflows/lifeline/storage"
)

var dedupTests = []test{
	{"a second append with the same id answers the first", sameID},
	{"the same id twice in one batch", sameIDInBatch},
	{"the same id from many callers at once", sameIDConcurrent},
	{"ids belong to their log", sameIDOtherLog},
	{"applying a batch again changes nothing", sameBatch},
	{"ids are remembered after their entries were trimmed", sameIDTrimmed},
	{"the last ids of the window are remembered", dedupWindow},
}

func sameID(e *env) {
	first := e.apply(e.entry("a"))[0]
	e.apply(e.entry("b"))
	again := e.entry("a")
	again.Data = []byte("something else")
	r := e.apply(again)[0]
	if !r.Duplicate || !r.Exists || !r.ReceivedAt.Equal(first.ReceivedAt) {
		e.Fatalf("the second append was answered %+v", r)
	}
	e.samePlace(r.Cursor, first.Cursor)
	entries := e.all()
	e.wantIDs(entries, "a", "b")
	if string(entries[0].Data) != "data of a" {
		e.Fatalf("the data is now %q", entries[0].Data)
	}
}

func sameIDInBatch(e *env) {
	results := e.apply(e.entry("a"), e.entry("b"), e.entry("a"))
	if results[0].Duplicate || results[1].Duplicate || !results[2].Duplicate {
		e.Fatalf("results are %+v", results)
	}
	e.samePlace(results[2].Cursor, results[0].Cursor)
	e.wantIDs(e.all(), "a", "b")
}

func sameIDConcurrent(e *env) {
	const callers, rounds = 8, 10
	for round := range rounds {
		var fresh atomic.Int32
		var wg sync.WaitGroup
		results := make([]storage.Result, callers)
		for c := range callers {
			wg.Go(func() {
				r, err := e.d.Apply(e.ctx, []storage.Op{e.entry(fmt.Sprint("id", round))})
				if err != nil {
					r = []storage.Result{{Err: err}}
				}
				results[c] = r[0]
				if !r[0].Duplicate {
					fresh.Add(1)
				}
			})
		}
		wg.Wait()
		if n := fresh.Load(); n != 1 {
			e.Fatalf("%d of %d callers were told that theirs was the first: %+v", n, callers, results)
		}
		for _, r := range results {
			e.samePlace(r.Cursor, results[0].Cursor)
		}
	}
	e.wantIDs(e.all(), names("id", 0, rounds)...)
}

func sameIDOtherLog(e *env) {
	other := e.entry("a")
	other.Log += "-other"
	for _, r := range e.apply(e.entry("a"), other) {
		if r.Duplicate {
			e.Fatalf("result is %+v", r)
		}
	}
}

func sameBatch(e *env) {
	batch := []*storage.Append{e.entry("a"), e.entry("b"), e.entry("c")}
	first := e.apply(batch...)
	second := e.apply(batch...)
	for i := range second {
		if !second[i].Duplicate {
			e.Fatalf("%q was taken twice", batch[i].ID)
		}
		e.samePlace(second[i].Cursor, first[i].Cursor)
	}
	// The part that is new is taken even so.
	mixed := e.apply(e.entry("c"), e.entry("d"), e.entry("a"))
	if !mixed[0].Duplicate || mixed[1].Duplicate || !mixed[2].Duplicate {
		e.Fatalf("results are %+v", mixed)
	}
	e.wantIDs(e.all(), "a", "b", "c", "d")
}

func sameIDTrimmed(e *env) {
	const maxLen = 4
	var first storage.Result
	for i := range 40 {
		a := e.entry(fmt.Sprint("e", i))
		a.MaxLen = maxLen
		if r := e.apply(a)[0]; i == 0 {
			first = r
		}
	}
	a := e.entry("e0")
	a.MaxLen = maxLen
	r := e.apply(a)[0]
	if !r.Duplicate {
		e.Fatal("the id of a trimmed entry was taken again")
	}
	e.samePlace(r.Cursor, first.Cursor)
}

func dedupWindow(e *env) {
	const batch = 500
	for from := 0; from < storage.DedupWindow; from += batch {
		appends := make([]*storage.Append, batch)
		for i := range appends {
			appends[i] = e.entry(fmt.Sprint("e", from+i))
			appends[i].MaxLen = 100
		}
		e.apply(appends...)
	}
	for _, i := range []int{0, 1, storage.DedupWindow / 2, storage.DedupWindow - 1} {
		a := e.entry(fmt.Sprint("e", i))
		a.MaxLen = 100
		if r := e.apply(a)[0]; !r.Duplicate || r.Cursor.Pos.Seq != uint64(i)+1 { //nolint:gosec // small
			e.Fatalf("id %d of %d was answered %+v", i, storage.DedupWindow, r)
		}
	}
}
