package storagetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/actionflows/lifeline/storage"
)

var readTests = []test{
	{"an unknown log is empty", unknownLog},
	{"after a cursor", readAfter},
	{"before a cursor", readBefore},
	{"the tail", readTail},
	{"Limit has a default and a maximum", readLimit},
	{"pages forward to the end", pageForward},
	{"pages backward to the beginning", pageBackward},
	{"pages under concurrent appends miss and double nothing", pageConcurrent},
	{"who cuts times to milliseconds misses nothing of a burst", readCutShort},
	{"each entry's cursor stands behind it", entryCursors},
}

func unknownLog(e *env) {
	c := storage.MicrosCursor(1)
	for _, q := range []storage.LogQuery{{}, {After: &c}, {Before: &c}} {
		page := e.read(q)
		if len(page.Entries) != 0 || page.HasMore || page.Gap || page.Degraded {
			e.Fatalf("an unknown log was answered %+v", page)
		}
	}
	// The cursor of an empty page is good for what comes next.
	c = e.read(storage.LogQuery{}).Cursor
	e.fill("e", 2)
	page := e.after(e.reparse(c.String()), 0)
	e.wantIDs(page.Entries, "e0", "e1")
	if page.Gap {
		e.Fatal("nothing was missed, the answer says so")
	}
}

func readAfter(e *env) {
	r := e.fill("e", 5)
	for i := range r {
		page := e.after(r[i].Cursor, 0)
		e.wantIDs(page.Entries, names("e", i+1, 5)...)
		if page.Gap || page.HasMore {
			e.Fatalf("after entry %d: gap %v, more %v", i, page.Gap, page.HasMore)
		}
		e.samePlace(page.Cursor, r[4].Cursor)
	}
	page := e.after(r[0].Cursor, 2)
	e.wantIDs(page.Entries, "e1", "e2")
	if !page.HasMore {
		e.Fatal("there is more")
	}
	e.samePlace(page.Cursor, r[2].Cursor)
	// Exactly as many as asked for: no more.
	if page := e.after(r[2].Cursor, 2); page.HasMore || len(page.Entries) != 2 {
		e.Fatalf("the last two: %q, more %v", ids(page.Entries), page.HasMore)
	}
}

func readBefore(e *env) {
	r := e.fill("e", 5)
	before := func(c storage.Cursor, limit int) storage.LogPage {
		return e.read(storage.LogQuery{Before: &c, Limit: limit})
	}
	page := before(r[3].Cursor, 0)
	e.wantIDs(page.Entries, "e0", "e1", "e2")
	if page.HasMore {
		e.Fatal("there is nothing before the first entry")
	}
	page = before(r[3].Cursor, 2)
	e.wantIDs(page.Entries, "e1", "e2")
	if !page.HasMore {
		e.Fatal("there is one more before")
	}
	if page := before(r[0].Cursor, 0); len(page.Entries) != 0 || page.HasMore {
		e.Fatalf("before the first: %q", ids(page.Entries))
	}
}

func readTail(e *env) {
	r := e.fill("e", 5)
	page := e.read(storage.LogQuery{Limit: 2})
	e.wantIDs(page.Entries, "e3", "e4")
	if !page.HasMore || page.Gap {
		e.Fatalf("more %v, gap %v", page.HasMore, page.Gap)
	}
	e.samePlace(page.Cursor, r[4].Cursor)
	if page := e.read(storage.LogQuery{Limit: 5}); page.HasMore || len(page.Entries) != 5 {
		e.Fatalf("all five: %q, more %v", ids(page.Entries), page.HasMore)
	}
}

func readLimit(e *env) {
	appends := make([]*storage.Append, storage.MaxPage+1)
	for i := range appends {
		appends[i] = e.entry(fmt.Sprint("e", i))
	}
	e.apply(appends...)
	for limit, want := range map[int]int{
		0: storage.DefaultPage, -1: storage.DefaultPage, 1: 1, 7: 7,
		storage.MaxPage: storage.MaxPage, storage.MaxPage + 1: storage.MaxPage, 1 << 30: storage.MaxPage,
	} {
		if page := e.after(storage.MicrosCursor(0), limit); len(page.Entries) != want || !page.HasMore {
			e.Errorf("forward, limit %d: %d entries, more %v", limit, len(page.Entries), page.HasMore)
		}
		if page := e.read(storage.LogQuery{Limit: limit}); len(page.Entries) != want || !page.HasMore {
			e.Errorf("tail, limit %d: %d entries, more %v", limit, len(page.Entries), page.HasMore)
		}
	}
}

func pageForward(e *env) {
	e.fill("e", 23)
	for _, limit := range []int{1, 5, 22, 23, 24} {
		e.wantIDs(e.rest(storage.MicrosCursor(0), limit), names("e", 0, 23)...)
	}
}

func pageBackward(e *env) {
	e.fill("e", 23)
	page := e.read(storage.LogQuery{Limit: 5})
	all := page.Entries
	for page.HasMore {
		before := storage.Cursor{Epoch: page.State.Epoch, Pos: page.Entries[0].Pos}
		page = e.read(storage.LogQuery{Before: &before, Limit: 5})
		all = append(slices.Clone(page.Entries), all...)
	}
	e.wantIDs(all, names("e", 0, 23)...)
}

func pageConcurrent(e *env) {
	const writers, each = 4, 60
	var wg sync.WaitGroup
	errs := make(chan error, writers)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				_, err := e.d.Apply(e.ctx, []storage.Op{e.entry(fmt.Sprintf("%d-%d", w, i))})
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	defer wg.Wait()
	seen := make(map[string]bool)
	next := make([]int, writers)
	c := storage.MicrosCursor(0)
	e.eventually("all entries were read", func() bool {
		page := e.after(e.reparse(c.String()), 7)
		c = page.Cursor
		if page.Gap {
			e.Fatal("a gap was reported where none is")
		}
		for _, entry := range page.Entries {
			var w, i int
			if _, err := fmt.Sscanf(entry.ID, "%d-%d", &w, &i); err != nil {
				e.Fatal(err)
			}
			if seen[entry.ID] || i != next[w] {
				e.Fatalf("read %s, expected %d-%d; seen before: %v", entry.ID, w, next[w], seen[entry.ID])
			}
			seen[entry.ID] = true
			next[w]++
		}
		select {
		case err := <-errs:
			e.Fatal(err)
		default:
		}
		return len(seen) == writers*each
	})
}

// readCutShort reads as a client does that knows only times, and those as
// JavaScript writes them.
func readCutShort(e *env) {
	const burst = 900
	store, session := &storage.Store{Driver: e.d}, e.log
	ops := make([]storage.Op, burst)
	for i := range ops {
		ops[i] = &storage.Append{Log: "e:" + session, ID: fmt.Sprint("e", i), Data: []byte("{}")}
	}
	e.do(ops...)
	since := "1970-01-01T00:00:00.000Z"
	seen := make(map[string]bool)
	for more := true; more; {
		c := e.reparse(since)
		page, err := store.ReadEvents(e.ctx, session, storage.LogQuery{After: &c, Limit: 10})
		if err != nil {
			e.Fatal(err)
		}
		if page.Gap {
			e.Fatal("a gap was reported where none is")
		}
		for _, entry := range page.Entries {
			seen[entry.ID] = true
		}
		whole, fraction, _ := strings.Cut(page.Cursor.Timestamp(), ".")
		last := since
		since, more = whole+"."+fraction[:3]+"Z", page.HasMore
		if more && since <= last {
			e.Fatalf("%d of %d events, and it does not go on after %s", len(seen), burst, last)
		}
	}
	if len(seen) != burst {
		e.Fatalf("%d of %d events", len(seen), burst)
	}
}

func entryCursors(e *env) {
	e.fill("e", 4)
	for i, entry := range e.all() {
		e.wantIDs(e.after(entry.Cursor, 0).Entries, names("e", i+1, 4)...)
		e.wantIDs(e.after(e.reparse(entry.Cursor.String()), 0).Entries, names("e", i+1, 4)...)
	}
}
