package redis

import (
	"maps"
	"slices"
	"strconv"

	"github.com/actionflows/lifeline/storage"
)

// collectionCall is the script call for the operations on one collection;
// collection.lua says what each key and argument is.
func collectionCall(k collectionKeys, b *batch) *call {
	c := &call{
		keys: []string{k.members(), k.ends(), k.chains(), k.ranking("")},
		args: []any{k.base},
	}
	for _, op := range b.ops {
		switch op := op.(type) {
		case *storage.Put:
			c.keys = append(c.keys, k.document(op.ID), k.counters("")+op.ID)
			c.args = append(c.args, putArgs(op)...)
		case *storage.Del:
			c.keys = append(c.keys, k.document(op.ID), k.counters("")+op.ID)
			c.args = append(c.args, "D", op.ID, op.Stamp.Micros, op.Stamp.Producer.String())
		case *storage.Add:
			c.keys = append(c.keys, k.counters(op.Scope)+op.Member, k.ranking(op.Scope), k.document(op.Member))
			c.args = append(c.args, addArgs(op)...)
		}
	}
	return c
}

func putArgs(p *storage.Put) []any {
	group := groupMembers("")
	if p.Within != "" {
		group = groupMembers(p.Indexes[p.Within])
	}
	args := make([]any, 0, 10+len(p.Indexes))
	args = append(args,
		"P", p.ID, p.Body, p.Stamp.Micros, p.Stamp.Producer.String(), milliseconds(p.TTL),
		group, p.Rank, max(p.MaxMembers, 0), len(p.Indexes))
	for _, index := range slices.Sorted(maps.Keys(p.Indexes)) {
		args = append(args, indexMembers(index, p.Indexes[index]))
	}
	return args
}

func addArgs(a *storage.Add) []any {
	args := append([]any{"A", a.Member}, linkArgs(a.Link)...)
	args = append(args, flag('r', a.Rebase)+flag('x', a.IfExists), a.RankBy, max(a.MaxMembers, 0), a.TrimFrom, a.TrimTo)
	for _, fields := range []map[string]int64{a.Deltas, a.Low, a.High} {
		args = append(args, len(fields))
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			args = append(args, name, strconv.FormatInt(fields[name], 10))
		}
	}
	return args
}
