// Package linear checks that what many clients are told by a driver about its logs
// and queues is what they would be told one after the other: that each operation
// takes effect at one moment between call and answer.
//
// Its functions are for tests of drivers, of one or of several on one backend. They
// need names that nothing else uses, and no time passes in them.
package linear

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

const (
	clients, each = 8, 40 // and operations of each
	names, ids    = 4, 60
	patience      = 30 * time.Second // for a verdict
)

// call is one operation on a log or a queue.
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

// Append checks Append against ReadLog. The clients take turns with the drivers.
func Append(t *testing.T, drivers ...storage.Driver) {
	t.Helper()
	check(t, logModel, drivers, func(rnd *rand.Rand) call {
		c := call{name: fmt.Sprint("linear", rnd.IntN(names))}
		if rnd.IntN(3) > 0 {
			c.id = fmt.Sprint(rnd.IntN(ids))
		}
		return c
	}, func(d storage.Driver, c call) (answer, error) {
		if c.id == "" {
			page, err := d.ReadLog(t.Context(), c.name, storage.LogQuery{Limit: storage.MaxPage})
			list := make([]string, len(page.Entries))
			for i, e := range page.Entries {
				list[i] = e.ID
			}
			return answer{ids: strings.Join(list, " ")}, err
		}
		r, err := apply(t, d, &storage.Append{Log: c.name, ID: c.id})
		return answer{duplicate: r.Duplicate, seq: r.Cursor.Pos.Seq}, err
	})
}

// Take checks Push against Take. The clients take turns with the drivers.
func Take(t *testing.T, drivers ...storage.Driver) {
	t.Helper()
	check(t, queueModel, drivers, func(rnd *rand.Rand) call {
		c := call{name: fmt.Sprint("linear", rnd.IntN(names)), max: 1 + rnd.IntN(3)}
		if rnd.IntN(2) > 0 {
			c.id = fmt.Sprint(rnd.IntN(ids))
		}
		return c
	}, func(d storage.Driver, c call) (answer, error) {
		if c.id == "" {
			items, err := d.Take(t.Context(), c.name, c.max)
			list := make([]string, len(items))
			for i, item := range items {
				list[i] = item.ID
			}
			return answer{ids: strings.Join(list, " ")}, err
		}
		r, err := apply(t, d, &storage.Push{Queue: c.name, ID: c.id})
		return answer{duplicate: r.Duplicate}, err
	})
}

func apply(t *testing.T, d storage.Driver, op storage.Op) (storage.Result, error) {
	t.Helper()
	r, err := d.Apply(t.Context(), []storage.Op{op})
	if err != nil {
		return storage.Result{}, err
	}
	return r[0], r[0].Err
}

// check lets the clients make random calls and judges what they were answered.
func check(t *testing.T, m porcupine.Model, drivers []storage.Driver,
	pick func(*rand.Rand) call, do func(storage.Driver, call) (answer, error),
) {
	t.Helper()
	seed := rand.Uint64() //nolint:gosec // to be repeated
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	var history []porcupine.Operation
	var wg sync.WaitGroup
	start := time.Now()
	for client := range clients {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(client))) //nolint:gosec // to be repeated
			for range each {
				c := pick(rnd)
				from := time.Since(start)
				a, err := do(drivers[client%len(drivers)], c)
				if err != nil {
					t.Errorf("client %d, %+v: %v", client, c, err)
					return
				}
				mu.Lock()
				history = append(history, porcupine.Operation{
					ClientId: client, Input: c, Output: a, Call: int64(from), Return: int64(time.Since(start)),
				})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if got := porcupine.CheckOperationsTimeout(m, history, patience); got != porcupine.Ok {
		t.Errorf("the history of %d operations is %s", len(history), got)
	}
}

// logModel is a log as it should be: a state is its ids in order.
var logModel = porcupine.Model{
	Partition: byName,
	Init:      func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		list, in, out := strings.Fields(state.(string)), input.(call), output.(answer)
		if in.id == "" {
			return out.ids == state, state
		}
		if i := slices.Index(list, in.id); i >= 0 {
			return out.duplicate && out.seq == uint64(i)+1, state //nolint:gosec // an index
		}
		list = append(list, in.id)
		return !out.duplicate && out.seq == uint64(len(list)), strings.Join(list, " ")
	},
}

// queueModel is a queue as it should be: a state is the ids that wait, and behind
// a bar those that were taken.
var queueModel = porcupine.Model{
	Partition: byName,
	Init:      func() any { return "|" },
	Step: func(state, input, output any) (bool, any) {
		waits, took, _ := strings.Cut(state.(string), "|")
		waiting, taken := strings.Fields(waits), strings.Fields(took)
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
	parts := map[string][]porcupine.Operation{}
	for _, o := range history {
		name := o.Input.(call).name
		parts[name] = append(parts[name], o)
	}
	all := make([][]porcupine.Operation, 0, len(parts))
	for _, p := range parts {
		all = append(all, p)
	}
	return all
}
