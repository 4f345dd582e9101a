package disk

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/actionflows/lifeline/storage"
)

// call is one operation on a log or a queue, named so that they can be told apart.
type call struct {
	name string
	id   string // of an Append or Push; "": a ReadLog or Take
	max  int    // of a Take
}

// answer is what the driver said: of an Append the sequence number, of a ReadLog
// or Take the ids.
type answer struct {
	duplicate bool
	seq       uint64
	ids       string
}

func split(s string) []string { return strings.Fields(s) }

// logModel is a log as it should be: a state is its ids in order.
var logModel = porcupine.Model{
	Partition: byName,
	Init:      func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		ids, in, out := split(state.(string)), input.(call), output.(answer)
		if in.id == "" {
			return out.ids == state, state
		}
		if i := slices.Index(ids, in.id); i >= 0 {
			return out.duplicate && out.seq == uint64(i+1), state
		}
		ids = append(ids, in.id)
		return !out.duplicate && out.seq == uint64(len(ids)), strings.Join(ids, " ")
	},
}

// queueModel is a queue as it should be: a state is the ids that wait, and behind
// a bar those that were taken.
var queueModel = porcupine.Model{
	Partition: byName,
	Init:      func() any { return "|" },
	Step: func(state, input, output any) (bool, any) {
		waits, took, _ := strings.Cut(state.(string), "|")
		waiting, taken := split(waits), split(took)
		in, out := input.(call), output.(answer)
		if in.id == "" {
			n := min(in.max, len(waiting))
			if strings.Join(waiting[:n], " ") != out.ids {
				return false, state
			}
			taken = append(taken, waiting[:n]...)
			slices.Sort(taken)
			return true, strings.Join(waiting[n:], " ") + "|" + strings.Join(taken, " ")
		}
		if slices.Contains(waiting, in.id) || slices.Contains(taken, in.id) {
			return out.duplicate, state
		}
		return !out.duplicate, strings.Join(append(waiting, in.id), " ") + "|" + took
	},
}

func byName(history []porcupine.Operation) [][]porcupine.Operation {
	parts := make(map[string][]porcupine.Operation)
	for _, o := range history {
		name := o.Input.(call).name
		parts[name] = append(parts[name], o)
	}
	var all [][]porcupine.Operation
	for _, p := range parts {
		all = append(all, p)
	}
	return all
}

// history lets eight clients make random calls and notes what they were answered.
func history(t *testing.T, make func(rnd *rand.Rand) call, do func(c call) (answer, error)) []porcupine.Operation {
	t.Helper()
	const clients, each = 8, 40
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	var all []porcupine.Operation
	var wg sync.WaitGroup
	start := time.Now()
	for client := range clients {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(client)))
			for range each {
				c := make(rnd)
				from := time.Since(start)
				a, err := do(c)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				all = append(all, porcupine.Operation{
					ClientId: client, Input: c, Output: a, Call: int64(from), Return: int64(time.Since(start)),
				})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all
}

func result(d *Driver, t *testing.T, op storage.Op) (storage.Result, error) {
	r, err := d.Apply(t.Context(), []storage.Op{op})
	if err != nil {
		return storage.Result{}, err
	}
	return r[0], r[0].Err
}

func TestAppendIsLinearizable(t *testing.T) {
	d := open(t, Options{})
	h := history(t, func(rnd *rand.Rand) call {
		c := call{name: fmt.Sprint("e", rnd.IntN(4))}
		if rnd.IntN(3) > 0 {
			c.id = fmt.Sprint(rnd.IntN(60))
		}
		return c
	}, func(c call) (answer, error) {
		if c.id == "" {
			page, err := d.ReadLog(t.Context(), c.name, storage.LogQuery{Limit: storage.MaxPage})
			var ids []string
			for _, e := range page.Entries {
				ids = append(ids, e.ID)
			}
			return answer{ids: strings.Join(ids, " ")}, err
		}
		r, err := result(d, t, &storage.Append{Log: c.name, ID: c.id})
		return answer{duplicate: r.Duplicate, seq: r.Cursor.Pos.Seq}, err
	})
	if got := porcupine.CheckOperationsTimeout(logModel, h, 30*time.Second); got != porcupine.Ok {
		t.Fatalf("the history of %d operations is %s", len(h), got)
	}
}

func TestTakeIsLinearizable(t *testing.T) {
	d := open(t, Options{})
	h := history(t, func(rnd *rand.Rand) call {
		c := call{name: fmt.Sprint("q", rnd.IntN(4)), max: 1 + rnd.IntN(3)}
		if rnd.IntN(2) > 0 {
			c.id = fmt.Sprint(rnd.IntN(60))
		}
		return c
	}, func(c call) (answer, error) {
		if c.id == "" {
			items, err := d.Take(t.Context(), c.name, c.max)
			var ids []string
			for _, i := range items {
				ids = append(ids, i.ID)
			}
			return answer{ids: strings.Join(ids, " ")}, err
		}
		r, err := result(d, t, &storage.Push{Queue: c.name, ID: c.id})
		return answer{duplicate: r.Duplicate}, err
	})
	if got := porcupine.CheckOperationsTimeout(queueModel, h, 30*time.Second); got != porcupine.Ok {
		t.Fatalf("the history of %d operations is %s", len(h), got)
	}
}

// The checkers find what is wrong: an item handed out twice, one passed over, an
// entry lost and one doubled.
func TestModelsCanFail(t *testing.T) {
	op := func(at int64, c call, a answer) porcupine.Operation {
		return porcupine.Operation{Input: c, Output: a, Call: at, Return: at + 1}
	}
	push, take := call{name: "q", id: "a"}, call{name: "q", max: 1}
	other := call{name: "q", id: "b"}
	queue := map[string][]porcupine.Operation{
		"twice":      {op(0, push, answer{}), op(2, take, answer{ids: "a"}), op(4, take, answer{ids: "a"})},
		"passed by":  {op(0, push, answer{}), op(2, other, answer{}), op(4, take, answer{ids: "b"})},
		"lost":       {op(0, push, answer{}), op(2, take, answer{})},
		"taken anew": {op(0, push, answer{}), op(2, take, answer{ids: "a"}), op(4, push, answer{})},
	}
	for name, h := range queue {
		if porcupine.CheckOperations(queueModel, h) {
			t.Errorf("queue, %s: nothing was found", name)
		}
	}
	add, read := call{name: "e", id: "a"}, call{name: "e"}
	log := map[string][]porcupine.Operation{
		"lost":    {op(0, add, answer{seq: 1}), op(2, read, answer{})},
		"doubled": {op(0, add, answer{seq: 1}), op(2, add, answer{seq: 2})},
		"skipped": {op(0, add, answer{seq: 2})},
	}
	for name, h := range log {
		if porcupine.CheckOperations(logModel, h) {
			t.Errorf("log, %s: nothing was found", name)
		}
	}
}
