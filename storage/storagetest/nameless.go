package storagetest

import (
	"errors"
	"fmt"

	"github.com/actionflows/lifeline/storage"
)

var namelessTests = []test{
	{"an operation without a name that it needs is refused alone", nameless},
	{"MaxMembers of a scope needs a field to rank by", unranked},
}

func nameless(e *env) {
	c := e.log
	bad := []storage.Op{
		&storage.Append{Log: "", ID: "a"}, &storage.Append{Log: c, ID: ""},
		&storage.Put{Collection: "", ID: "a"}, &storage.Put{Collection: c, ID: ""},
		&storage.Put{Collection: c, ID: "a", Indexes: map[string]string{"": "x"}},
		&storage.Del{Collection: "", ID: "a"}, &storage.Del{Collection: c, ID: ""},
		&storage.Push{Queue: "", ID: "a"}, &storage.Push{Queue: c, ID: ""},
		&storage.Add{Collection: "", Member: "a", Deltas: fields{"n": 1}},
		&storage.Add{Collection: c, Member: "", Deltas: fields{"n": 1}},
		&storage.Add{Collection: c, Member: "a", Deltas: fields{"": 1}},
		&storage.Add{Collection: c, Member: "a", Low: fields{"": 1}},
		&storage.Add{Collection: c, Member: "a", High: fields{"": 1}},
		&storage.Drop{Scope: ""},
	}
	// Between others, each alone, and all at once.
	var all []storage.Op
	for i, op := range bad {
		before, after := e.put(fmt.Sprint("b", i), 1), e.put(fmt.Sprint("c", i), 1)
		r := e.attempt(before, op, after)
		if r[0].Err != nil || !errors.Is(r[1].Err, storage.ErrPoison) || r[2].Err != nil {
			e.Fatalf("%T %+v was answered %+v", op, op, r)
		}
		all = append(all, op, before)
	}
	for i, r := range e.attempt(all...) {
		if bad := i%2 == 0; errors.Is(r.Err, storage.ErrPoison) != bad {
			e.Fatalf("%T %+v was answered %+v", all[i], all[i], r)
		}
	}
	e.gone("a")
	e.takes()
	e.counter("", "a", nil)
	e.unknown()
}

func unranked(e *env) {
	a := e.add("a", fields{"n": 1})
	a.MaxMembers = 1
	e.refused(a, storage.ErrPoison)
	e.counter("s", "a", nil)
}
