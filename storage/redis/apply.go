package redis

import (
	"context"
	"errors"
	"slices"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
)

// Apply implements [storage.Driver]: one script call for each log, queue or
// collection, all in one round trip. They do not wait for each other, but what
// follows a Drop of the same name costs a further round trip, as the Drop itself
// does behind something else.
func (d *Driver) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	stages, results := plan(ops)
	answers, err := bounded(ctx, d, func(ctx context.Context) ([][]answer, error) {
		return d.applyAll(ctx, stages), nil
	})
	for i, stage := range stages {
		for j, b := range stage {
			a := answer{err: err}
			if answers != nil {
				a = answers[i][j]
				a.err = blame(ctx, a.err)
			}
			if e := a.settle(b, results); err == nil {
				err = e
			}
		}
	}
	return results, err
}

// batch is what one script call does to one log, queue or collection.
type batch struct {
	about subject
	name  string
	ops   []storage.Op
	place []int // of each op among the results
}

func (b *batch) fail(results []storage.Result, err error) {
	for _, i := range b.place {
		results[i] = storage.Result{Err: err}
	}
}

// plan sorts operations into batches. Those of one stage are independent of each
// other; a Drop stands in a later stage than what comes before it in the log and
// the queue of its name, and in an earlier one than what follows.
func plan(ops []storage.Op) (stages [][]*batch, results []storage.Result) {
	type target struct {
		about subject
		name  string
		stage int
	}
	results = make([]storage.Result, len(ops))
	byTarget := map[target]*batch{}
	stage, used := map[string]int{}, map[string]bool{} // of logs and queues by name
	for i, op := range ops {
		if results[i].Err = storage.Check(op); results[i].Err != nil {
			continue
		}
		t := target{}
		switch t.about, t.name = aim(op); t.about {
		case aboutCollection:
		case aboutDrop:
			if used[t.name] {
				stage[t.name]++
			}
			t.stage = stage[t.name]
			stage[t.name]++
			used[t.name] = false
		default:
			t.stage, used[t.name] = stage[t.name], true
		}
		b := byTarget[t]
		if b == nil {
			b = &batch{about: t.about, name: t.name}
			byTarget[t] = b
			for len(stages) <= t.stage {
				stages = append(stages, nil)
			}
			stages[t.stage] = append(stages[t.stage], b)
		}
		b.ops = append(b.ops, op)
		b.place = append(b.place, i)
	}
	return stages, results
}

func aim(op storage.Op) (about subject, name string) {
	switch op := op.(type) {
	case *storage.Append:
		return aboutLog, op.Log
	case *storage.Push:
		return aboutQueue, op.Queue
	case *storage.Put:
		return aboutCollection, op.Collection
	case *storage.Del:
		return aboutCollection, op.Collection
	case *storage.Add:
		return aboutCollection, op.Collection
	case *storage.Drop:
		return aboutDrop, op.Scope
	}
	return "", "" // storage.Check has refused it
}

func partitionFor(about subject, name string) string {
	if about == aboutCollection {
		return collectionPartition(name)
	}
	return partitionName(name)
}

// call is the script call for the batch.
func (b *batch) call(k keyspace) *call {
	var c *call
	switch b.about {
	case aboutLog:
		c = logCall(k.log(b.name), b)
	case aboutQueue:
		c = pushCall(k.queue(b.name), b)
	case aboutCollection:
		c = collectionCall(k.collection(b.name), b)
	case aboutDrop:
		l := k.log(b.name)
		c = &call{
			keys: slices.Concat([]string{l.stream, l.meta, l.ids0, l.ids1}, k.queue(b.name).all(), []string{l.index}),
			args: []any{b.name},
		}
	case aboutBeat: // no operation is about it
	}
	c.about, c.partition = b.about, partitionFor(b.about, b.name)
	return c
}

// applyAll carries out one stage after the other. When Redis cannot be used, what
// follows is not tried: it must not overtake what came before.
func (d *Driver) applyAll(ctx context.Context, stages [][]*batch) [][]answer {
	answers := make([][]answer, len(stages))
	var failed error
	for i, stage := range stages {
		answers[i] = make([]answer, len(stage))
		if failed != nil {
			for j := range stage {
				answers[i][j].err = failed
			}
			continue
		}
		calls := make([]*call, len(stage))
		for j, b := range stage {
			calls[j] = b.call(d.keys)
		}
		d.carryOut(ctx, calls)
		for j, c := range calls {
			a := parseAnswer(c, stage[j])
			answers[i][j] = a
			d.tell(a, stage[j].about)
			if Counts(a.err) && failed == nil {
				failed = a.err
			}
		}
	}
	return answers
}

// tell looks at the server's configuration when it has answered for the first
// time, and warns once when notices stop getting through.
func (d *Driver) tell(a answer, about subject) {
	if a.err != nil {
		return
	}
	d.checkServer()
	if about != aboutLog {
		return
	}
	if failed := a.notice != ""; d.noticeFailed.Swap(failed) != failed && failed {
		d.log.Warn("redis stores events but does not pass on notices; "+
			"other nodes deliver them late", zap.String("error", a.notice))
	}
}

// own reports whether err is about one log, queue or collection alone, and its
// outcome is known.
func own(err error) bool {
	return errors.Is(err, storage.ErrGap) || errors.Is(err, storage.ErrPoison)
}
