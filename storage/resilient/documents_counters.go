package resilient

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// cachedScope is what is known of the counters in one scope.
type cachedScope struct {
	in      *cachedCollection
	name    string
	members map[string]*cachedMember
	there   int        // members that have fields
	top     *cachedTop // nil: not known
}

// cachedMember is one member: its fields, or nil when it has none.
type cachedMember struct {
	keep
	of     *cachedScope
	name   string
	fields map[string]int64 // replaced, never changed in place
}

// cachedTop are the highest members of a scope, the highest first; all: there are no
// others that are ranked. Each is remembered with its fields.
type cachedTop struct {
	keep
	of    *cachedScope
	names []string
	all   bool
	by    string // Add.RankBy; "": not known
}

func (col *cachedCollection) scope(name string) *cachedScope {
	s := col.scopes[name]
	if s == nil {
		s = &cachedScope{in: col, name: name, members: make(map[string]*cachedMember)}
		col.scopes[name] = s
	}
	return s
}

func (s *cachedScope) forget(c *documents) {
	s.forgetTop(c)
	for _, m := range s.members {
		m.forget(c)
	}
}

func (s *cachedScope) forgetTop(c *documents) {
	if s.top != nil {
		s.top.forget(c)
	}
}

// tidy removes a scope of which nothing is remembered.
func (s *cachedScope) tidy() {
	if s.top == nil && len(s.members) == 0 && s.in.scopes[s.name] == s {
		delete(s.in.scopes, s.name)
	}
}

// forget takes the ranking in which it stands with it.
func (m *cachedMember) forget(c *documents) {
	if !c.release(m) {
		return
	}
	if m.fields != nil {
		m.of.there--
	}
	if t := m.of.top; t != nil && slices.Contains(t.names, m.name) {
		t.forget(c)
	}
	delete(m.of.members, m.name)
	m.of.tidy()
}

func (t *cachedTop) forget(c *documents) {
	if !c.release(t) {
		return
	}
	t.of.top = nil
	t.of.tidy()
}

// set gives a member its fields; without any it is not there.
func (s *cachedScope) set(c *documents, name string, fields map[string]int64) *cachedMember {
	m := s.members[name]
	if m == nil {
		m = &cachedMember{of: s, name: name}
		s.members[name] = m
	}
	if m.fields != nil {
		s.there--
	}
	if m.fields = nil; len(fields) > 0 {
		m.fields = fields
		s.there++
	}
	n := rememberedOverhead + len(s.name) + len(name)
	for field := range fields {
		n += len(field) + fieldOverhead
	}
	c.hold(m, int64(n))
	return m
}

const topNames = "top" // names the ranking of a scope for documents.written

// counted notes the answer of Counters. The moment is when it was begun.
func (m moment) counted(collection, scope string, q storage.CounterQuery, counters []storage.Counter) {
	c := m.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	s := c.collection(collection).scope(scope)
	if q.Top <= 0 {
		var fields map[string]int64
		if len(counters) == 1 {
			fields = counters[0].Fields
		}
		c.seeMember(s, q.Member, fields, m.at)
	} else {
		c.seeTop(s, min(q.Top, storage.MaxPage), counters, m.at)
	}
	s.tidy()
	c.trim()
}

// seeMember notes a member as a read has shown it, and reports whether it did.
func (c *documents) seeMember(s *cachedScope, name string, fields map[string]int64, begun uint64) bool {
	if c.stale(begun, s.in.name, s.name, name) {
		return false
	}
	if old := s.members[name]; old != nil && !maps.Equal(old.fields, fields) {
		old.forget(c) // with the ranking, in which its place has changed
		s.in.scopes[s.name] = s
	}
	s.set(c, name, maps.Clone(fields)).read = c.clock
	return true
}

// seeTop notes a ranking, unless a longer one that agrees with it is known.
func (c *documents) seeTop(s *cachedScope, asked int, counters []storage.Counter, begun uint64) {
	clear := !c.stale(begun, s.in.name, topNames, s.name)
	names := make([]string, len(counters))
	for i, counter := range counters {
		names[i] = counter.Member
		clear = c.seeMember(s, counter.Member, counter.Fields, begun) && clear
	}
	if !clear {
		return
	}
	t := &cachedTop{of: s, names: names, all: len(names) < asked}
	if old := s.top; old != nil {
		t.by = old.by
		if !t.all && len(old.names) >= len(names) && slices.Equal(old.names[:len(names)], names) {
			old.read = c.clock
			c.use(old)
			return
		}
		old.forget(c)
	}
	s.in.scopes[s.name], s.top = s, t
	t.read = c.clock
	c.holdTop(t)
}

func (c *documents) holdTop(t *cachedTop) {
	c.hold(t, int64(rememberedOverhead+len(t.of.name)+fieldOverhead*len(t.names)))
}

// counters answers a member, or the highest; ok is false when that is not known.
func (c *documents) counters(collection, scope string, q storage.CounterQuery, now time.Time) ([]storage.Counter, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	col := c.collection(collection)
	s := col.scopes[scope]
	if s == nil {
		return nil, false
	}
	names := []string{q.Member}
	if q.Top > 0 {
		n := min(q.Top, storage.MaxPage)
		if s.top == nil || !s.top.all && len(s.top.names) < n {
			return nil, false
		}
		c.use(s.top)
		names = s.top.names[:min(n, len(s.top.names))]
	}
	var found []storage.Counter
	for _, name := range names {
		m := s.members[name]
		if m == nil || scope == "" && col.expired(name, now) {
			return nil, false
		}
		c.use(m)
		if m.fields != nil {
			found = append(found, storage.Counter{Member: name, Fields: maps.Clone(m.fields)})
		}
	}
	return found, true
}

// expired reports whether a document has ended: its counters go some time after.
func (col *cachedCollection) expired(id string, now time.Time) bool {
	doc := col.documents[id]
	return doc != nil && doc.found && ended(doc.end, now)
}

// wroteMember notes that the counters of a member are being changed.
func (c *documents) wroteMember(col *cachedCollection, scope, member string) {
	c.wroteTo(col.name, scope, member)
	c.wroteTo(col.name, topNames, scope)
}

// uncount notes that the counters of a document were removed with it.
func (c *documents) uncount(col *cachedCollection, id string, sent uint64) {
	c.wroteMember(col, "", id)
	if s := col.scopes[""]; s != nil {
		c.count(s, id, nil, "", sent)
	}
}

// uncertainCounters forgets the counters of a document of which it is not known
// whether the backend has removed them.
func (c *documents) uncertainCounters(col *cachedCollection, id string) {
	c.wroteMember(col, "", id)
	if s := col.scopes[""]; s != nil && s.members[id] != nil && s.members[id].fields != nil {
		s.members[id].forget(c)
	}
}

func (c *documents) add(col *cachedCollection, op *storage.Add, sent uint64, now time.Time) {
	c.wroteMember(col, op.Scope, op.Member)
	s := col.scopes[op.Scope]
	doc := col.documents[op.Member]
	if s == nil || op.IfExists && doc != nil && doc.read <= sent && !doc.alive(now) {
		return
	}
	m := s.members[op.Member]
	known := m != nil && m.read <= sent && (!op.IfExists || doc.wasAlive(sent, now))
	grown := m == nil || m.fields == nil
	var fields map[string]int64
	if known {
		var err error
		fields, err = sequence.Added(m.fields, op)
		known = err == nil
	}
	if known {
		c.count(s, op.Member, fields, op.RankBy, sent)
	} else {
		s.forgetTop(c)
		if m != nil {
			m.forget(c)
		}
	}
	if op.MaxMembers > 0 && s.madeRoom(op.MaxMembers, known, grown) {
		s.forget(c)
	}
}

// madeRoom reports whether other members may have been removed. Known: the changed
// one is remembered; grown: it is not known to have been there before.
func (s *cachedScope) madeRoom(most int, known, grown bool) bool {
	there := s.there
	if !known {
		there++
	}
	all := s.top != nil && s.top.all
	if all {
		there = len(s.top.names)
	}
	s.in.crowded = s.in.crowded || there > most
	return there > most || s.in.crowded && grown && !all
}

// count gives a member other fields, and its place in the ranking.
func (c *documents) count(s *cachedScope, name string, fields map[string]int64, by string, sent uint64) {
	m, t := s.members[name], s.top
	if m != nil && m.read > sent && !maps.Equal(m.fields, fields) {
		m.forget(c)
		s.forgetTop(c)
		return
	}
	if t != nil && !t.takes(name, fields, by, sent) {
		t.forget(c)
		t = nil
	}
	s.in.scopes[s.name] = s
	if t == nil {
		s.set(c, name, fields)
		return
	}
	low, bounded := t.lowest()
	i := slices.Index(t.names, name)
	if i >= 0 {
		t.names = slices.Delete(t.names, i, i+1)
	}
	s.set(c, name, fields)
	if len(fields) > 0 && (t.all || bounded && compareCachedRanks(t.rank(name), low) <= 0) {
		i, _ := slices.BinarySearchFunc(t.names, t.rank(name), func(other string, r cachedRank) int {
			return compareCachedRanks(t.rank(other), r)
		})
		t.names = slices.Insert(t.names, i, name)
	}
	if len(t.names) > storage.MaxPage {
		t.names, t.all = t.names[:storage.MaxPage], false
	}
	c.holdTop(t)
}

// takes reports whether it is known what becomes of the ranking; nil fields are those
// of a deletion. A ranking without any member tells nothing of the scope: there may be
// some that are not ranked yet. And a member may stay in it that an Add has left
// without fields.
func (t *cachedTop) takes(name string, fields map[string]int64, by string, sent uint64) bool {
	if fields == nil {
		return t.read <= sent || !slices.Contains(t.names, name)
	}
	if t.by == "" {
		t.by = by
	}
	return t.read <= sent && by != "" && by == t.by && len(t.names) > 0 && len(fields) > 0
}

// cachedRank is a place in a ranking.
type cachedRank struct {
	value int64
	name  string
}

func compareCachedRanks(a, b cachedRank) int {
	return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.name, b.name))
}

func (t *cachedTop) rank(name string) cachedRank {
	return cachedRank{t.of.members[name].fields[t.by], name}
}

// lowest is the last place that is known; nothing outside of the ranking is above it.
func (t *cachedTop) lowest() (r cachedRank, ok bool) {
	if len(t.names) == 0 {
		return cachedRank{}, false
	}
	return t.rank(t.names[len(t.names)-1]), true
}
