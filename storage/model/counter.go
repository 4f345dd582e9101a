package model

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

func (sp *Space) add(op *storage.Add, now time.Time) storage.Result {
	document := sp.Records[op.Member]
	result := storage.Result{Link: op.Link, Exists: op.IfExists && document.There}
	result.Duplicate, result.Err = sp.Chain.Order(op.Link, op.Rebase)
	if op.Rebase && op.Link.Producer != 0 && op.Link.Number == sp.Chain.Number(op.Link.Producer) {
		result.Duplicate = true // nothing but its number tells that it was applied before
	}
	if result.Err != nil || result.Duplicate {
		return result
	}
	if op.IfExists && !result.Exists {
		sp.Chain = sp.Chain.Take(op.Link)
		return result
	}
	old := sp.Scopes[op.Scope][op.Member]
	fields, err := sequence.Added(old.Fields, op)
	if err != nil {
		result.Err = fmt.Errorf("add to %q: %w", op.Member, err)
		return result
	}
	sp.Chain = sp.Chain.Take(op.Link)
	member := Record{ID: op.Member, There: true, Fields: fields, Rank: old.Rank}
	if op.RankBy != "" {
		member.Rank = fields[op.RankBy]
	}
	if op.IfExists && op.RankBy != "" {
		document.Rank = member.Rank
		sp.Records[op.Member] = document
	}
	if sp.Scopes[op.Scope] == nil {
		sp.Scopes[op.Scope] = make(Table)
	}
	members := sp.Scopes[op.Scope]
	members[op.Member] = member
	if len(fields) == 0 {
		delete(members, op.Member)
	}
	for _, lowest := range members.surplus(op.MaxMembers, op.Member, every) {
		delete(members, lowest.ID)
	}
	return result
}

// Counters answers as [storage.Driver.Counters] does.
func (s State) Counters(collection, scope string, q storage.CounterQuery) []storage.Counter {
	sp := s[collections+collection]
	if sp == nil {
		return nil
	}
	if q.Top <= 0 {
		r, ok := sp.Scopes[scope][q.Member]
		if !ok {
			return nil
		}
		return []storage.Counter{{Member: r.ID, Fields: maps.Clone(r.Fields)}}
	}
	members := slices.SortedFunc(maps.Values(sp.Scopes[scope]), func(a, b Record) int {
		return cmp.Or(cmp.Compare(b.Rank, a.Rank), cmp.Compare(a.ID, b.ID))
	})
	top := make([]storage.Counter, min(len(members), q.Top, storage.MaxPage))
	for i := range top {
		top[i] = storage.Counter{Member: members[i].ID, Fields: maps.Clone(members[i].Fields)}
	}
	return top
}
