package storagetest

import (
	"time"

	"github.com/actionflows/lifeline/storage"
)

var deleteTests = []test{
	{"a deleted document is gone", deleted},
	{"what is not there may be deleted", deleteUnknown},
	{"a Del below the document's stamp is a duplicate", deleteLate},
	{"a Del with the document's stamp removes it", deleteEqual},
	{"the stamp of a deletion is remembered", tombstone},
	{"a Del may come before the Put that it is later than", deleteFirst},
	{"a lower Del does not lower the stamp that is remembered", tombstoneStays},
	{"a Del without a stamp removes whatever is there", deleteAnything},
	{"a Del without a stamp is as late as the backend's clock", deleteClock},
	{"a Del removes the counters of its member", deleteCounters},
}

func deleted(e *env) {
	p := e.put("a", 1)
	p.Indexes = map[string]string{"color": "red"}
	e.do(p, e.put("b", 1))
	if r := e.fresh(e.del("a", 2)); !r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	e.gone("a")
	e.members("b")
	e.having("color", "red")
	if r := e.duplicate(e.del("a", 2)); r.Exists {
		e.Fatalf("the same again was answered %+v", r)
	}
}

func deleteUnknown(e *env) {
	if r := e.fresh(e.del("a", 1)); r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	if r := e.fresh(e.del("b", 0)); r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	e.members()
}

func deleteLate(e *env) {
	e.fresh(e.put("a", 10))
	if r := e.duplicate(e.del("a", 9)); !r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	e.get("a")
	e.members("a")
	// It is not remembered either.
	e.fresh(e.put("a", 11))
}

func deleteEqual(e *env) {
	e.fresh(e.put("a", 10))
	e.fresh(e.del("a", 10))
	e.gone("a")
	e.duplicate(e.put("a", 10))
	e.gone("a")
}

func tombstone(e *env) {
	e.do(e.put("a", 1), e.del("a", 10))
	for _, micros := range []int64{2, 9, 10} {
		if r := e.duplicate(e.put("a", micros)); r.Exists {
			e.Fatalf("stamp %d was answered %+v", micros, r)
		}
		e.gone("a")
	}
	if r := e.fresh(e.put("a", 11)); r.Exists {
		e.Fatalf("a document after its deletion was answered %+v", r)
	}
	e.get("a")
}

func deleteFirst(e *env) {
	p := e.put("a", 5)
	p.Indexes = map[string]string{"color": "red"}
	e.do(e.del("a", 10), p)
	e.gone("a")
	e.members()
	e.having("color", "red")
	e.fresh(e.put("a", 11))
}

func tombstoneStays(e *env) {
	e.do(e.put("a", 1), e.del("a", 10))
	e.duplicate(e.del("a", 5))
	e.duplicate(e.put("a", 7))
	e.fresh(e.del("a", 20))
	e.duplicate(e.put("a", 15))
	e.fresh(e.put("a", 21))
}

func deleteAnything(e *env) {
	future := time.Now().Add(time.Hour).UnixMicro()
	e.do(e.put("past", 1), e.put("future", future))
	for _, id := range []string{"past", "future"} {
		if r := e.fresh(e.del(id, 0)); !r.Exists {
			e.Fatalf("%s: answer is %+v", id, r)
		}
		e.gone(id)
	}
	e.duplicate(e.put("future", future))
	e.fresh(e.put("future", future+2))
}

func deleteClock(e *env) {
	e.do(e.put("a", 1), e.del("a", 0))
	e.duplicate(e.put("a", 2))
	e.fresh(e.put("a", time.Now().Add(time.Hour).UnixMicro()))
	// Whoever names no stamp himself comes later.
	e.do(e.put("b", 0), e.del("b", 0))
	e.gone("b")
	e.fresh(e.put("b", 0))
	e.get("b")
}

func deleteCounters(e *env) {
	add := func(scope, member string) {
		e.do(&storage.Add{Collection: e.log, Scope: scope, Member: member, Deltas: map[string]int64{"n": 1}, RankBy: "n"})
	}
	e.do(e.put("a", 10), e.put("b", 10))
	add("", "a")
	add("", "b")
	add("scope", "a")
	e.duplicate(e.del("a", 9))
	e.counter("", "a", map[string]int64{"n": 1})
	e.fresh(e.del("a", 11))
	e.counter("", "a", nil)
	e.counter("", "b", map[string]int64{"n": 1})
	e.counter("scope", "a", map[string]int64{"n": 1})
	e.top("", 10, "b")
	// What was added after the deletion is not its concern.
	add("", "a")
	e.duplicate(e.del("a", 11))
	e.counter("", "a", map[string]int64{"n": 1})
}
