package storagetest

import "github.com/actionflows/lifeline/storage"

var queueChainTests = []test{
	{"of an item handed out elsewhere the id is noted", pushElsewhere},
	{"n is pushed after n-1 only", pushChain},
	{"a chain goes on behind a duplicate id", pushChainID},
	{"chains belong to a producer in a queue", pushChains},
	{"Rebase takes any number", pushRebase},
	{"what was handed out elsewhere is in the chain", pushChainElsewhere},
	{"what was refused is not in the chain", pushChainFull},
	{"number 0 is in no chain", pushZero},
	{"the same chain again changes nothing", pushChainAgain},
}

func (e *env) pushLinked(id string, p storage.Producer, n uint64) *storage.Push {
	push := e.push(id)
	push.Link = storage.Link{Producer: p, Number: n}
	return push
}

func pushElsewhere(e *env) {
	taken := e.push("a")
	taken.Taken = true
	if r := e.fresh(taken); r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	e.duplicate(taken)
	e.duplicate(e.push("a"))
	e.takes()
	// It needs no room, and takes none.
	e.do(e.pushMost("b", 1))
	full := e.pushMost("c", 1)
	full.Taken = true
	e.fresh(full)
	e.takes("b")
	e.fresh(e.pushMost("d", 1))
}

func pushChain(e *env) {
	p := storage.NewProducer()
	e.refused(e.pushLinked("b", p, 2), storage.ErrGap)
	e.fresh(e.pushLinked("a", p, 1))
	e.refused(e.pushLinked("c", p, 3), storage.ErrGap)
	e.fresh(e.pushLinked("b", p, 2))
	// The number decides even where the id is new, and also after a Take.
	e.duplicate(e.pushLinked("other", p, 2))
	e.takes("a", "b")
	e.duplicate(e.pushLinked("another", p, 1))
	e.fresh(e.pushLinked("c", p, 3))
	r := e.attempt(e.pushLinked("d", p, 4), e.pushLinked("f", p, 6), e.pushLinked("e", p, 5))
	if r[0].Err != nil || r[1].Err == nil || r[2].Err != nil {
		e.Fatalf("results are %+v", r)
	}
	e.takes("c", "d", "e")
}

func pushChainID(e *env) {
	p, q := storage.NewProducer(), storage.NewProducer()
	e.fresh(e.pushLinked("a", p, 1))
	e.duplicate(e.pushLinked("a", q, 1))
	e.fresh(e.pushLinked("b", q, 2))
	e.fresh(e.pushLinked("c", p, 2))
	e.refused(e.pushLinked("a", q, 9), storage.ErrGap)
	e.takes("a", "b", "c")
}

func pushChains(e *env) {
	p, q := storage.NewProducer(), storage.NewProducer()
	e.do(e.pushLinked("p1", p, 1), e.pushLinked("q1", q, 1), e.push("none"), e.pushLinked("q2", q, 2), e.pushLinked("p2", p, 2))
	other := e.pushLinked("x", p, 3)
	other.Queue += "-other"
	e.refused(other, storage.ErrGap)
	// The log of the same name has chains of its own.
	e.wantErr(e.linked("x", p, 3), storage.ErrGap)
	e.takes("p1", "q1", "none", "q2", "p2")
}

func pushRebase(e *env) {
	p := storage.NewProducer()
	e.fresh(e.pushLinked("a", p, 1))
	rebase := e.pushLinked("b", p, 10)
	rebase.Rebase = true
	e.fresh(rebase)
	e.duplicate(rebase)
	e.fresh(e.pushLinked("c", p, 11))
	e.takes("a", "b", "c")
}

func pushChainElsewhere(e *env) {
	p := storage.NewProducer()
	taken := e.pushLinked("a", p, 1)
	taken.Taken = true
	e.refused(e.pushLinked("b", p, 2), storage.ErrGap)
	e.fresh(taken)
	e.fresh(e.pushLinked("b", p, 2))
	e.duplicate(taken)
	e.takes("b")
}

func pushChainFull(e *env) {
	p := storage.NewProducer()
	full := e.pushLinked("b", p, 2)
	full.MaxLen = 1
	e.fresh(e.pushLinked("a", p, 1))
	e.refused(full, storage.ErrFull)
	e.refused(e.pushLinked("c", p, 3), storage.ErrGap)
	e.takes("a")
	e.fresh(full)
	e.fresh(e.pushLinked("c", p, 3))
}

func pushZero(e *env) {
	e.refused(e.pushLinked("a", storage.NewProducer(), 0), storage.ErrPoison)
	e.takes()
}

func pushChainAgain(e *env) {
	p := storage.NewProducer()
	batch := []storage.Op{e.pushLinked("a", p, 1), e.pushLinked("b", p, 2), e.pushLinked("c", p, 3)}
	e.do(batch...)
	e.same("items", itemIDs(e.take(1)), []string{"a"})
	for i, r := range e.do(batch...) {
		if !r.Duplicate {
			e.Fatalf("item %d was taken twice: %+v", i, r)
		}
	}
	e.takes("b", "c")
}
