package storagetest

import "github.com/actionflows/lifeline/storage"

var partsTests = []test{
	{"entries that a part covers are left out", partsSkip},
	{"a part is dropped when its entry was passed", partsDropped},
	{"a part whose entry is not there yet stays", partsStay},
	{"a timestamp carries parts too", partsTimestamp},
	{"parts outlive a change of the epoch", partsEpoch},
}

// pending is a reader who has passed "a" and seen p's 1 and 2 while they were
// pending; then these arrived, with another entry before and one behind.
func (e *env) pending(p storage.Producer) storage.Cursor {
	e.Helper()
	c := e.apply(e.entry("a"))[0].Cursor
	e.apply(e.entry("b"), e.linked("p1", p, 1), e.linked("p2", p, 2), e.linked("p3", p, 3), e.entry("z"))
	return c.With(storage.Link{Producer: p, Number: 1}).With(storage.Link{Producer: p, Number: 2})
}

func partsSkip(e *env) {
	p := storage.NewProducer()
	c := e.pending(p)
	page := e.after(e.reparse(c.String()), 0)
	e.wantIDs(page.Entries, "b", "p3", "z")
	if page.Gap || len(page.Cursor.Parts) != 0 {
		e.Fatalf("gap %v, cursor %s", page.Gap, page.Cursor)
	}
	e.wantIDs(e.rest(c, 1), "b", "p3", "z")
}

func partsDropped(e *env) {
	p := storage.NewProducer()
	page := e.after(e.pending(p), 1)
	e.wantIDs(page.Entries, "b")
	if len(page.Cursor.Parts) != 1 {
		e.Fatalf("the part is gone before its entry was passed: %s", page.Cursor)
	}
	page = e.after(page.Cursor, 2) // p1 and p2, both seen
	if len(page.Entries) != 0 || !page.HasMore || len(page.Cursor.Parts) != 0 {
		e.Fatalf("entries %q, more %v, cursor %s", ids(page.Entries), page.HasMore, page.Cursor)
	}
	e.wantIDs(e.after(page.Cursor, 0).Entries, "p3", "z")
}

func partsStay(e *env) {
	p := storage.NewProducer()
	c := e.apply(e.entry("a"))[0].Cursor.With(storage.Link{Producer: p, Number: 1})
	page := e.after(c, 0)
	if len(page.Entries) != 0 || len(page.Cursor.Parts) != 1 {
		e.Fatalf("entries %q, cursor %s", ids(page.Entries), page.Cursor)
	}
	e.apply(e.linked("p1", p, 1), e.linked("p2", p, 2))
	page = e.after(page.Cursor, 0)
	e.wantIDs(page.Entries, "p2")
	if len(page.Cursor.Parts) != 0 {
		e.Fatalf("cursor is %s", page.Cursor)
	}
}

func partsTimestamp(e *env) {
	c := e.pending(storage.NewProducer())
	e.wantIDs(e.after(e.reparse(c.Timestamp()), 0).Entries, "b", "p3", "z")
}

func partsEpoch(e *env) {
	c := e.pending(storage.NewProducer())
	c.Epoch ^= 1
	page := e.after(c, 0)
	e.wantIDs(page.Entries, "a", "b", "p3", "z")
	if !page.Gap {
		e.Fatal("the reader was not told")
	}
}
