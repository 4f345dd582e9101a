package storagetest

import (
	"errors"
	"fmt"

	"github.com/actionflows/lifeline/storage"
)

var chainTests = []test{
	{"n is taken after n-1 only", chainOrder},
	{"a number taken already is a duplicate", chainDuplicate},
	{"producers have chains of their own", chainTwoProducers},
	{"a gap refuses the whole batch of that log and no other", chainBatch},
	{"a batch may hold a whole chain", chainWholeBatch},
	{"a chain goes on behind a duplicate id", chainDuplicateID},
	{"the last numbers are in the state", chainState},
	{"the 32 most recent producers are remembered", chainManyProducers},
	{"number 0 is in no chain", chainZero},
}

func (e *env) linked(id string, p storage.Producer, n uint64) *storage.Append {
	a := e.entry(id)
	a.Link = storage.Link{Producer: p, Number: n}
	return a
}

// wantErr fails unless an append alone is refused for the given reason.
func (e *env) wantErr(a *storage.Append, want error) {
	e.Helper()
	if r := e.try(a)[0]; !errors.Is(r.Err, want) {
		e.Fatalf("append %q was answered %+v, want %v", a.ID, r, want)
	}
}

func chainOrder(e *env) {
	p := storage.NewProducer()
	e.wantErr(e.linked("b", p, 2), storage.ErrGap)
	if r := e.apply(e.linked("a", p, 1))[0]; r.Link != (storage.Link{Producer: p, Number: 1}) {
		e.Fatalf("link is %+v", r.Link)
	}
	e.wantErr(e.linked("c", p, 3), storage.ErrGap)
	e.apply(e.linked("b", p, 2))
	e.apply(e.linked("c", p, 3))
	entries := e.all()
	e.wantIDs(entries, "a", "b", "c")
	for i, entry := range entries {
		if entry.Link != (storage.Link{Producer: p, Number: uint64(i) + 1}) {
			e.Fatalf("entry %d has link %+v", i, entry.Link)
		}
	}
}

func chainDuplicate(e *env) {
	p := storage.NewProducer()
	first := e.apply(e.linked("a", p, 1), e.linked("b", p, 2))
	for i, a := range []*storage.Append{e.linked("a", p, 1), e.linked("b", p, 2)} {
		r := e.apply(a)[0]
		if !r.Duplicate {
			e.Fatalf("number %d was taken twice", i+1)
		}
		e.samePlace(r.Cursor, first[i].Cursor)
	}
	// The number decides even where the id is new.
	if r := e.apply(e.linked("other", p, 2))[0]; !r.Duplicate {
		e.Fatal("number 2 was taken twice under another id")
	}
	e.wantIDs(e.all(), "a", "b")
}

func chainTwoProducers(e *env) {
	p, q := storage.NewProducer(), storage.NewProducer()
	e.apply(e.linked("p1", p, 1))
	e.apply(e.linked("q1", q, 1))
	e.apply(e.linked("q2", q, 2), e.linked("p2", p, 2), e.linked("q3", q, 3))
	e.wantErr(e.linked("p4", p, 4), storage.ErrGap)
	e.apply(e.entry("none"))
	e.apply(e.linked("p3", p, 3))
	e.wantIDs(e.all(), "p1", "q1", "q2", "p2", "q3", "none", "p3")
}

func chainBatch(e *env) {
	p := storage.NewProducer()
	other := e.entry("other")
	other.Log += "-other"
	results := e.try(e.linked("a", p, 1), other, e.linked("c", p, 3), e.entry("d"))
	for _, i := range []int{0, 2, 3} {
		if !errors.Is(results[i].Err, storage.ErrGap) {
			e.Fatalf("operation %d was answered %+v", i, results[i])
		}
	}
	if results[1].Err != nil {
		e.Fatalf("the other log was refused: %v", results[1].Err)
	}
	if entries := e.all(); len(entries) != 0 {
		e.Fatalf("entries of the refused batch are there: %q", ids(entries))
	}
	// Nothing of it was remembered either.
	for _, r := range e.apply(e.linked("a", p, 1), e.entry("d")) {
		if r.Duplicate {
			e.Fatalf("result is %+v", r)
		}
	}
}

func chainWholeBatch(e *env) {
	p := storage.NewProducer()
	e.apply(e.linked("a", p, 1), e.linked("b", p, 2), e.linked("a", p, 1), e.linked("c", p, 3))
	e.wantIDs(e.all(), "a", "b", "c")
	e.apply(e.linked("d", p, 4))
}

func chainDuplicateID(e *env) {
	p, q := storage.NewProducer(), storage.NewProducer()
	first := e.apply(e.linked("a", p, 1))[0]
	// One id came through two nodes: it is stored once, and both chains go on.
	r := e.apply(e.linked("a", q, 1))[0]
	if !r.Duplicate {
		e.Fatal("the id was taken twice")
	}
	e.samePlace(r.Cursor, first.Cursor)
	e.apply(e.linked("b", q, 2))
	e.apply(e.linked("c", p, 2))
	e.wantIDs(e.all(), "a", "b", "c")
}

func chainState(e *env) {
	p, q := storage.NewProducer(), storage.NewProducer()
	e.apply(e.linked("a", p, 1), e.linked("b", p, 2), e.linked("c", q, 1))
	last := e.read(storage.LogQuery{}).State.Last
	if len(last) != 2 || last[p] != 2 || last[q] != 1 {
		e.Fatalf("last numbers are %v", last)
	}
}

func chainManyProducers(e *env) {
	const remembered = 32
	p := make([]storage.Producer, remembered+1)
	for i := range p {
		p[i] = storage.NewProducer()
	}
	one := func(i int) *storage.Append { return e.linked(fmt.Sprint("p", i, "-1"), p[i], 1) }
	for i := range remembered {
		e.apply(one(i))
	}
	e.apply(e.linked("p0-2", p[0], 2)) // p0 is now the most recent, p1 the least
	e.apply(one(remembered))
	e.wantErr(e.linked("p1-2", p[1], 2), storage.ErrGap)
	e.apply(e.linked("p0-3", p[0], 3))
	for i := 2; i <= remembered; i++ {
		e.apply(e.linked(fmt.Sprint("p", i, "-2"), p[i], 2))
	}
}

func chainZero(e *env) {
	r := e.try(e.linked("a", storage.NewProducer(), 0))[0]
	if r.Err == nil {
		e.Fatalf("answer is %+v", r)
	}
}
