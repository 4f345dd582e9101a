package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/actionflows/lifeline/storage"
)

// Of a driver whose data lies in no partitions there is nothing to test.
var partitionedTests = []test{
	{"lanes are named and stay the same", partitioned(lanes)},
	{"a partition is of a name, and stays the same", partitioned(samePartition)},
	{"Beat works in every lane", partitioned(beats)},
	{"Beat heeds its context and Close", partitioned(beatEnds)},
	{"nothing is lost while nothing happens", partitioned(noLoss)},
}

func partitioned(run func(*env, storage.Partitioned)) func(*env) {
	return func(e *env) {
		if p, ok := e.d.(storage.Partitioned); ok {
			run(e, p)
		}
	}
}

// laneCount is how many lanes there are: with no name for it still one.
func laneCount(p storage.Partitioned) int { return max(len(p.Lanes()), 1) }

// everyKind is an operation of each kind on things of a name.
func everyKind(name string) []storage.Op {
	return []storage.Op{
		&storage.Append{Log: name, ID: "a", Data: []byte("x")},
		&storage.Push{Queue: name, ID: "a", Data: []byte("x")},
		&storage.Put{Collection: name, ID: "a", Body: []byte("x"), Stamp: at(1)},
		&storage.Add{Collection: name, Scope: "s", Member: "a", Deltas: fields{"n": 1}},
		&storage.Del{Collection: name, ID: "a", Stamp: at(2)},
		&storage.Drop{Scope: name},
	}
}

func lanes(e *env, p storage.Partitioned) {
	seen := map[string]bool{}
	first := p.Lanes()
	for _, name := range first {
		if name == "" || seen[name] {
			e.Errorf("lanes are %q", first)
		}
		seen[name] = true
	}
	e.do(everyKind(e.log)...)
	e.same("lanes", p.Lanes(), first)
}

func samePartition(e *env, p storage.Partitioned) {
	type place struct {
		name string
		lane int
	}
	of := func(op storage.Op) place {
		name, lane := p.Partition(op)
		if name == "" || lane < 0 || lane >= laneCount(p) {
			e.Errorf("%T is in partition %q, lane %d of %d", op, name, lane, laneCount(p))
		}
		return place{name, lane}
	}
	laneOf := map[string]int{}
	before := map[string][]place{}
	names := append([]string{e.log}, odd...)
	for _, name := range names {
		for _, op := range everyKind(name) {
			at := of(op)
			before[name] = append(before[name], at)
			if lane, known := laneOf[at.name]; known && lane != at.lane {
				e.Errorf("partition %q is in the lanes %d and %d", at.name, lane, at.lane)
			}
			laneOf[at.name] = at.lane
		}
		places := before[name]
		if places[2] != places[3] || places[2] != places[4] {
			e.Errorf("collection %q is in the partitions %v", name, places[2:5])
		}
		// What else there is in an operation does not count.
		if other := of(&storage.Append{Log: name, ID: "other", MaxLen: 5}); other != places[0] {
			e.Errorf("log %q is in the partitions %v and %v", name, places[0], other)
		}
	}
	e.do(everyKind(e.log)...)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, name := range names {
				for i, op := range everyKind(name) {
					if now := of(op); now != before[name][i] {
						e.Errorf("%T of %q was in partition %v, is in %v", op, name, before[name][i], now)
					}
				}
			}
		})
	}
	wg.Wait()
}

func beats(e *env, p storage.Partitioned) {
	for range 2 { // without collections, and with one
		for lane := range laneCount(p) {
			if err := p.Beat(e.ctx, lane); err != nil {
				e.Errorf("lane %d: %v", lane, err)
			}
		}
		e.do(everyKind(e.log)...)
	}
}

func beatEnds(e *env, p storage.Partitioned) {
	e.do(everyKind(e.log)...)
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	for lane := range laneCount(p) {
		if err := e.within("Beat", func() error { return p.Beat(ctx, lane) }); !errors.Is(err, context.Canceled) {
			e.Errorf("lane %d with its context at an end: %v", lane, err)
		}
	}
	if err := e.d.Close(); err != nil {
		e.Fatal(err)
	}
	for lane := range laneCount(p) {
		if err := e.within("Beat", func() error { return p.Beat(e.ctx, lane) }); !errors.Is(err, storage.ErrClosed) {
			e.Errorf("lane %d after Close: %v", lane, err)
		}
	}
}

func noLoss(e *env, p storage.Partitioned) {
	p.OnLoss(func(partition string) { e.Errorf("a loss of partition %q was told", partition) })
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 20 {
				if _, err := e.d.Apply(e.ctx, everyKind(fmt.Sprint(e.log, j%3, "-", i%2))); err != nil {
					e.Errorf("apply: %v", err)
				}
				if err := p.Beat(e.ctx, j%laneCount(p)); err != nil {
					e.Errorf("beat: %v", err)
				}
			}
		})
	}
	wg.Wait()
}
