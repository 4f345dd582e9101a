package disk

import (
	"math"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

func TestAddOverflow(t *testing.T) {
	d := open(t, Options{})
	count := func(n int64) *storage.Add {
		return &storage.Add{Collection: "c", Member: "a", Deltas: map[string]int64{"n": n}}
	}
	for _, end := range []int64{math.MaxInt64, math.MinInt64} {
		must(t, d, &storage.Del{Collection: "c", ID: "a"}, count(end))
		beyond := count(1)
		if end < 0 {
			beyond = count(-1)
		}
		wantPoison(t, "Add", add(t, d, beyond).Err)
		if n := counterOf(t, d, "c", "", "a")["n"]; n != end {
			t.Fatalf("the counter is %d", n)
		}
	}
}

// Only its number tells that an Add was applied before, also when it rebases.
func TestRebasedAddAgain(t *testing.T) {
	d := open(t, Options{})
	op := &storage.Add{
		Collection: "c", Member: "a", Deltas: map[string]int64{"n": 1},
		Link: storage.Link{Producer: 5, Number: 9}, Rebase: true,
	}
	must(t, d, op)
	if r := must(t, d, op); !r.Duplicate {
		t.Fatalf("answer is %+v", r)
	}
	if n := counterOf(t, d, "c", "", "a")["n"]; n != 1 {
		t.Fatalf("the counter is %d", n)
	}
}

// A producer beyond the 32 most recent is forgotten, and begins anew.
func TestProducersAreBounded(t *testing.T) {
	d := open(t, Options{})
	for p := range storage.Producer(40) {
		must(t, d, &storage.Push{Queue: "q", ID: p.String(), Link: storage.Link{Producer: p + 1, Number: 1}},
			&storage.Add{Collection: "c", Member: "a", Deltas: map[string]int64{"n": 1}, Link: storage.Link{Producer: p + 1, Number: 1}})
	}
	again := func(p storage.Producer) bool {
		return must(t, d, &storage.Add{Collection: "c", Member: "a", Link: storage.Link{Producer: p, Number: 1}}).Duplicate
	}
	if !again(40) || again(1) {
		t.Fatal("the last numbers are not those of the most recent producers")
	}
}

// An item that was handed out elsewhere is not handed out here, though it waits.
func TestTakenElsewhereWhileWaiting(t *testing.T) {
	d := open(t, Options{})
	must(t, d, &storage.Push{Queue: "q", ID: "a"}, &storage.Push{Queue: "q", ID: "b"})
	if r := must(t, d, &storage.Push{Queue: "q", ID: "a", Taken: true}); !r.Duplicate {
		t.Fatalf("answer is %+v", r)
	}
	if ids := takeAll(t, d, "q"); len(ids) != 1 || ids[0] != "b" {
		t.Fatalf("items are %q", ids)
	}
}
