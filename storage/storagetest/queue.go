package storagetest

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

var queueTests = []test{
	{"items come out once, the oldest first", queueOrder},
	{"an unknown queue is empty", queueUnknown},
	{"max bounds what Take answers", takeMax},
	{"an id that is waiting is a duplicate", pushWaiting},
	{"an id that was taken is a duplicate", pushTaken},
	{"Exists tells whether others were waiting", pushExists},
	{"a full queue refuses", pushFull},
	{"an item whose time is over is not handed out", itemExpires},
	{"an item whose time is over takes no room and is no duplicate", itemExpired},
	{"a queue forgets what was taken when its time is over", queueForgets},
	{"queues are apart", otherQueue},
	{"an item of 1 MiB, and none", itemData},
	{"odd queues and ids", oddQueues},
	{"no item is handed out twice to concurrent takers", concurrentTakers},
}

// push is an item of the test's queue.
func (e *env) push(id string) *storage.Push {
	return &storage.Push{Queue: e.log, ID: id, Data: []byte("data of " + id)}
}

func (e *env) take(most int) []storage.Item {
	e.Helper()
	items, err := e.d.Take(e.ctx, e.log, most)
	if err != nil {
		e.Fatalf("take: %v", err)
	}
	return items
}

func itemIDs(items []storage.Item) []string {
	s := make([]string, len(items))
	for i, item := range items {
		s[i] = item.ID
	}
	return s
}

// takes fails unless the queue holds these items; afterwards it is empty.
func (e *env) takes(want ...string) {
	e.Helper()
	e.same("items", itemIDs(e.take(0)), want)
}

func queueOrder(e *env) {
	e.do(e.push("c"), e.push("a"))
	e.do(e.push("b"))
	items := e.take(2)
	e.same("items", itemIDs(items), []string{"c", "a"})
	for _, item := range items {
		if string(item.Data) != "data of "+item.ID {
			e.Fatalf("data is %q", item.Data)
		}
		if d := time.Since(item.Received).Abs(); d > time.Minute || !item.Received.Equal(item.Received.Truncate(time.Microsecond)) {
			e.Fatalf("%s was received at %v, %v away from now", item.ID, item.Received, d)
		}
	}
	e.do(e.push("d"))
	e.takes("b", "d")
	e.takes()
	e.do(e.push("e"))
	e.takes("e")
}

func queueUnknown(e *env) {
	e.takes()
	e.do(e.push("a"))
	e.takes("a")
}

func takeMax(e *env) {
	want := names("i", 0, storage.MaxPage+5)
	ops := make([]storage.Op, len(want))
	for i, id := range want {
		ops[i] = e.push(id)
	}
	refill := func(round int) (ids []string) {
		for i := range ops {
			ids = append(ids, fmt.Sprint(round, "-", want[i]))
			ops[i] = e.push(ids[i])
		}
		for chunk := range slices.Chunk(ops, 200) {
			e.do(chunk...)
		}
		return ids
	}
	for round, most := range []int{0, -1, storage.MaxPage, storage.MaxPage + 1, 1 << 30} {
		ids := refill(round)
		e.same("items", itemIDs(e.take(most)), ids[:storage.MaxPage])
		e.same("items", itemIDs(e.take(1)), ids[storage.MaxPage:storage.MaxPage+1])
		e.same("items", itemIDs(e.take(100)), ids[storage.MaxPage+1:])
	}
}

func pushWaiting(e *env) {
	e.fresh(e.push("a"))
	again := e.push("a")
	again.Data = []byte("something else")
	e.duplicate(again)
	r := e.do(e.push("b"), e.push("b"))
	if r[0].Duplicate || !r[1].Duplicate {
		e.Fatalf("results are %+v", r)
	}
	items := e.take(0)
	e.same("items", itemIDs(items), []string{"a", "b"})
	if string(items[0].Data) != "data of a" {
		e.Fatalf("data is %q", items[0].Data)
	}
}

func pushTaken(e *env) {
	mortal := e.push("b")
	mortal.Remaining = time.Hour
	e.do(e.push("a"), mortal)
	e.takes("a", "b")
	e.duplicate(e.push("a"))
	e.duplicate(mortal)
	e.takes()
	e.fresh(e.push("c"))
	e.takes("c")
	e.duplicate(e.push("a"))
}

func pushExists(e *env) {
	for i, want := range []bool{false, true, true} {
		if r := e.fresh(e.push(fmt.Sprint(i))); r.Exists != want {
			e.Fatalf("item %d was answered %+v", i, r)
		}
	}
	e.takes("0", "1", "2")
	if r := e.fresh(e.push("a")); r.Exists {
		e.Fatalf("nothing was waiting, the answer is %+v", r)
	}
}

func (e *env) pushMost(id string, maxLen int) *storage.Push {
	p := e.push(id)
	p.MaxLen = maxLen
	return p
}

func pushFull(e *env) {
	e.do(e.pushMost("a", 2), e.pushMost("b", 2))
	r := e.attempt(e.pushMost("c", 2), e.pushMost("a", 2), e.pushMost("d", 3))
	if r[0].Err == nil || r[1].Err != nil || !r[1].Duplicate || r[2].Err != nil {
		e.Fatalf("results are %+v", r)
	}
	e.refused(e.pushMost("c", 2), storage.ErrFull)
	e.fresh(e.pushMost("e", 0))
	e.same("items", itemIDs(e.take(3)), []string{"a", "b", "d"})
	e.fresh(e.pushMost("c", 2)) // what was refused is not known
	e.refused(e.pushMost("f", 2), storage.ErrFull)
	e.takes("e", "c")
}

func (e *env) pushMortal(id string, remaining time.Duration) *storage.Push {
	p := e.push(id)
	p.Remaining = remaining
	return p
}

func itemExpires(e *env) {
	e.do(e.pushMortal("first", time.Hour), e.pushMortal("brief", brief), e.pushMortal("second", time.Hour),
		e.push("ever"))
	// Of the items waiting only MaxLen tells without taking them.
	e.eventually("an item expires", func() bool {
		r := e.attempt(e.pushMost("next", 4))[0]
		return r.Err == nil
	})
	e.takes("first", "second", "ever", "next")
}

func itemExpired(e *env) {
	e.do(e.push("ever"), e.pushMortal("brief", brief))
	e.eventually("an item may be pushed again", func() bool { return !e.one(e.push("brief")).Duplicate })
	e.takes("ever", "brief")
	e.do(e.pushMortal("alone", brief))
	e.eventually("nothing is waiting", func() bool {
		r := e.attempt(e.pushMost("b", 1))[0]
		return r.Err == nil && !r.Exists
	})
	e.takes("b")
}

func queueForgets(e *env) {
	// Whether the item was taken in time is not for this test.
	e.do(e.pushMortal("a", brief))
	e.take(0)
	e.eventually("what was taken is forgotten", func() bool { return !e.one(e.pushMortal("a", brief)).Duplicate })
}

func otherQueue(e *env) {
	other := e.push("a")
	other.Queue += "-other"
	for _, r := range e.do(e.push("a"), other) {
		if r.Duplicate || r.Exists {
			e.Fatalf("result is %+v", r)
		}
	}
	e.takes("a")
	items, err := e.d.Take(e.ctx, other.Queue, 0)
	if err != nil {
		e.Fatal(err)
	}
	e.same("items", itemIDs(items), []string{"a"})
	// Nor has a queue anything to do with the log of its name.
	e.apply(e.entry("a"))
	e.duplicate(e.push("a"))
	e.wantIDs(e.all(), "a")
}

func itemData(e *env) {
	big, none := e.push("big"), e.push("none")
	big.Data, none.Data = bytes.Repeat([]byte("0123456789abcdef"), 1<<16), nil
	e.do(big, none)
	items := e.take(0)
	e.same("items", itemIDs(items), []string{"big", "none"})
	if !bytes.Equal(items[0].Data, big.Data) || len(items[1].Data) != 0 {
		e.Fatal("the data came back different")
	}
}

func oddQueues(e *env) {
	for _, name := range odd {
		p := &storage.Push{Queue: e.log + name, ID: name, Data: []byte(name)}
		if r := e.fresh(p); r.Exists {
			e.Fatalf("queue %q exists already", p.Queue)
		}
		e.duplicate(p)
		e.fresh(e.push(name))
	}
	for _, name := range odd {
		items, err := e.d.Take(e.ctx, e.log+name, 0)
		if err != nil || len(items) != 1 || items[0].ID != name || string(items[0].Data) != name {
			e.Fatalf("queue %q has %+v, %v", name, items, err)
		}
	}
	e.takes(odd...)
}

func concurrentTakers(e *env) {
	const items, takers = 200, 8
	var mu sync.Mutex
	taken := make(map[string]int)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	errs := make(chan error, takers)
	for range takers {
		wg.Go(func() {
			for {
				got, err := e.d.Take(e.ctx, e.log, 3)
				if err != nil {
					errs <- err
					return
				}
				mu.Lock()
				for _, item := range got {
					taken[item.ID]++
				}
				done := len(taken) == items
				mu.Unlock()
				select {
				case <-stop:
					return
				default:
				}
				if done {
					return
				}
			}
		})
	}
	for i := range items {
		e.do(e.push(fmt.Sprint("i", i)))
	}
	e.eventually("all items were taken", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(taken) == items || len(errs) > 0
	})
	close(stop)
	wg.Wait()
	for id, n := range taken {
		if n != 1 {
			e.Fatalf("%s was handed out %d times", id, n)
		}
	}
	if len(errs) > 0 {
		e.Fatal(<-errs)
	}
	e.takes()
}
