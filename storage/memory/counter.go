package memory

import (
	"context"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// scope is the counters of one scope by member.
type scope struct {
	members map[string]map[string]int64
	rankBy  string // "": not ranked
	ranking ranking
}

func counterSize(member string, fields map[string]int64) int64 {
	n := recordOverhead + len(member)
	for name := range fields {
		n += len(name) + 48
	}
	return int64(n)
}

func (d *Driver) add(op *storage.Add, now time.Time) storage.Result {
	c := d.collection(op.Collection)
	result := storage.Result{Link: op.Link}
	result.Exists = op.IfExists && c.alive(op.Member, now) != nil
	var err error
	result.Duplicate, err = c.chain.Order(op.Link, op.Rebase)
	if op.Rebase && op.Link.Producer != 0 && op.Link.Number == c.chain.Number(op.Link.Producer) {
		result.Duplicate = true // nothing but its number tells that it was applied before
	}
	if err != nil {
		result.Err = fmt.Errorf("add to %q: %w", op.Member, err)
	}
	if err != nil || result.Duplicate {
		return result
	}
	if op.IfExists && !result.Exists {
		c.chain = c.chain.Take(op.Link)
		return result
	}
	s := c.scopes[op.Scope]
	if s == nil {
		s = &scope{members: make(map[string]map[string]int64)}
	}
	fields, err := added(s.members[op.Member], op)
	if err != nil {
		result.Err = fmt.Errorf("add to %q: %w", op.Member, err)
		return result
	}
	if result.Err = d.room(counterSize(op.Member, fields)); result.Err != nil {
		return result
	}
	c.chain = c.chain.Take(op.Link)
	c.scopes[op.Scope] = s
	d.rankScope(s, op.RankBy)
	d.setMember(s, op.Member, fields)
	if op.IfExists && op.RankBy != "" {
		c.rerank(op.Member, fields[op.RankBy])
	}
	for op.MaxMembers > 0 && len(s.members) > op.MaxMembers {
		name, ok := s.ranking.lowest(op.Member)
		if !ok {
			break
		}
		d.setMember(s, name, nil)
	}
	if len(s.members) == 0 {
		delete(c.scopes, op.Scope)
	}
	return result
}

// added are a member's fields after an Add.
func added(old map[string]int64, op *storage.Add) (map[string]int64, error) {
	fields := maps.Clone(old)
	if fields == nil {
		fields = make(map[string]int64)
	}
	for name, delta := range op.Deltas {
		v := fields[name]
		if delta > 0 && v > math.MaxInt64-delta || delta < 0 && v < math.MinInt64-delta {
			return nil, fmt.Errorf("field %q would overflow: %w", name, storage.ErrPoison)
		}
		fields[name] = v + delta
	}
	for name, v := range op.Low {
		if present, ok := fields[name]; !ok || v < present {
			fields[name] = v
		}
	}
	for name, v := range op.High {
		if present, ok := fields[name]; !ok || v > present {
			fields[name] = v
		}
	}
	maps.DeleteFunc(fields, func(name string, _ int64) bool { return op.TrimFrom <= name && name < op.TrimTo })
	return fields, nil
}

// rankScope sees to it that a scope is ranked by a field.
func (d *Driver) rankScope(s *scope, by string) {
	if by == "" || by == s.rankBy {
		return
	}
	s.rankBy, s.ranking = by, nil
	for name, fields := range s.members {
		s.ranking.add(place{fields[by], name})
	}
}

// setMember replaces the fields of a member; without any it is removed.
func (d *Driver) setMember(s *scope, name string, fields map[string]int64) {
	if old, ok := s.members[name]; ok {
		d.grow(-counterSize(name, old))
		s.ranking.remove(place{old[s.rankBy], name})
		delete(s.members, name)
	}
	if len(fields) == 0 {
		return
	}
	s.members[name] = fields
	d.grow(counterSize(name, fields))
	if s.rankBy != "" {
		s.ranking.add(place{fields[s.rankBy], name})
	}
}

// forgetCounters removes what is counted of a document.
func (d *Driver) forgetCounters(c *collection, id string) {
	s := c.scopes[""]
	if s == nil {
		return
	}
	if d.setMember(s, id, nil); len(s.members) == 0 {
		delete(c.scopes, "")
	}
}

// Counters implements [storage.Driver].
func (d *Driver) Counters(ctx context.Context, name, scope string, q storage.CounterQuery) ([]storage.Counter, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := d.usable(ctx); err != nil {
		return nil, fmt.Errorf("read counters from memory: %w", err)
	}
	c := d.collections[name]
	if c == nil || c.scopes[scope] == nil {
		return nil, nil
	}
	s := c.scopes[scope]
	names := []string{q.Member}
	if q.Top > 0 {
		names = s.ranking.highest(min(q.Top, storage.MaxPage))
	}
	var found []storage.Counter
	for _, name := range names {
		if fields, ok := s.members[name]; ok {
			found = append(found, storage.Counter{Member: name, Fields: maps.Clone(fields)})
		}
	}
	return found, nil
}
