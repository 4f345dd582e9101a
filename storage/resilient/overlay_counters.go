package resilient

import (
	"cmp"
	"maps"
	"slices"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// pendingCounters are the members of one scope while pending writes are laid over.
type pendingCounters struct {
	scope     string
	only      string                      // the one member that is asked for; "": all
	closed    bool                        // of others nothing is known
	members   map[string]map[string]int64 // without nil maps: these have fields
	documents map[string]bool             // whether it is there, by the pending writes
	emptied   map[string]bool             // by a pending Del
	by        string                      // Add.RankBy
}

// overlayCounters answers counters as they are with the pending writes, which must
// not be in them yet: an Add counts again. A member that is not in a full page of the
// highest stays out of it, since its value is not known. An Add with IfExists counts
// where pending writes, or else its counters, show that its document is there.
func overlayCounters(
	counters []storage.Counter, scope string, q storage.CounterQuery, pending []storage.Op,
) []storage.Counter {
	o := pendingCounters{
		scope: scope, members: make(map[string]map[string]int64, len(counters)),
		documents: make(map[string]bool), emptied: make(map[string]bool),
	}
	most := min(q.Top, storage.MaxPage)
	if q.Top <= 0 {
		o.only, most = q.Member, 1
	}
	o.closed = q.Top > 0 && len(counters) >= most
	names := make([]string, len(counters))
	for i, c := range counters {
		names[i], o.members[c.Member] = c.Member, c.Fields
	}
	for _, op := range pending {
		o.apply(op)
	}
	return o.answer(names, most)
}

func (o *pendingCounters) apply(op storage.Op) {
	switch op := op.(type) {
	case *storage.Put:
		o.documents[op.ID] = true
	case *storage.Del:
		o.documents[op.ID] = false
		if o.scope == "" {
			delete(o.members, op.ID)
			o.emptied[op.ID] = true
		}
	case *storage.Add:
		if op.Scope == o.scope {
			o.add(op)
		}
	}
}

func (o *pendingCounters) add(op *storage.Add) {
	old, there := o.members[op.Member]
	exists, decided := o.documents[op.Member]
	switch {
	case o.only != "" && o.only != op.Member,
		o.closed && !there && !o.emptied[op.Member],
		op.IfExists && decided && !exists,
		op.IfExists && !decided && !there:
		return
	}
	o.by = cmp.Or(o.by, op.RankBy)
	fields, err := sequence.Added(old, op)
	if err != nil {
		return // the backend will refuse it
	}
	delete(o.members, op.Member)
	if len(fields) > 0 {
		o.members[op.Member] = fields
	}
}

// answer are the members, those of the base in their order unless it is known by
// which field they are ranked.
func (o *pendingCounters) answer(names []string, most int) []storage.Counter {
	fresh := maps.Clone(o.members)
	for _, name := range names {
		delete(fresh, name)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return o.members[name] == nil })
	names = append(names, slices.Sorted(maps.Keys(fresh))...)
	if o.by != "" {
		slices.SortFunc(names, func(a, b string) int {
			return cmp.Or(cmp.Compare(o.members[b][o.by], o.members[a][o.by]), cmp.Compare(a, b))
		})
	}
	if len(names) == 0 {
		return nil
	}
	counters := make([]storage.Counter, min(len(names), most))
	for i := range counters {
		counters[i] = storage.Counter{Member: names[i], Fields: maps.Clone(o.members[names[i]])}
	}
	return counters
}
