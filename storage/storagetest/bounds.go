package storagetest

import (
	"fmt"
	"time"

	"github.com/actionflows/lifeline/storage"
)

var boundsTests = []test{
	{"MaxLen keeps between once and 1.25 times as many", maxLen},
	{"MaxLen of one", maxLenOne},
	{"MaxLen in one large batch", maxLenBatch},
	{"without MaxLen nothing is trimmed", unbounded},
	{"a reader behind what was trimmed is told", trimmedGap},
	{"MaxAge hides what is older", maxAge},
}

func (e *env) bounded(id string, maxLen int) *storage.Append {
	a := e.entry(id)
	a.MaxLen = maxLen
	return a
}

func maxLen(e *env) {
	const bound = 40
	for i := range 4 * bound {
		e.apply(e.bounded(fmt.Sprint("e", i), bound))
		if i%7 != 0 {
			continue
		}
		kept := e.all()
		if n := len(kept); n < min(i+1, bound) || n > bound+bound/4 {
			e.Fatalf("%d entries are kept after %d, with a bound of %d", n, i+1, bound)
		}
		e.wantIDs(kept, names("e", i+1-len(kept), i+1)...)
	}
}

func maxLenOne(e *env) {
	for i := range 5 {
		e.apply(e.bounded(fmt.Sprint("e", i), 1))
		e.wantIDs(e.all(), fmt.Sprint("e", i))
	}
}

func maxLenBatch(e *env) {
	const bound = 8
	appends := make([]*storage.Append, 10*bound)
	for i := range appends {
		appends[i] = e.bounded(fmt.Sprint("e", i), bound)
	}
	e.apply(appends...)
	kept := e.all()
	if n := len(kept); n < bound || n > bound+bound/4 {
		e.Fatalf("%d entries are kept, with a bound of %d", n, bound)
	}
	e.wantIDs(kept, names("e", 10*bound-len(kept), 10*bound)...)
}

func unbounded(e *env) {
	const n = 300
	appends := make([]*storage.Append, n)
	for i := range appends {
		appends[i] = e.entry(fmt.Sprint("e", i))
	}
	e.apply(appends...)
	e.wantIDs(e.all(), names("e", 0, n)...)
}

func trimmedGap(e *env) {
	const bound = 4
	var cursors []storage.Cursor
	for i := range 20 {
		cursors = append(cursors, e.apply(e.bounded(fmt.Sprint("e", i), bound))[0].Cursor)
	}
	page := e.after(cursors[0], 0)
	if !page.Gap {
		e.Fatal("the reader was not told")
	}
	first := len(cursors) - len(page.Entries)
	e.wantIDs(page.Entries, names("e", first, len(cursors))...)
	if page.State.First != cursors[first].Pos || page.State.Head != cursors[19].Pos {
		e.Fatalf("state is %+v", page.State)
	}
	// Directly before the first that is kept nothing is missing.
	for i := first - 1; i < len(cursors); i++ {
		if page := e.after(cursors[i], 0); page.Gap {
			e.Fatalf("after entry %d, with %d kept first: a gap", i, first)
		}
	}
	if page := e.after(cursors[first-2], 0); !page.Gap {
		e.Fatalf("entry %d is missing, and the reader was not told", first-1)
	}
}

func maxAge(e *env) {
	const age = 200 * time.Millisecond
	aged := func(id string) storage.Cursor {
		a := e.entry(id)
		a.MaxAge = age
		return e.apply(a)[0].Cursor
	}
	before := aged("a0")
	aged("a1")
	e.eventually("old entries are hidden", func() bool { return len(e.all()) == 0 })
	page := e.after(before, 0)
	if len(page.Entries) != 0 || !page.Gap {
		e.Fatalf("a reader of what is gone was answered %q, gap %v", ids(page.Entries), page.Gap)
	}
	long := e.entry("b")
	long.MaxAge = time.Hour
	e.apply(long)
	all := ids(e.all())
	if n := len(all); n == 0 || all[n-1] != "b" {
		e.Fatalf("entries are %q", all)
	}
}
