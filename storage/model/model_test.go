package model

import (
	"fmt"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// What the conformance suite, which examples/driver runs, cannot see: the bounds of
// what is remembered, and what happens after days.

var start = time.UnixMicro(1_764_000_000_000_000)

func apply(t *testing.T, s State, now time.Time, ops ...storage.Op) []storage.Result {
	t.Helper()
	s.Forget(now)
	results := s.Apply(ops, now)
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("operation %d: %v", i, r.Err)
		}
	}
	return results
}

// A log remembers at least one window of ids and at most two.
func TestIDsAreBounded(t *testing.T) {
	s := make(State)
	const n = 4*storage.DedupWindow + 500
	entry := func(i int) storage.Op { return &storage.Append{Log: "l", ID: fmt.Sprint(i), MaxLen: 10} }
	for i := range n {
		apply(t, s, start, entry(i))
		if known := len(s["l:l"].IDs); known < min(i+1, storage.DedupWindow) || known > 2*storage.DedupWindow {
			t.Fatalf("%d ids are remembered after %d entries", known, i+1)
		}
	}
	for _, i := range []int{n - storage.DedupWindow, n - 1} {
		if r := apply(t, s, start, entry(i))[0]; !r.Duplicate {
			t.Fatalf("id %d of %d is forgotten", i, n)
		}
	}
	if kept := len(s["l:l"].Entries); kept != 10 {
		t.Fatalf("%d entries are kept", kept)
	}
}

// With the end of a document its counters end.
func TestExpiredDocumentLosesItsCounters(t *testing.T) {
	s := make(State)
	apply(t, s, start, &storage.Put{Collection: "c", ID: "a", TTL: time.Hour},
		&storage.Add{Collection: "c", Member: "a", Deltas: map[string]int64{"n": 1}, IfExists: true})
	s.Forget(start.Add(time.Hour))
	if got := s.Counters("c", "", storage.CounterQuery{Member: "a"}); len(got) != 0 {
		t.Fatalf("counters are %+v", got)
	}
}

// Nothing is remembered for ever of what is over.
func TestForgetsEverything(t *testing.T) {
	s := make(State)
	link := storage.Link{Producer: 7, Number: 1}
	apply(t, s, start,
		&storage.Append{Log: "dropped", ID: "a"}, &storage.Drop{Scope: "dropped"},
		&storage.Append{Log: "aged", ID: "a", MaxAge: time.Minute, Link: link},
		&storage.Push{Queue: "q", ID: "a", Remaining: time.Minute, Link: link},
		&storage.Put{Collection: "c", ID: "a"}, &storage.Del{Collection: "c", ID: "a"})
	s.Forget(start.Add(storage.TombstoneAge - time.Hour))
	if s["l:dropped"] == nil || s["c:c"] == nil {
		t.Fatal("a deletion is forgotten too early")
	}
	if s["l:aged"] != nil || s["q:q"] != nil {
		t.Fatalf("state is %v", s)
	}
	s.Forget(start.Add(storage.TombstoneAge + time.Hour))
	if len(s) != 0 {
		t.Fatalf("state is %v", s)
	}
}
