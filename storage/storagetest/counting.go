package storagetest

import (
	"errors"

	"github.com/actionflows/lifeline/storage"
)

var countingTests = []test{
	{"a log counts from its first entry until it is dropped", countLogs},
	{"what is only asked for begins no log", countNothing},
	{"a document counts until it is deleted", countDocuments},
}

// counting answers the driver as one that counts; nil: it does not.
func (e *env) counting() storage.Counting {
	c := storage.CountingOf(e.d)
	if _, err := c.CountLogs(e.ctx, "t:"); errors.Is(err, errors.ErrUnsupported) {
		e.Log("the driver does not count")
		return nil
	}
	return c
}

// kindOf is a kind of logs that only this test has.
func (e *env) kindOf() string { return "t" + storage.NewEpoch().String() + ":" }

func (e *env) logs(kind string, want int) {
	e.Helper()
	if n, err := e.counting().CountLogs(e.ctx, kind); err != nil || n != want {
		e.Fatalf("%d logs of %s, %v; want %d", n, kind, err, want)
	}
}

func countLogs(e *env) {
	if e.counting() == nil {
		return
	}
	kind := e.kindOf()
	e.logs(kind, 0)
	in := func(log, id string) *storage.Append {
		return &storage.Append{Log: kind + log, ID: id, Data: []byte("data")}
	}
	e.apply(in("a", "1"), in("b", "1"), in("a", "2"))
	e.apply(in("a", "1"), in("b", "2")) // a duplicate, and one to a log that is there
	e.logs(kind, 2)
	e.one(&storage.Drop{Scope: kind + "a"})
	e.one(&storage.Drop{Scope: kind + "c"})
	e.logs(kind, 1)
	e.apply(in("a", "1"))
	e.logs(kind, 2)
	e.logs(e.kindOf(), 0) // of another kind
}

func countNothing(e *env) {
	if e.counting() == nil {
		return
	}
	kind := e.kindOf()
	results := e.try(&storage.Append{Log: kind + "a", ID: "1", Data: []byte("data"), IfExists: true})
	if results[0].Exists {
		e.Fatalf("the log exists: %+v", results[0])
	}
	e.logs(kind, 0)
}

func countDocuments(e *env) {
	if e.counting() == nil {
		return
	}
	count := func(want int) {
		e.Helper()
		if n, err := e.counting().CountDocuments(e.ctx, e.log); err != nil || n != want {
			e.Fatalf("%d documents, %v; want %d", n, err, want)
		}
	}
	count(0)
	put := func(id string) storage.Op { return &storage.Put{Collection: e.log, ID: id, Body: []byte("{}")} }
	e.do(put("a"), put("b"))
	e.do(put("a"))
	count(2)
	e.do(&storage.Del{Collection: e.log, ID: "a"})
	count(1)
}
