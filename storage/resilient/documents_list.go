package resilient

import (
	"slices"
	"sort"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// maxSpans is how many spans of one list are remembered, maxSpan how many ids one has
// at most; both bound what a write costs.
const (
	maxSpans = 64
	maxSpan  = 2 * storage.MaxPage
)

// indexValue names a list of documents: those with a value in an index, or, as the
// zero indexValue, all of the collection.
type indexValue struct{ index, value string }

func listOf(index, value string) indexValue {
	if index == "" {
		return indexValue{}
	}
	return indexValue{index, value}
}

// valuesOf are the lists in which a document with these indexes stands.
func valuesOf(indexes map[string]string) []indexValue {
	values := make([]indexValue, 1, len(indexes)+1)
	for name, value := range indexes {
		values = append(values, indexValue{name, value})
	}
	return values
}

// cachedList is what is known of the ids in one list.
type cachedList struct {
	in    *cachedCollection
	value indexValue
	spans []*cachedSpan // the one read last at the end
}

// cachedSpan are all ids of a list above from and up to to, in their order; open: all
// above from. A document of each is remembered.
type cachedSpan struct {
	keep
	of       *cachedList
	from, to string
	open     bool
	ids      []string
}

func (s *cachedSpan) bytes() int64 {
	names := len(s.of.value.index) + len(s.of.value.value) + len(s.from) + len(s.to)
	return int64(rememberedOverhead + names + fieldOverhead*len(s.ids))
}

func (s *cachedSpan) covers(id string) bool { return s.from < id && (s.open || id <= s.to) }

// above is the index of the first id above one.
func (s *cachedSpan) above(id string) int {
	return sort.Search(len(s.ids), func(i int) bool { return s.ids[i] > id })
}

func (s *cachedSpan) forget(c *documents) {
	if !c.release(s) {
		return
	}
	for _, id := range s.ids {
		s.left(s.of.in.documents[id])
	}
	l := s.of
	l.spans = slices.DeleteFunc(l.spans, func(other *cachedSpan) bool { return other == s })
	if len(l.spans) == 0 {
		delete(l.in.lists, l.value)
	}
}

// left notes with a document that it does not stand in the span any more.
func (s *cachedSpan) left(doc *cachedDocument) {
	doc.spans = slices.DeleteFunc(doc.spans, func(other *cachedSpan) bool { return other == s })
}

func (s *cachedSpan) remove(c *documents, doc *cachedDocument) {
	if i, found := slices.BinarySearch(s.ids, doc.id); found {
		s.ids = slices.Delete(s.ids, i, i+1)
		s.left(doc)
		c.hold(s, s.bytes())
	}
}

func (s *cachedSpan) insert(c *documents, doc *cachedDocument) {
	i, _ := slices.BinarySearch(s.ids, doc.id)
	s.ids = slices.Insert(s.ids, i, doc.id)
	doc.spans = append(doc.spans, s)
	if len(s.ids) > maxSpan {
		for _, id := range s.ids[storage.MaxPage:] {
			s.left(s.of.in.documents[id])
		}
		s.ids = slices.Clone(s.ids[:storage.MaxPage])
		s.to, s.open = s.ids[len(s.ids)-1], false
	}
	c.hold(s, s.bytes())
}

// change removes a document that was written, or inserts it if it does not stand
// here. What a read has shown since the write was sent, and differs, is not certain.
func (s *cachedSpan) change(c *documents, doc *cachedDocument, sent uint64) {
	_, stands := slices.BinarySearch(s.ids, doc.id)
	switch {
	case s.read > sent:
		s.forget(c)
	case stands:
		s.remove(c, doc)
	default:
		s.insert(c, doc)
	}
}

// relist has a document that was written stand in the lists of its values only.
func (c *documents) relist(doc *cachedDocument, sent uint64) {
	for _, s := range slices.Clone(doc.spans) {
		v := s.of.value
		if value, has := doc.indexes[v.index]; v.index != "" && (!has || value != v.value) {
			s.change(c, doc, sent)
		}
	}
	for _, v := range valuesOf(doc.indexes) {
		l := doc.in.lists[v]
		if l == nil {
			continue
		}
		for _, s := range slices.Clone(l.spans) {
			if _, stands := slices.BinarySearch(s.ids, doc.id); s.covers(doc.id) && !stands {
				s.change(c, doc, sent)
			}
		}
	}
}

// forgetAt forgets the spans that tell whether an id is in the list.
func (l *cachedList) forgetAt(c *documents, id string) {
	for _, s := range slices.Clone(l.spans) {
		if s.covers(id) {
			s.forget(c)
		}
	}
}

// at is the span read last that tells what comes next above an id, or nil.
func (l *cachedList) at(id string) *cachedSpan {
	for _, s := range slices.Backward(l.spans) {
		if s.from <= id && (s.open || id < s.to) {
			return s
		}
	}
	return nil
}

// walk visits the ids above one in order until visit answers false. It answers false
// where it is not known how the list goes on.
func (l *cachedList) walk(after string, visit func(id string) bool) bool {
	for {
		s := l.at(after)
		if s == nil {
			return false
		}
		for _, id := range s.ids[s.above(after):] {
			if !visit(id) {
				return true
			}
		}
		if s.open {
			return true
		}
		after = s.to
	}
}

// scanned notes the answer of a Scan. The moment is when it was begun.
func (m moment) scanned(collection, index string, q storage.ScanQuery, docs []storage.Document) {
	c := m.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	col, v := c.collection(collection), listOf(index, q.Value)
	s := &cachedSpan{from: q.After, open: len(docs) < scanLimit(q), ids: make([]string, len(docs))}
	clear := !c.stale(m.at, col.name)
	for i, d := range docs {
		s.ids[i], s.to = d.ID, d.ID
		if doc := c.see(col, d.ID, d, true, m.at); doc != nil {
			c.learn(doc, v)
		} else {
			clear = false
		}
	}
	if clear {
		c.addSpan(col, v, s)
	}
	c.trim()
}

// scanLimit is how many documents a Scan answers at most.
func scanLimit(q storage.ScanQuery) int {
	if q.Limit <= 0 {
		return storage.DefaultPage
	}
	return min(q.Limit, storage.MaxPage)
}

// addSpan remembers a span that was read now. All its documents are remembered.
func (c *documents) addSpan(col *cachedCollection, v indexValue, s *cachedSpan) {
	l := col.lists[v]
	if l == nil {
		l = &cachedList{in: col, value: v}
	}
	for _, old := range slices.Clone(l.spans) {
		c.replace(old, s)
	}
	col.lists[v] = l // also if the last one has just been replaced
	s.of = l
	for _, id := range s.ids {
		doc := col.documents[id]
		doc.spans = append(doc.spans, s)
	}
	l.spans = append(l.spans, s)
	s.read = c.clock
	c.hold(s, s.bytes())
	if len(l.spans) > maxSpans {
		l.spans[0].forget(c)
	}
}

// replace forgets an older span that a new one makes unnecessary, and the documents
// in it that the new one has shown to be elsewhere now, or nowhere.
func (c *documents) replace(old, s *cachedSpan) {
	for _, id := range slices.Clone(old.ids[old.above(s.from):]) {
		if !s.covers(id) {
			break
		}
		if _, still := slices.BinarySearch(s.ids, id); !still && old.of.in.documents[id] != nil {
			old.of.in.documents[id].forget(c)
		}
	}
	if old.place != nil && s.from <= old.from && (s.open || !old.open && old.to <= s.to) {
		old.forget(c)
	}
}

// scan answers a page of documents; ok is false when it is not known.
func (c *documents) scan(collection, index string, q storage.ScanQuery, now time.Time) (docs []storage.Document, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	col := c.collection(collection)
	l := col.lists[listOf(index, q.Value)]
	if l == nil {
		return nil, false
	}
	limit := scanLimit(q)
	ok = l.walk(q.After, func(id string) bool {
		if doc := col.documents[id]; doc.alive(now) {
			docs = append(docs, doc.doc)
		}
		return len(docs) < limit
	})
	if !ok {
		return nil, false
	}
	for _, d := range docs {
		c.use(col.documents[d.ID])
	}
	for _, s := range l.spans {
		c.use(s)
	}
	return docs, true
}
