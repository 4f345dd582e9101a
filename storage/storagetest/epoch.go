package storagetest

import (
	"fmt"

	"github.com/actionflows/lifeline/storage"
)

var epochTests = []test{
	{"the epoch stays while the log lives", epochStays},
	{"an append under the log's epoch is taken", epochCurrent},
	{"an append under an epoch that was not dropped is taken", epochOther},
	{"a duplicate is one under any epoch", epochDuplicate},
	{"an unknown log accepts any epoch", epochUnknown},
	{"Rebase begins a new epoch", rebase},
	{"a Rebase applied again changes nothing", rebaseAgain},
	{"gaps are seen across a new epoch", rebaseTrimmed},
}

func (e *env) under(id string, epoch storage.Epoch) *storage.Append {
	a := e.entry(id)
	a.Epoch = epoch
	return a
}

func epochStays(e *env) {
	r := e.fill("e", 5)
	for _, r := range r {
		if r.Cursor.Epoch != e.read(storage.LogQuery{}).State.Epoch {
			e.Fatalf("epochs differ: %s", r.Cursor)
		}
	}
}

func epochCurrent(e *env) {
	epoch := e.apply(e.entry("a"))[0].Cursor.Epoch
	if r := e.apply(e.under("b", epoch))[0]; r.Cursor.Epoch != epoch {
		e.Fatalf("epoch is %s, was %s", r.Cursor.Epoch, epoch)
	}
}

func epochOther(e *env) {
	p := storage.NewProducer()
	before, after := e.rebased(p)
	for i, epoch := range []storage.Epoch{before.Cursor.Epoch, storage.NewEpoch(), 0} {
		if r := e.apply(e.under(fmt.Sprint("e", i), epoch))[0]; r.Cursor.Epoch != after.Cursor.Epoch {
			e.Fatalf("epoch is %s, was %s", r.Cursor.Epoch, after.Cursor.Epoch)
		}
	}
	e.wantIDs(e.all(), "a1", "a2", "a10", "e0", "e1", "e2")
}

func epochDuplicate(e *env) {
	first := e.apply(e.entry("a"))[0]
	r := e.apply(e.under("a", first.Cursor.Epoch^1))[0]
	if !r.Duplicate {
		e.Fatalf("answer is %+v", r)
	}
	e.samePlace(r.Cursor, first.Cursor)
}

func epochUnknown(e *env) {
	e.apply(e.under("a", storage.NewEpoch()))
	e.wantIDs(e.all(), "a")
}

// rebased fills a log with "a" 1 and 2 and re-bases it at 10.
func (e *env) rebased(p storage.Producer) (before, after storage.Result) {
	e.Helper()
	r := e.apply(e.linked("a1", p, 1), e.linked("a2", p, 2))
	again := e.linked("a10", p, 10)
	again.Rebase = true
	return r[1], e.apply(again)[0]
}

func rebase(e *env) {
	p := storage.NewProducer()
	before, after := e.rebased(p)
	if after.Cursor.Epoch == before.Cursor.Epoch || after.Cursor.Epoch == 0 {
		e.Fatalf("epoch is %s, was %s", after.Cursor.Epoch, before.Cursor.Epoch)
	}
	if after.Cursor.Pos.Micros <= before.Cursor.Pos.Micros {
		e.Fatalf("position %s follows %s", after.Cursor.Pos, before.Cursor.Pos)
	}
	e.apply(e.linked("a11", p, 11))
	e.wantErr(e.linked("a13", p, 13), storage.ErrGap)
	page := e.after(before.Cursor, 0)
	e.wantIDs(page.Entries, "a1", "a2", "a10", "a11")
	if !page.Gap {
		e.Fatal("a reader of the old epoch was not told")
	}
	page = e.after(after.Cursor, 0)
	e.wantIDs(page.Entries, "a11")
	if page.Gap {
		e.Fatal("a reader of the new epoch was told of a gap")
	}
}

func rebaseAgain(e *env) {
	p := storage.NewProducer()
	_, after := e.rebased(p)
	again := e.linked("a10", p, 10)
	again.Rebase = true
	r := e.apply(again)[0]
	if !r.Duplicate {
		e.Fatalf("answer is %+v", r)
	}
	e.samePlace(r.Cursor, after.Cursor)
}

// rebaseTrimmed: a reader who stands at an entry of the old epoch, read under
// the new one, must learn that entries behind it were trimmed.
func rebaseTrimmed(e *env) {
	const n = 8
	e.fill("e", n)
	again := e.linked("a10", storage.NewProducer(), 10)
	again.Rebase = true
	e.apply(again)
	page := e.after(storage.MicrosCursor(0), n)
	e.wantIDs(page.Entries, names("e", 0, n)...)
	if page := e.after(page.Cursor, 0); page.Gap {
		e.Fatal("nothing is missing yet")
	}
	for i := range 2 {
		e.apply(e.bounded(fmt.Sprint("b", i), 1))
	}
	next := e.after(page.Cursor, 0)
	e.wantIDs(next.Entries, "b1")
	if !next.Gap {
		e.Fatalf("entries between %s and %s are missing, and the reader was not told: "+
			"sequence numbers must go on in the new epoch", page.Cursor, next.Entries[0].Pos)
	}
}
