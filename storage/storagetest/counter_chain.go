package storagetest

import (
	"github.com/actionflows/lifeline/storage"
)

func (e *env) addLinked(member string, p storage.Producer, n uint64) *storage.Add {
	a := e.add(member, fields{"n": 1})
	a.Link = storage.Link{Producer: p, Number: n}
	return a
}

func addChain(e *env) {
	p := storage.NewProducer()
	e.refused(e.addLinked("a", p, 2), storage.ErrGap)
	e.fresh(e.addLinked("a", p, 1))
	e.duplicate(e.addLinked("a", p, 1))
	e.refused(e.addLinked("a", p, 3), storage.ErrGap)
	e.counter("s", "a", fields{"n": 1})
	batch := []storage.Op{e.addLinked("a", p, 2), e.addLinked("b", p, 3), e.addLinked("a", p, 4)}
	e.do(batch...)
	for i, r := range e.do(batch...) {
		if !r.Duplicate {
			e.Fatalf("operation %d counted twice: %+v", i, r)
		}
	}
	e.counter("s", "a", fields{"n": 3})
	e.counter("s", "b", fields{"n": 1})
	r := e.attempt(e.addLinked("a", p, 5), e.addLinked("a", p, 7), e.addLinked("a", p, 6))
	if r[0].Err != nil || r[1].Err == nil || r[2].Err != nil {
		e.Fatalf("results are %+v", r)
	}
	e.counter("s", "a", fields{"n": 5})
}

func addChains(e *env) {
	p, q := storage.NewProducer(), storage.NewProducer()
	other := e.addLinked("a", p, 2)
	other.Scope = "t"
	e.do(e.addLinked("a", p, 1), e.addLinked("a", q, 1), other, e.add("a", fields{"n": 1}), e.addLinked("a", q, 2))
	elsewhere := e.addLinked("a", p, 3)
	elsewhere.Collection += "-other"
	e.refused(elsewhere, storage.ErrGap)
	e.fresh(e.addLinked("a", p, 3))
	e.counter("s", "a", fields{"n": 5})
	e.counter("t", "a", fields{"n": 1})
}

func addRebase(e *env) {
	p := storage.NewProducer()
	e.fresh(e.addLinked("a", p, 1))
	rebase := e.addLinked("a", p, 10)
	rebase.Rebase = true
	e.fresh(rebase)
	e.fresh(e.addLinked("a", p, 11))
	e.duplicate(e.addLinked("a", p, 10))
	e.counter("s", "a", fields{"n": 3})
}

func addChainIfExists(e *env) {
	p := storage.NewProducer()
	missing := e.addLinked("a", p, 1)
	missing.Scope, missing.IfExists = "", true
	if r := e.one(missing); r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	e.do(e.put("a", 1))
	e.duplicate(missing)
	e.counter("", "a", nil)
	e.fresh(e.addLinked("a", p, 2))
}

func addZero(e *env) {
	e.refused(e.addLinked("a", storage.NewProducer(), 0), storage.ErrPoison)
	e.counter("s", "a", nil)
}
