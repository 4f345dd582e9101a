package storagetest

import (
	"errors"

	"github.com/actionflows/lifeline/storage"
)

var dropTests = []test{
	{"what was dropped is read as unknown", dropRead},
	{"what is unknown may be dropped", dropUnknown},
	{"the queue goes, with what it remembers", dropQueue},
	{"positions and sequence numbers go on, in a new epoch", dropPositions},
	{"a cursor from before is answered with Gap", dropGap},
	{"ids from before are forgotten", dropIDs},
	{"a dropped log does not exist for IfExists", dropIfExists},
	{"a batch keeps its order around a Drop", dropOrder},
	{"other logs, queues and documents stay", dropOthers},
	{"odd names may be dropped", dropOdd},
}

var dropEpochTests = []test{
	{"an append for a dropped epoch is discarded alone", dropGone},
	{"its number counts as taken", dropLink},
	{"it does not bring the log back", dropStays},
	{"every dropped epoch is remembered", dropTwice},
	{"an epoch of a log that was not dropped is accepted", dropNotDropped},
	{"chains go on over a Drop", dropChain},
	{"a batch for a dropped epoch applied again answers the same", dropAgain},
}

func (e *env) drop() storage.Result {
	e.Helper()
	return e.one(&storage.Drop{Scope: e.log})
}

// unknown fails unless the log is read as an unknown one.
func (e *env) unknown() {
	e.Helper()
	c := storage.MicrosCursor(0)
	for _, q := range []storage.LogQuery{{}, {After: &c}} {
		page := e.read(q)
		if s := page.State; len(page.Entries) != 0 || page.HasMore || page.Gap || s.Epoch != 0 ||
			s.Head != (storage.Position{}) || s.First != (storage.Position{}) || len(s.Last) != 0 {
			e.Fatalf("answer is %+v", page)
		}
	}
}

func dropRead(e *env) {
	e.fill("e", 3)
	if r := e.drop(); !r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	e.unknown()
	if r := e.drop(); r.Exists {
		e.Fatalf("a second Drop was answered %+v", r)
	}
}

func dropUnknown(e *env) {
	if r := e.drop(); r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	e.unknown()
	if r := e.apply(e.entry("a"))[0]; r.Exists || r.Cursor.Pos.Seq != 1 {
		e.Fatalf("a first append was answered %+v", r)
	}
}

func dropQueue(e *env) {
	e.do(e.push("a"), e.push("b"))
	e.same("items", itemIDs(e.take(1)), []string{"a"})
	if r := e.drop(); !r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	e.takes()
	for _, id := range []string{"a", "b"} {
		e.fresh(e.push(id))
	}
	e.takes("a", "b")
}

func dropPositions(e *env) {
	before := e.fill("e", 3)[2].Cursor
	ahead := e.entry("ahead")
	ahead.Floor = before.Pos.Micros + 3_600_000_000
	before = e.apply(ahead)[0].Cursor
	e.drop()
	r := e.apply(e.entry("a"))[0]
	if r.Exists || r.Duplicate {
		e.Fatalf("the first append after a Drop was answered %+v", r)
	}
	if c := r.Cursor; c.Epoch == before.Epoch || c.Epoch == 0 || c.Pos.Seq != 5 || c.Pos.Micros <= before.Pos.Micros {
		e.Fatalf("the first cursor after the Drop is %s, the last before was %s", c, before)
	}
	e.wantIDs(e.all(), "a")
	if s := e.read(storage.LogQuery{}).State; s.First != r.Cursor.Pos || s.Head != r.Cursor.Pos || s.Epoch != r.Cursor.Epoch {
		e.Fatalf("state is %+v", s)
	}
}

func dropGap(e *env) {
	r := e.fill("e", 3)
	e.drop()
	for i := range r {
		if page := e.after(e.reparse(r[i].Cursor.String()), 0); !page.Gap || len(page.Entries) != 0 {
			e.Fatalf("after entry %d, dropped: %+v", i, page)
		}
	}
	e.apply(e.entry("a"), e.entry("b"))
	for i := range r {
		page := e.after(e.reparse(r[i].Cursor.String()), 0)
		e.wantIDs(page.Entries, "a", "b")
		if !page.Gap {
			e.Fatalf("after entry %d the reader was not told", i)
		}
	}
	page := e.after(r[0].Cursor, 1)
	if next := e.after(page.Cursor, 0); next.Gap || len(next.Entries) != 1 {
		e.Fatalf("a reader of the new epoch was answered %+v", next)
	}
}

func dropIDs(e *env) {
	e.apply(e.entry("a"), e.entry("b"))
	e.drop()
	if r := e.apply(e.entry("b"))[0]; r.Duplicate || r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	if r := e.apply(e.entry("a"))[0]; r.Duplicate || !r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	e.wantIDs(e.all(), "b", "a")
}

func dropIfExists(e *env) {
	e.fill("e", 2)
	e.drop()
	a := e.entry("a")
	a.IfExists = true
	if r := e.apply(a)[0]; r.Exists || r.Cursor.Pos != (storage.Position{}) {
		e.Fatalf("answer is %+v", r)
	}
	e.unknown()
	e.apply(e.entry("b"))
	e.apply(a)
	e.wantIDs(e.all(), "b", "a")
}

func dropOrder(e *env) {
	a, b := e.entry("a"), e.entry("b")
	drop := &storage.Drop{Scope: e.log}
	r := e.do(a, e.push("x"), drop, b, e.push("y"))
	if r[0].Exists || !r[2].Exists || r[3].Exists || r[4].Exists {
		e.Fatalf("results are %+v", r)
	}
	if r[3].Cursor.Epoch == r[0].Cursor.Epoch || r[3].Cursor.Pos.Seq != 2 {
		e.Fatalf("cursors are %s and %s", r[0].Cursor, r[3].Cursor)
	}
	e.wantIDs(e.all(), "b")
	e.takes("y")
	e.do(e.entry("c"), drop)
	e.unknown()
}

func dropOthers(e *env) {
	other := e.entry("other")
	other.Log += "-other"
	push := e.push("other")
	push.Queue = other.Log
	e.do(e.entry("a"), other, push, e.put("a", 1), e.add("a", fields{"n": 1}))
	e.drop()
	e.get("a")
	e.counter("s", "a", fields{"n": 1})
	page, err := e.d.ReadLog(e.ctx, other.Log, storage.LogQuery{})
	if err != nil {
		e.Fatal(err)
	}
	e.wantIDs(page.Entries, "other")
	items, err := e.d.Take(e.ctx, other.Log, 0)
	if err != nil {
		e.Fatal(err)
	}
	e.same("items", itemIDs(items), []string{"other"})
}

func dropOdd(e *env) {
	for _, name := range odd {
		a := &storage.Append{Log: e.log + name, ID: "a"}
		e.do(a)
		if r := e.one(&storage.Drop{Scope: a.Log}); !r.Exists {
			e.Fatalf("dropping %q was answered %+v", name, r)
		}
		page, err := e.d.ReadLog(e.ctx, a.Log, storage.LogQuery{})
		if err != nil || len(page.Entries) != 0 {
			e.Fatalf("log %q has %+v, %v", name, page.Entries, err)
		}
	}
}

func dropGone(e *env) {
	epoch := e.apply(e.entry("a"))[0].Cursor.Epoch
	e.drop()
	e.wantErr(e.under("b", epoch), storage.ErrGone)
	r := e.try(e.entry("c"), e.under("d", epoch), e.entry("e"))
	if r[0].Err != nil || !errors.Is(r[1].Err, storage.ErrGone) || r[2].Err != nil {
		e.Fatalf("results are %+v", r)
	}
	e.wantIDs(e.all(), "c", "e")
	e.apply(e.under("f", r[0].Cursor.Epoch))
	// The id that was discarded is not remembered.
	e.apply(e.entry("d"))
	e.wantIDs(e.all(), "c", "e", "f", "d")
}

func (e *env) linkedUnder(id string, epoch storage.Epoch, p storage.Producer, n uint64) *storage.Append {
	a := e.linked(id, p, n)
	a.Epoch = epoch
	return a
}

func dropLink(e *env) {
	p := storage.NewProducer()
	epoch := e.apply(e.linked("a", p, 1))[0].Cursor.Epoch
	e.drop()
	r := e.try(e.linkedUnder("b", epoch, p, 2), e.linked("c", p, 3), e.linkedUnder("d", epoch, p, 4), e.linked("e", p, 5))
	if !errors.Is(r[0].Err, storage.ErrGone) || r[1].Err != nil || !errors.Is(r[2].Err, storage.ErrGone) || r[3].Err != nil {
		e.Fatalf("results are %+v", r)
	}
	e.wantIDs(e.all(), "c", "e")
	e.wantErr(e.linkedUnder("f", epoch, p, 6), storage.ErrGone)
	e.wantErr(e.linkedUnder("h", epoch, p, 8), storage.ErrGap)
	e.apply(e.linked("g", p, 7))
	if s := e.read(storage.LogQuery{}).State; s.Last[p] != 7 {
		e.Fatalf("state is %+v", s)
	}
}

func dropStays(e *env) {
	p := storage.NewProducer()
	epoch := e.apply(e.linked("a", p, 1))[0].Cursor.Epoch
	e.drop()
	e.wantErr(e.linkedUnder("b", epoch, p, 2), storage.ErrGone)
	e.unknown()
	if r := e.apply(e.linked("c", p, 3))[0]; r.Exists || r.Cursor.Pos.Seq != 2 {
		e.Fatalf("answer is %+v", r)
	}
}

func dropTwice(e *env) {
	var epochs []storage.Epoch
	for range 8 {
		epochs = append(epochs, e.apply(e.entry("a"))[0].Cursor.Epoch)
		e.drop()
	}
	e.apply(e.entry("a"))
	for _, epoch := range epochs {
		e.wantErr(e.under("b", epoch), storage.ErrGone)
	}
	e.apply(e.under("c", storage.NewEpoch()))
	e.wantIDs(e.all(), "a", "c")
}

func dropNotDropped(e *env) {
	epoch := e.apply(e.entry("a"))[0].Cursor.Epoch
	other := &storage.Drop{Scope: e.log + "-other"}
	e.do(other)
	e.apply(e.under("b", epoch))
	e.drop()
	// An epoch that this log never had is not dead.
	e.apply(e.under("c", storage.NewEpoch()))
	e.wantIDs(e.all(), "c")
}

func dropChain(e *env) {
	p := storage.NewProducer()
	e.apply(e.linked("a", p, 1), e.linked("b", p, 2))
	e.drop()
	e.wantErr(e.linked("d", p, 4), storage.ErrGap)
	if r := e.apply(e.linked("b", p, 2))[0]; !r.Duplicate {
		e.Fatalf("number 2 was taken twice: %+v", r)
	}
	e.unknown()
	e.apply(e.linked("c", p, 3))
	e.wantIDs(e.all(), "c")
}

func dropAgain(e *env) {
	p := storage.NewProducer()
	epoch := e.apply(e.linked("a", p, 1))[0].Cursor.Epoch
	e.drop()
	batch := []*storage.Append{e.linkedUnder("b", epoch, p, 2), e.linked("c", p, 3)}
	first, second := e.try(batch...), e.try(batch...)
	if !errors.Is(first[0].Err, storage.ErrGone) || !errors.Is(second[0].Err, storage.ErrGone) {
		e.Fatalf("the dead epoch was answered %+v and %+v", first[0], second[0])
	}
	if first[1].Err != nil || second[1].Err != nil || !second[1].Duplicate {
		e.Fatalf("the other was answered %+v and %+v", first[1], second[1])
	}
	e.wantIDs(e.all(), "c")
}
