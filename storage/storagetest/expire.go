package storagetest

import (
	"time"

	"github.com/actionflows/lifeline/storage"
)

// brief is the lifetime in tests that wait for its end.
const brief = 50 * time.Millisecond

var expireTests = []test{
	{"a document with a long TTL is there", longTTL},
	{"after its TTL a document is gone", shortTTL},
	{"after its TTL a document's stamp is forgotten", ttlStamp},
	{"a Put replaces the TTL", ttlReplaced},
	{"a duplicate does not change the TTL", ttlDuplicate},
	{"an expired document is no member", ttlMembers},
	{"an expired document does not exist for Add", ttlAdd},
}

func (e *env) mortal(id string, micros int64, ttl time.Duration) *storage.Put {
	p := e.put(id, micros)
	p.TTL = ttl
	p.Indexes = map[string]string{"color": "red"}
	return p
}

func longTTL(e *env) {
	e.fresh(e.mortal("a", 1, time.Hour))
	e.get("a")
	e.having("color", "red", "a")
	e.duplicate(e.mortal("a", 1, time.Hour))
}

func shortTTL(e *env) {
	e.do(e.mortal("a", 1, brief), e.mortal("b", 1, time.Hour), e.mortal("c", 1, 0))
	e.expires("a")
	e.having("color", "red", "b", "c")
	e.members("b", "c")
}

func ttlStamp(e *env) {
	e.fresh(e.mortal("a", 10, brief))
	e.expires("a")
	if r := e.fresh(e.put("a", 5)); r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	if d := e.get("a"); d.Stamp != at(5) {
		e.Fatalf("document is %+v", d)
	}
	e.having("color", "red")
	e.fresh(e.mortal("b", 10, brief))
	e.expires("b")
	if r := e.fresh(e.del("b", 5)); r.Exists {
		e.Fatalf("answer is %+v", r)
	}
}

func ttlReplaced(e *env) {
	// "canary" tells when the first lifetimes are over.
	e.do(e.mortal("longer", 1, brief), e.mortal("ever", 1, brief), e.mortal("shorter", 1, time.Hour),
		e.mortal("longer", 2, time.Hour), e.mortal("ever", 2, 0), e.mortal("shorter", 2, brief),
		e.mortal("canary", 1, 2*brief))
	e.expires("shorter")
	e.expires("canary")
	e.members("ever", "longer")
	e.having("color", "red", "ever", "longer")
}

func ttlDuplicate(e *env) {
	e.do(e.mortal("a", 2, brief), e.mortal("b", 2, 0))
	e.do(e.mortal("a", 2, time.Hour), e.mortal("a", 1, 0), e.mortal("b", 2, brief), e.mortal("canary", 1, 2*brief))
	e.expires("a")
	e.expires("canary")
	e.members("b")
}

func ttlMembers(e *env) {
	important := e.mortal("important", 1, brief)
	important.Rank = 10
	unimportant := e.mortal("unimportant", 1, 0)
	unimportant.Rank = 1
	e.do(important, unimportant)
	e.expires("important")
	next := e.mortal("next", 1, 0)
	next.Rank, next.MaxMembers = 5, 2
	e.do(next)
	e.members("next", "unimportant")
}

func ttlAdd(e *env) {
	e.fresh(e.mortal("a", 1, brief))
	e.expires("a")
	r := e.one(&storage.Add{Collection: e.log, Member: "a", Deltas: map[string]int64{"n": 1}, IfExists: true})
	if r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	e.counter("", "a", nil)
}
