// Package model is the contract of [storage.Driver] on plain maps, as short as it can
// be: what each operation does and answers, without locks, bounds, files or failures.
//
// A driver whose state fits into memory can be built on it: it adds how the state is
// kept, and shares the rules with every other driver. examples/driver is one. A State
// can be encoded with encoding/gob. No method may run beside another; calls take
// time in proportion to the whole.
package model

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// State is everything: a Space for each log, queue and collection. Make it with make.
type State map[string]*Space

// A name in State begins with what it names.
const (
	logs        = "l:"
	queues      = "q:"
	collections = "c:"
)

// Space has Log, Entries and IDs of a log, and the others of a queue or a collection.
type Space struct {
	Log     sequence.State
	Entries []storage.LogEntry // what is kept, oldest first
	IDs     map[string]storage.LogEntry
	Chain   sequence.Chain
	Next    int64 // rank in the queue
	Used    int64 // µs
	Records Table // the queue's items, or the documents
	Scopes  map[string]Table
}

// Table holds records by id.
type Table map[string]Record

// Record is a document, an item, or a member of a scope.
type Record struct {
	ID      string
	There   bool // false: deleted or taken, and only remembered
	Data    []byte
	Stamp   storage.Stamp // of an item: when it was received
	End     int64         // µs; 0: never
	Rank    int64
	Group   string
	Indexes map[string]string
	Fields  map[string]int64
}

func (s State) at(name string, now time.Time) *Space {
	if s[name] == nil {
		s[name] = &Space{IDs: make(map[string]storage.LogEntry), Records: make(Table), Scopes: make(map[string]Table)}
	}
	s[name].Used = now.UnixMicro()
	return s[name]
}

func deadline(now time.Time, d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return now.Add(d).UnixMicro()
}

// Forget removes what is over at the time now. A driver calls it before every other
// method.
func (s State) Forget(now time.Time) {
	idle := now.Add(-storage.DedupAge).UnixMicro()
	for name, sp := range s {
		for id, r := range sp.Records {
			if r.End == 0 || r.End > now.UnixMicro() {
				continue
			}
			if delete(sp.Records, id); r.There {
				delete(sp.Scopes[""], id)
			}
		}
		maps.DeleteFunc(sp.Scopes, func(_ string, t Table) bool { return len(t) == 0 })
		aged := sp.Log.MaxAge > 0 && sp.Log.Oldest(now) > sp.Log.Head.Micros
		empty := len(sp.Records) == 0 && len(sp.Scopes) == 0 && (aged || sp.Log.Forgotten(now))
		if empty && sp.Used < idle {
			delete(s, name)
		}
	}
}

// Apply carries out operations as [storage.Driver.Apply] does.
func (s State) Apply(ops []storage.Op, now time.Time) []storage.Result {
	results := make([]storage.Result, len(ops))
	appends := make([]*storage.Append, len(ops))
	for i, op := range ops {
		if results[i].Err = storage.Check(op); results[i].Err != nil {
			continue
		}
		switch op := op.(type) {
		case *storage.Append:
			appends[i] = op
		case *storage.Put:
			results[i] = s.at(collections+op.Collection, now).put(op, now)
		case *storage.Del:
			results[i] = s.at(collections+op.Collection, now).write(grave(op.ID, op.Stamp, now), now)
		case *storage.Push:
			results[i] = s.at(queues+op.Queue, now).push(op, now)
		case *storage.Add:
			results[i] = s.at(collections+op.Collection, now).add(op, now)
		case *storage.Drop:
			s.append(appends, results, now)
			results[i].Exists = s.drop(op.Scope, now)
		}
	}
	s.append(appends, results, now)
	return results
}

// sorted answers the records that are there, the lowest rank first.
func (t Table) sorted(wanted func(Record) bool) []Record {
	all := slices.Collect(maps.Values(t))
	all = slices.DeleteFunc(all, func(r Record) bool { return !r.There || !wanted(r) })
	slices.SortFunc(all, func(a, b Record) int { return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.ID, b.ID)) })
	return all
}

func every(Record) bool { return true }

// surplus answers those that a bound removes, of which spared is none.
func (t Table) surplus(bound int, spared string, among func(Record) bool) []Record {
	all := t.sorted(among)
	n := len(all) - bound
	if bound <= 0 || n <= 0 {
		return nil
	}
	all = slices.DeleteFunc(all, func(r Record) bool { return r.ID == spared })
	return all[:min(n, len(all))]
}
