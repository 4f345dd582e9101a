package storagetest

import (
	"strings"
	"time"

	"github.com/actionflows/lifeline/storage"
)

var cursorTests = []test{
	{"a timestamp sent back verbatim is as good as the cursor", timestampVerbatim},
	{"a timestamp cut short may repeat entries and loses none", timestampCut},
	{"a time in the past answers everything, one in the future nothing", timestampFar},
	{"a cursor without epoch counts as the current one", noEpoch},
	{"a cursor of another epoch is answered with everything and Gap", foreignEpoch},
	{"a cursor ahead of the head is answered with everything and Gap", aheadOfHead},
	{"a cursor of a log that is not known any more says Gap", unknownEpoch},
}

func timestampVerbatim(e *env) {
	r := e.fill("e", 5)
	for i := range r {
		page := e.after(e.reparse(r[i].Cursor.Timestamp()), 0)
		e.wantIDs(page.Entries, names("e", i+1, 5)...)
		if page.Gap {
			e.Fatal("nothing is missing")
		}
		e.samePlace(page.Cursor, r[4].Cursor)
	}
	// A client that knows timestamps only, page by page.
	var got []storage.LogEntry
	c := storage.MicrosCursor(0)
	for more := true; more; {
		page := e.after(c, 2)
		got = append(got, page.Entries...)
		c, more = e.reparse(page.Cursor.Timestamp()), page.HasMore
	}
	e.wantIDs(got, names("e", 0, 5)...)
}

func timestampCut(e *env) {
	r := e.fill("e", 8)
	for i := range r {
		full := r[i].Cursor.Timestamp()
		dot := strings.IndexByte(full, '.')
		for digits := range 6 {
			cut := full[:dot]
			if digits > 0 {
				cut = full[:dot+1+digits]
			}
			got := ids(e.after(e.reparse(cut+"Z"), 0).Entries)
			want := names("e", i+1, 8)
			if len(got) < len(want) {
				e.Fatalf("after %sZ: %q, want at least %q", cut, got, want)
			}
		}
	}
}

func timestampFar(e *env) {
	r := e.fill("e", 3)
	head := r[2].Cursor
	past := e.reparse(head.Pos.Time().Add(-time.Hour).Format(time.RFC3339))
	e.wantIDs(e.after(past, 0).Entries, names("e", 0, 3)...)
	future := e.reparse(head.Pos.Time().Add(time.Hour).Format(time.RFC3339))
	page := e.after(future, 0)
	if len(page.Entries) != 0 || page.Gap {
		e.Fatalf("a time in the future was answered %q, gap %v", ids(page.Entries), page.Gap)
	}
	// It was clamped to the head: what comes now is not skipped.
	e.samePlace(page.Cursor, head)
	e.apply(e.entry("e3"))
	e.wantIDs(e.after(page.Cursor, 0).Entries, "e3")
}

func noEpoch(e *env) {
	r := e.fill("e", 3)
	page := e.after(storage.Cursor{Pos: r[0].Cursor.Pos}, 0)
	e.wantIDs(page.Entries, "e1", "e2")
	if page.Gap {
		e.Fatal("nothing is missing")
	}
}

func foreignEpoch(e *env) {
	r := e.fill("e", 3)
	foreign := r[1].Cursor
	foreign.Epoch ^= 1
	page := e.after(foreign, 0)
	e.wantIDs(page.Entries, "e0", "e1", "e2")
	if !page.Gap {
		e.Fatal("the reader was not told")
	}
	e.samePlace(page.Cursor, r[2].Cursor)
	// Page by page too, and told once.
	page = e.after(foreign, 2)
	if !page.Gap || !page.HasMore {
		e.Fatalf("first page: gap %v, more %v", page.Gap, page.HasMore)
	}
	page = e.after(page.Cursor, 2)
	e.wantIDs(page.Entries, "e2")
	if page.Gap {
		e.Fatal("the second page reports the gap again")
	}
}

func aheadOfHead(e *env) {
	r := e.fill("e", 3)
	ahead := r[2].Cursor
	ahead.Pos.Micros += time.Minute.Microseconds()
	ahead.Pos.Seq += 5
	page := e.after(ahead, 0)
	e.wantIDs(page.Entries, "e0", "e1", "e2")
	if !page.Gap {
		e.Fatal("the reader was not told")
	}
	e.samePlace(page.Cursor, r[2].Cursor)
}

func unknownEpoch(e *env) {
	c := storage.Cursor{Epoch: storage.NewEpoch(), Pos: storage.Position{Micros: 5, Seq: 5}}
	if page := e.after(c, 0); !page.Gap || len(page.Entries) != 0 {
		e.Fatalf("answer is %+v", page)
	}
}
