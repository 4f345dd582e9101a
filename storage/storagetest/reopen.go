package storagetest

import (
	"time"

	"github.com/actionflows/lifeline/storage"
)

// reopened closes the driver and goes on with another on the same data.
func (e *env) reopened(o Options) {
	e.Helper()
	e.d = o.Reopen(e.T, e.d)
}

func reopenTests(o Options) []test {
	return []test{
		{"entries, cursors and ids are still there", func(e *env) { reopenLog(e, o) }},
		{"ids of trimmed entries are remembered, and the gap is", func(e *env) { reopenTrimmed(e, o) }},
		{"documents, indexes and ranks are still there", func(e *env) { reopenDocuments(e, o) }},
		{"the stamps of deletions are remembered", func(e *env) { reopenDeleted(e, o) }},
		{"a TTL goes on", func(e *env) { reopenTTL(e, o) }},
		{"queues are still there, and what was taken is not", func(e *env) { reopenQueue(e, o) }},
		{"counters are still there", func(e *env) { reopenCounters(e, o) }},
		{"a dropped log stays dropped", func(e *env) { reopenDropped(e, o) }},
	}
}

func reopenChainTests(o Options) []test {
	return []test{
		{"chains of a log go on", func(e *env) { reopenChain(e, o) }},
		{"chains of queues and collections go on", func(e *env) { reopenChains(e, o) }},
		{"a dropped epoch stays dead", func(e *env) { reopenGone(e, o) }},
	}
}

func reopenLog(e *env, o Options) {
	r := e.fill("e", 5)
	e.reopened(o)
	page := e.after(r[1].Cursor, 0)
	e.wantIDs(page.Entries, "e2", "e3", "e4")
	if page.Gap {
		e.Fatal("nothing is missing")
	}
	again := e.apply(e.entry("e0"))[0]
	if !again.Duplicate {
		e.Fatal("the id is not remembered")
	}
	e.samePlace(again.Cursor, r[0].Cursor)
	next := e.apply(e.entry("e5"))[0].Cursor
	if next.Epoch != r[4].Cursor.Epoch || next.Pos.Seq != 6 || next.Pos.Micros <= r[4].Cursor.Pos.Micros {
		e.Fatalf("the next cursor is %s, the last was %s", next, r[4].Cursor)
	}
}

func reopenTrimmed(e *env, o Options) {
	var first storage.Cursor
	for i := range 20 {
		if r := e.apply(e.bounded(names("e", i, i+1)[0], 3))[0]; i == 0 {
			first = r.Cursor
		}
	}
	e.reopened(o)
	if page := e.after(first, 0); !page.Gap {
		e.Fatal("the reader was not told")
	}
	if r := e.apply(e.bounded("e0", 3))[0]; !r.Duplicate {
		e.Fatal("the id is not remembered")
	}
}

func reopenDocuments(e *env, o Options) {
	p := e.indexed("a", 10, "color=red", "size=")
	p.Stamp.Producer, p.Rank = storage.NewProducer(), 20
	b := e.indexed("b", 10, "color=red")
	b.Rank = 10
	e.do(p, b, e.indexed("c", 10, "color=blue"))
	e.do(e.indexed("c", 11, "color=green"))
	e.reopened(o)
	if d := e.get("a"); string(d.Body) != "body of a" || d.Stamp != p.Stamp {
		e.Fatalf("document is %+v", d)
	}
	e.members("a", "b", "c")
	e.having("color", "red", "a", "b")
	e.having("size", "", "a")
	e.having("color", "blue")
	e.having("color", "green", "c")
	e.duplicate(e.put("b", 10))
	e.do(e.indexed("c", 12))
	e.having("color", "green")
	e.do(e.ranked("d", 1, 0, 3), e.ranked("e", 1, 0, 2))
	e.members("a", "e")
}

func reopenDeleted(e *env, o Options) {
	e.do(e.put("a", 1), e.del("a", 10), e.del("b", 10))
	e.reopened(o)
	e.gone("a")
	e.members()
	e.duplicate(e.put("a", 10))
	e.duplicate(e.put("b", 9))
	e.fresh(e.put("a", 11))
}

func reopenTTL(e *env, o Options) {
	e.do(e.mortal("a", 1, brief), e.mortal("b", 1, time.Hour))
	e.reopened(o)
	e.expires("a")
	e.members("b")
	e.having("color", "red", "b")
}

func reopenQueue(e *env, o Options) {
	e.do(e.push("a"), e.pushMortal("brief", brief), e.pushMortal("b", time.Hour), e.push("c"))
	e.same("items", itemIDs(e.take(1)), []string{"a"})
	e.reopened(o)
	e.duplicate(e.push("a"))
	e.duplicate(e.push("b"))
	e.eventually("an item expires", func() bool { return e.attempt(e.pushMost("d", 3))[0].Err == nil })
	e.takes("b", "c", "d")
}

func reopenCounters(e *env, o Options) {
	a := e.rankedAdd("a", 5, 0)
	a.High = fields{"last": 7}
	e.do(a, e.rankedAdd("b", 6, 0))
	e.reopened(o)
	e.counter("s", "a", fields{"n": 5, "other": 1, "last": 7})
	e.do(e.rankedAdd("a", 2, 0))
	e.top("s", 10, "a", "b")
	e.do(e.rankedAdd("c", 1, 2))
	e.top("s", 10, "a", "c")
}

func reopenDropped(e *env, o Options) {
	before := e.fill("e", 3)[2].Cursor
	e.do(e.push("a"))
	e.drop()
	e.reopened(o)
	e.unknown()
	e.takes()
	if page := e.after(before, 0); !page.Gap {
		e.Fatal("the reader was not told")
	}
	if r := e.apply(e.entry("e0"))[0]; r.Duplicate || r.Exists || r.Cursor.Pos.Seq != 4 || r.Cursor.Pos.Micros <= before.Pos.Micros {
		e.Fatalf("answer is %+v, the last cursor was %s", r, before)
	}
}

func reopenChain(e *env, o Options) {
	p := storage.NewProducer()
	e.apply(e.linked("a", p, 1), e.linked("b", p, 2))
	e.reopened(o)
	if r := e.apply(e.linked("x", p, 2))[0]; !r.Duplicate {
		e.Fatalf("number 2 was taken twice: %+v", r)
	}
	e.wantErr(e.linked("d", p, 4), storage.ErrGap)
	e.apply(e.linked("c", p, 3))
}

func reopenChains(e *env, o Options) {
	p := storage.NewProducer()
	e.do(e.pushLinked("a", p, 1), e.addLinked("a", p, 1))
	e.reopened(o)
	e.duplicate(e.pushLinked("x", p, 1))
	e.duplicate(e.addLinked("a", p, 1))
	e.refused(e.pushLinked("c", p, 3), storage.ErrGap)
	e.refused(e.addLinked("a", p, 3), storage.ErrGap)
	e.do(e.pushLinked("b", p, 2), e.addLinked("a", p, 2))
	e.takes("a", "b")
	e.counter("s", "a", fields{"n": 2})
}

func reopenGone(e *env, o Options) {
	p := storage.NewProducer()
	epoch := e.apply(e.linked("a", p, 1))[0].Cursor.Epoch
	e.drop()
	e.wantErr(e.linkedUnder("b", epoch, p, 2), storage.ErrGone)
	e.reopened(o)
	e.wantErr(e.linkedUnder("c", epoch, p, 3), storage.ErrGone)
	e.unknown()
	e.apply(e.linked("d", p, 4))
	e.wantIDs(e.all(), "d")
}
