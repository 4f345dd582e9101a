package resilient

import (
	"maps"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// cachedDocument is what is known of one document: as it is, or that it is not there.
type cachedDocument struct {
	keep
	in    *cachedCollection
	id    string
	found bool
	doc   storage.Document
	end   time.Time // zero: never, or not known
	// indexes are its values; all of them with written, else those that reads showed.
	indexes map[string]string
	written bool
	spans   []*cachedSpan // in which its id stands
}

func (d *cachedDocument) bytes() int64 {
	n := rememberedOverhead + len(d.id) + len(d.doc.Body)
	for name, value := range d.indexes {
		n += len(name) + len(value) + fieldOverhead
	}
	return int64(n)
}

func (d *cachedDocument) alive(now time.Time) bool { return d != nil && d.found && !ended(d.end, now) }

// wasAlive reports whether it was there when a write that was sent came to the
// backend: no read has shown it since.
func (d *cachedDocument) wasAlive(sent uint64, now time.Time) bool {
	return d.alive(now) && d.read <= sent
}

// forget takes the spans in which it stands with it: they cannot be answered.
func (d *cachedDocument) forget(c *documents) {
	if !c.release(d) {
		return
	}
	d.uncount()
	for len(d.spans) > 0 {
		d.spans[len(d.spans)-1].forget(c)
	}
	delete(d.in.documents, d.id)
}

// count enters the document among those of its values; uncount takes it out.
func (d *cachedDocument) count() {
	if !d.found {
		return
	}
	d.countAs(indexValue{})
	for name, value := range d.indexes {
		d.countAs(indexValue{name, value})
	}
	if _, known := d.indexes[d.in.within]; d.in.within != "" && !known && !d.written {
		d.in.strays[d] = struct{}{}
	}
}

func (d *cachedDocument) countAs(v indexValue) {
	if d.in.values[v] == nil {
		d.in.values[v] = make(map[*cachedDocument]struct{})
	}
	d.in.values[v][d] = struct{}{}
}

func (d *cachedDocument) uncount() {
	d.uncountAs(indexValue{})
	for name, value := range d.indexes {
		d.uncountAs(indexValue{name, value})
	}
	delete(d.in.strays, d)
}

func (d *cachedDocument) uncountAs(v indexValue) {
	delete(d.in.values[v], d)
	if len(d.in.values[v]) == 0 {
		delete(d.in.values, v)
	}
}

// got notes the answer of a Get; found is false for [storage.ErrNotFound]. The moment
// is when it was begun.
func (m moment) got(collection, id string, d storage.Document, found bool) {
	c := m.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	c.see(c.collection(collection), id, d, found, m.at)
	c.trim()
}

// see notes a document as a read has shown it, or nothing when the read is stale.
func (c *documents) see(col *cachedCollection, id string, d storage.Document, found bool, begun uint64) *cachedDocument {
	if c.stale(begun, col.name, id) {
		return nil
	}
	doc := col.documents[id]
	if doc != nil && found && doc.found && doc.doc.Stamp == d.Stamp {
		doc.read = c.clock
		c.use(doc) // and its end and values are still known
		return doc
	}
	if doc != nil {
		c.contradict(doc, found)
	}
	doc = c.set(col, id, cachedDocument{found: found, doc: d})
	doc.read = c.clock
	return doc
}

// contradict forgets what is known of a document that another node has changed. Of
// the lists only that of all documents is sure to have it still, if it is there.
func (c *documents) contradict(doc *cachedDocument, found bool) {
	for _, s := range slices.Clone(doc.spans) {
		if found && s.of.value == (indexValue{}) {
			continue
		}
		if found {
			s.forget(c)
		} else {
			s.remove(c, doc)
		}
	}
}

// set gives a document that is remembered, or a new one, the content of d.
func (c *documents) set(col *cachedCollection, id string, d cachedDocument) *cachedDocument {
	doc := col.documents[id]
	if doc == nil {
		doc = &cachedDocument{in: col, id: id}
		col.documents[id] = doc
	}
	doc.uncount()
	doc.found, doc.doc, doc.end, doc.indexes, doc.written = d.found, d.doc, d.end, d.indexes, d.written
	doc.count()
	c.hold(doc, doc.bytes())
	return doc
}

// learn notes that a document has a value in an index.
func (c *documents) learn(doc *cachedDocument, v indexValue) {
	if _, known := doc.indexes[v.index]; known || v.index == "" {
		return
	}
	indexes := maps.Clone(doc.indexes)
	if indexes == nil {
		indexes = make(map[string]string)
	}
	indexes[v.index] = v.value
	doc.uncount()
	doc.indexes = indexes
	doc.count()
	c.hold(doc, doc.bytes())
}

// get answers a document, or that it is not there; ok is false when that is not known.
func (c *documents) get(collection, id string, now time.Time) (d storage.Document, found, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	doc := c.collection(collection).documents[id]
	if doc == nil {
		return storage.Document{}, false, false
	}
	c.use(doc)
	if !doc.alive(now) {
		return storage.Document{}, false, true
	}
	return doc.doc, true, true
}

func (c *documents) put(col *cachedCollection, op *storage.Put, sent uint64, now time.Time) {
	c.wroteTo(col.name)
	c.wroteTo(col.name, op.ID)
	if op.Within != "" && op.Within != col.within {
		col.groupBy(op.Within)
	}
	old := col.documents[op.ID]
	if !old.wasAlive(sent, now) {
		c.uncertainCounters(col, op.ID)
	}
	if unclear(old, op, sent, now) {
		c.uncertain(col, old, op)
		return
	}
	group := indexValue{op.Within, op.Indexes[op.Within]}
	if op.Within == "" {
		group = indexValue{}
	}
	_, counted := col.values[group][old]
	grown := !counted || !old.alive(now)
	doc := c.set(col, op.ID, cachedDocument{
		found: true, written: true, indexes: maps.Clone(op.Indexes),
		doc: storage.Document{ID: op.ID, Body: op.Body, Stamp: op.Stamp},
	})
	if op.TTL > 0 {
		doc.end = now.Add(op.TTL)
	}
	c.relist(doc, sent)
	if col.bounded && col.most != op.MaxMembers {
		col.mixed = true
	}
	if op.MaxMembers > 0 {
		col.bounded, col.most = true, op.MaxMembers
	}
	if op.MaxMembers > 0 && c.madeRoom(col, group, op.MaxMembers, grown) {
		c.doubt(col, group, doc)
	}
}

// groupBy notes which documents make room for each other.
func (col *cachedCollection) groupBy(index string) {
	col.within = index
	for _, doc := range col.documents {
		doc.uncount()
		doc.count()
	}
}

// unclear reports whether it is not known what the document is after a Put: the
// backend gave it its stamp, or a read that crossed it has shown something else.
func unclear(old *cachedDocument, op *storage.Put, sent uint64, now time.Time) bool {
	switch {
	case op.Stamp == (storage.Stamp{}):
		return true
	case old == nil || old.found && old.doc.Stamp == op.Stamp:
		return false
	case !old.alive(now):
		return old.read > sent
	}
	return old.doc.Stamp.Compare(op.Stamp) > 0
}

// uncertain forgets a document, and what a Put of it may have changed.
func (c *documents) uncertain(col *cachedCollection, old *cachedDocument, op *storage.Put) {
	if old != nil {
		old.forget(c)
	}
	for _, v := range valuesOf(op.Indexes) {
		if l := col.lists[v]; l != nil {
			l.forgetAt(c, op.ID)
		}
	}
	if op.MaxMembers > 0 {
		c.empty(col)
	}
}

// madeRoom reports whether other documents may have been removed for one of a group.
// Grown: it is not known to have been there before.
func (c *documents) madeRoom(col *cachedCollection, group indexValue, most int, grown bool) bool {
	if l := col.lists[group]; l != nil {
		n := 0
		if all := l.walk("", func(string) bool { n++; return n <= most }); all && n <= most {
			return false
		}
	}
	if len(col.values[group])+len(col.strays) > most {
		col.full = true
		return true
	}
	return col.full && (grown || col.mixed)
}

// doubt forgets the other documents of a group: which of them are left is not known.
// Each is forgotten once for the time that it was noted, so that a write costs no
// more than that.
func (c *documents) doubt(col *cachedCollection, group indexValue, but *cachedDocument) {
	c.oldest = c.clock
	for doc := range col.values[group] {
		if doc != but {
			doc.forget(c)
		}
	}
	for doc := range col.strays {
		doc.forget(c)
	}
	if s := col.scopes[""]; s != nil {
		s.forget(c)
	}
}

func (c *documents) del(col *cachedCollection, op *storage.Del, sent uint64, now time.Time) {
	c.wroteTo(col.name)
	c.wroteTo(col.name, op.ID)
	old := col.documents[op.ID]
	if old.wasAlive(sent, now) {
		c.uncount(col, op.ID, sent)
	} else {
		c.uncertainCounters(col, op.ID)
	}
	if old != nil && old.read > sent && old.found && op.Stamp.Compare(old.doc.Stamp) < 0 {
		old.forget(c) // written again by another node
		return
	}
	if old != nil {
		for _, s := range slices.Clone(old.spans) {
			s.change(c, old, sent)
		}
	}
	c.set(col, op.ID, cachedDocument{})
}
