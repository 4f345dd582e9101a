package memory

import (
	"container/list"
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// recordOverhead is what a document, an item or a counter costs besides its bytes,
// measured and rounded up.
const recordOverhead = 256

// maxGraves is how many deletions are remembered: the latest ones.
const maxGraves = 100_000

// collection is the documents and counters of one collection.
type collection struct {
	documents map[string]*document
	ids       sorted
	indexes   map[[2]string]*sorted // index and value → ids
	groups    map[string]*ranking   // value of Within, or "" → ids
	graves    map[string]*grave
	endings   endings // of documents
	scopes    map[string]*scope
	chain     sequence.Chain // of the counters
}

type document struct {
	body    []byte
	stamp   storage.Stamp
	expires time.Time // zero: never
	ending  *ending   // nil: never
	indexes map[string]string
	rank    int64
	group   string
}

// grave is what is remembered of a deletion.
type grave struct {
	in    *collection
	id    string
	stamp storage.Stamp
	end   time.Time
	place *list.Element // in the driver's graves
}

func newCollection() *collection {
	return &collection{
		documents: make(map[string]*document), indexes: make(map[[2]string]*sorted),
		groups: make(map[string]*ranking), graves: make(map[string]*grave), scopes: make(map[string]*scope),
	}
}

// over reports whether a time that may be never has come.
func over(end, now time.Time) bool { return !end.IsZero() && !end.After(now) }

func deadline(now time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return now.Add(d)
}

func (doc *document) size(id string) int64 {
	n := recordOverhead + len(id) + len(doc.body)
	for name, value := range doc.indexes {
		n += len(name) + len(value) + len(id)
	}
	return int64(n)
}

// collection answers a collection for writing.
func (d *Driver) collection(name string) *collection {
	c := d.collections[name]
	if c == nil {
		c = newCollection()
		d.collections[name] = c
	}
	return c
}

// alive answers a document that has not expired, or nil.
func (c *collection) alive(id string, now time.Time) *document {
	if c == nil {
		return nil
	}
	doc := c.documents[id]
	if doc == nil || over(doc.expires, now) {
		return nil
	}
	return doc
}

// last is the stamp of a document or of its deletion, if there is one.
func (c *collection) last(id string, now time.Time) (s storage.Stamp, known bool) {
	if doc := c.alive(id, now); doc != nil {
		return doc.stamp, true
	}
	if g := c.graves[id]; g != nil && !over(g.end, now) {
		return g.stamp, true
	}
	return storage.Stamp{}, false
}

// later answers the stamp of a write, or false when it comes too late.
func (c *collection) later(id string, s storage.Stamp, now time.Time) (storage.Stamp, bool) {
	last, known := c.last(id, now)
	return sequence.Later(s, last, known, now)
}

func (d *Driver) put(op *storage.Put, now time.Time) storage.Result {
	c := d.collection(op.Collection)
	result := storage.Result{Exists: c.alive(op.ID, now) != nil}
	stamp, ok := c.later(op.ID, op.Stamp, now)
	if !ok {
		result.Duplicate = true
		return result
	}
	doc := &document{
		body: op.Body, stamp: stamp, expires: deadline(now, op.TTL),
		indexes: maps.Clone(op.Indexes), rank: op.Rank, group: op.Indexes[op.Within],
	}
	if op.Within == "" {
		doc.group = ""
	}
	if result.Err = d.room(doc.size(op.ID)); result.Err != nil {
		return result
	}
	if old := c.documents[op.ID]; old != nil {
		d.unlist(c, op.ID, old)
		if !result.Exists {
			d.forgetCounters(c, op.ID)
		}
	}
	d.unbury(c, op.ID)
	d.list(c, op.ID, doc)
	if op.MaxMembers > 0 {
		d.makePlace(c, op, doc.group, now)
	}
	return result
}

// makePlace removes documents of a group until it has no more than it may: first
// those that have expired.
func (d *Driver) makePlace(c *collection, op *storage.Put, group string, now time.Time) {
	d.expireDocuments(c, now)
	for {
		members := c.groups[group]
		if members == nil || len(*members) <= op.MaxMembers {
			return
		}
		id, ok := members.lowest(op.ID)
		if !ok {
			return
		}
		stamp := c.documents[id].stamp
		d.removeDocument(c, id)
		d.bury(c, id, stamp, now)
	}
}

func (d *Driver) del(op *storage.Del, now time.Time) storage.Result {
	c := d.collection(op.Collection)
	doc := c.alive(op.ID, now)
	result := storage.Result{Exists: doc != nil}
	stamp, ok := c.later(op.ID, op.Stamp, now)
	if same := doc != nil && stamp == doc.stamp; !ok && !same {
		result.Duplicate = true
		return result
	}
	d.removeDocument(c, op.ID)
	d.bury(c, op.ID, stamp, now)
	return result
}

func graveSize(id string) int64 { return int64(recordOverhead + len(id)) }

// bury remembers the stamp of a deletion. The oldest ones make room for it, and it
// takes none from anything else.
func (d *Driver) bury(c *collection, id string, stamp storage.Stamp, now time.Time) {
	d.unbury(c, id)
	g := &grave{in: c, id: id, stamp: stamp, end: now.Add(storage.TombstoneAge)}
	g.place = d.graves.PushBack(g)
	c.graves[id] = g
	d.size += graveSize(id)
	for d.graves.Len() > maxGraves {
		d.exhume()
	}
	d.forgetDeletions(0)
}

func (d *Driver) unbury(c *collection, id string) {
	if g := c.graves[id]; g != nil {
		delete(c.graves, id)
		d.graves.Remove(g.place)
		d.size -= graveSize(id)
	}
}

func (d *Driver) oldestGrave() *grave {
	return d.graves.Front().Value.(*grave) //nolint:forcetypeassert // nothing else is put in
}

// exhume forgets the oldest deletion.
func (d *Driver) exhume() {
	g := d.oldestGrave()
	d.unbury(g.in, g.id)
}

// list stores a document and what finds it.
func (d *Driver) list(c *collection, id string, doc *document) {
	c.documents[id] = doc
	doc.ending = c.endings.add(id, doc.expires)
	c.ids.add(id)
	for name, value := range doc.indexes {
		at := [2]string{name, value}
		if c.indexes[at] == nil {
			c.indexes[at] = new(sorted)
		}
		c.indexes[at].add(id)
	}
	if c.groups[doc.group] == nil {
		c.groups[doc.group] = new(ranking)
	}
	c.groups[doc.group].add(place{doc.rank, id})
	d.grow(doc.size(id))
}

// unlist removes a document and what finds it; its counters stay.
func (d *Driver) unlist(c *collection, id string, doc *document) {
	delete(c.documents, id)
	c.endings.remove(doc.ending)
	c.ids.remove(id)
	for name, value := range doc.indexes {
		at := [2]string{name, value}
		if c.indexes[at].remove(id); len(*c.indexes[at]) == 0 {
			delete(c.indexes, at)
		}
	}
	group := c.groups[doc.group]
	if group.remove(place{doc.rank, id}); len(*group) == 0 {
		delete(c.groups, doc.group)
	}
	d.grow(-doc.size(id))
}

// removeDocument removes a document, if it is there, and the counters that belong
// to it.
func (d *Driver) removeDocument(c *collection, id string) {
	if doc := c.documents[id]; doc != nil {
		d.unlist(c, id, doc)
	}
	d.forgetCounters(c, id)
}

// rerank gives a document another place in the order of removal.
func (c *collection) rerank(id string, rank int64) {
	doc := c.documents[id]
	group := c.groups[doc.group]
	group.remove(place{doc.rank, id})
	doc.rank = rank
	group.add(place{rank, id})
}

// Get implements [storage.Driver].
func (d *Driver) Get(ctx context.Context, name, id string) (storage.Document, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := d.usable(ctx); err != nil {
		return storage.Document{}, fmt.Errorf("get from memory: %w", err)
	}
	doc := d.collections[name].alive(id, time.Now())
	if doc == nil {
		return storage.Document{}, fmt.Errorf("get %q of %q from memory: %w", id, name, storage.ErrNotFound)
	}
	return doc.answer(id), nil
}

func (doc *document) answer(id string) storage.Document {
	return storage.Document{ID: id, Body: doc.body, Stamp: doc.stamp}
}

// Scan implements [storage.Driver].
func (d *Driver) Scan(ctx context.Context, name, index string, q storage.ScanQuery) ([]storage.Document, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = storage.DefaultPage
	}
	limit = min(limit, storage.MaxPage)
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := d.usable(ctx); err != nil {
		return nil, fmt.Errorf("scan memory: %w", err)
	}
	c := d.collections[name]
	if c == nil {
		return nil, nil
	}
	ids := &c.ids
	if index != "" {
		if ids = c.indexes[[2]string{index, q.Value}]; ids == nil {
			return nil, nil
		}
	}
	var found []storage.Document
	now := time.Now()
	for _, id := range ids.after(q.After) {
		if len(found) == limit {
			break
		}
		if doc := c.alive(id, now); doc != nil {
			found = append(found, doc.answer(id))
		}
	}
	return found, nil
}
