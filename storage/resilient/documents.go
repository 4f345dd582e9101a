package resilient

import (
	lru "container/list"
	"hash/maphash"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

const (
	// documentsBytes is how many bytes of documents and counters are remembered
	// where nothing else is said.
	documentsBytes = 16 << 20
	// rememberedOverhead is what each document, member, span and ranking costs beside
	// its bodies and names, in bytes; fieldOverhead what each index value, field or
	// place of an id costs.
	rememberedOverhead = 256
	fieldOverhead      = 48
)

// documents is what a node remembers of the documents and counters in a backend for
// the time when that cannot be asked: what reads have shown, and what this node has
// written since. What it answers is as of the last read of it, with this node's own
// writes; what other nodes have written since is not in it. Where that leaves
// something open it answers nothing, rather than something that may be wrong.
//
// Three things stay open that nobody can tell: the end of a document that was read
// and not written here; the removal of documents and counters by MaxMembers while
// this node knows of fewer than that; and what an expired document's counters are
// until the backend sweeps them, which are not answered.
//
// What was used longest ago is forgotten when there is too much. All methods are
// safe for concurrent use.
type documents struct {
	maxBytes int64

	mu          sync.Mutex
	bytes       int64     // estimated: bodies, names, and the overhead of each
	used        *lru.List // of remembered, the one used last at the back
	collections map[string]*cachedCollection

	// clock counts what is noted. changes holds when something was written last, by
	// the hash of its name; two of one hash only make what is read be remembered less
	// often. What was read before oldest is not noted at all.
	clock   uint64
	oldest  uint64
	seed    maphash.Seed
	changes [4096]uint64
}

// remembered is one thing that can be forgotten.
type remembered interface {
	kept() *keep
	// forget removes it, and whatever cannot be answered without it.
	forget(c *documents)
}

// keep is what every remembered thing has.
type keep struct {
	place *lru.Element // nil: not remembered
	size  int64
	read  uint64 // documents.clock when a read showed it last
}

func (k *keep) kept() *keep { return k }

// cachedCollection is what is remembered of one collection. There are as many as the
// program has names for them, a dozen.
type cachedCollection struct {
	name      string
	documents map[string]*cachedDocument
	lists     map[indexValue]*cachedList
	scopes    map[string]*cachedScope

	// within is Put.Within, values the documents that are known to have a value in an
	// index, strays those of which the value in within is not known.
	within string
	values map[indexValue]map[*cachedDocument]struct{}
	strays map[*cachedDocument]struct{}
	// full: a group, crowded: a scope was seen to be at its bound. most is the last
	// Put.MaxMembers of those that were bounded, and mixed says that they differ.
	full, crowded  bool
	bounded, mixed bool
	most           int
}

// newDocuments remembers at most so many bytes; 0: 16 MiB.
func newDocuments(maxBytes int64) *documents {
	if maxBytes <= 0 {
		maxBytes = documentsBytes
	}
	return &documents{
		maxBytes: maxBytes, used: lru.New(), seed: maphash.MakeSeed(),
		collections: make(map[string]*cachedCollection),
	}
}

func (c *documents) collection(name string) *cachedCollection {
	col := c.collections[name]
	if col == nil {
		col = &cachedCollection{name: name}
		col.clear()
		c.collections[name] = col
	}
	return col
}

func (col *cachedCollection) clear() {
	col.documents = make(map[string]*cachedDocument)
	col.lists = make(map[indexValue]*cachedList)
	col.scopes = make(map[string]*cachedScope)
	col.values = make(map[indexValue]map[*cachedDocument]struct{})
	col.strays = make(map[*cachedDocument]struct{})
}

// moment is when a read was begun, or a write sent for the first time. A read and a
// write that cross leave open which of them came first in the backend: what one has
// shown and the other would change is then forgotten.
type moment struct {
	c  *documents
	at uint64
}

// begin must be called before the backend is asked, or is sent the write.
func (c *documents) begin() moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	return moment{c, c.clock}
}

// got notes the answer of a Get that crossed no write. See [moment.got].
func (c *documents) got(collection, id string, d storage.Document, found bool) {
	c.begin().got(collection, id, d, found)
}

// scanned notes the answer of a Scan that crossed no write. See [moment.scanned].
func (c *documents) scanned(collection, index string, q storage.ScanQuery, docs []storage.Document) {
	c.begin().scanned(collection, index, q, docs)
}

// counted notes the answer of Counters that crossed no write. See [moment.counted].
func (c *documents) counted(collection, scope string, q storage.CounterQuery, counters []storage.Counter) {
	c.begin().counted(collection, scope, q, counters)
}

// wrote notes a write that crossed no read. See [moment.wrote].
func (c *documents) wrote(op storage.Op, now time.Time) { c.begin().wrote(op, now) }

// wrote notes a Put, Del or Add that the backend has carried out, and which was not
// a Duplicate. The moment is that of its first sending. Writes to one collection are
// to be noted in the order in which they were carried out.
func (m moment) wrote(op storage.Op, now time.Time) {
	c := m.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	switch op := op.(type) {
	case *storage.Put:
		c.put(c.collection(op.Collection), op, m.at, now)
	case *storage.Del:
		c.del(c.collection(op.Collection), op, m.at, now)
	case *storage.Add:
		c.add(c.collection(op.Collection), op, m.at, now)
	}
	c.trim()
}

// forget forgets a collection, of which the backend has lost what it held. Reads
// that were begun before are not noted any more.
func (c *documents) forget(collection string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	c.oldest = c.clock
	if col := c.collections[collection]; col != nil {
		c.empty(col)
	}
}

func (c *documents) empty(col *cachedCollection) {
	for _, doc := range col.documents {
		doc.forget(c)
	}
	for _, l := range col.lists {
		for len(l.spans) > 0 {
			l.spans[0].forget(c)
		}
	}
	for _, s := range col.scopes {
		s.forget(c)
	}
	col.clear() // maps do not shrink by themselves
}

// hold remembers x, or what it has become, as what was used last.
func (c *documents) hold(x remembered, size int64) {
	k := x.kept()
	if k.place == nil {
		k.place = c.used.PushBack(x)
	}
	c.used.MoveToBack(k.place)
	c.bytes += size - k.size
	k.size = size
}

// use has x be forgotten later.
func (c *documents) use(x remembered) { c.used.MoveToBack(x.kept().place) }

// release reports false for what was forgotten already.
func (c *documents) release(x remembered) bool {
	k := x.kept()
	if k.place == nil {
		return false
	}
	c.used.Remove(k.place)
	c.bytes -= k.size
	k.place, k.size = nil, 0
	return true
}

// trim forgets what was used longest ago until the rest fits.
func (c *documents) trim() {
	for c.bytes > c.maxBytes {
		c.used.Front().Value.(remembered).forget(c) //nolint:forcetypeassert // nothing else is put in
	}
}

// wroteTo notes that what has this name is being changed by a write.
func (c *documents) wroteTo(names ...string) { *c.written(names) = c.clock }

// stale reports whether a read that was begun at this moment may not have seen what
// was written to what has this name.
func (c *documents) stale(begun uint64, names ...string) bool {
	return begun < c.oldest || *c.written(names) > begun
}

func (c *documents) written(names []string) *uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	for _, name := range names {
		_, _ = h.WriteString(name) // never fails
		_ = h.WriteByte(0)
	}
	return &c.changes[h.Sum64()%uint64(len(c.changes))]
}

// ended reports whether an end that may be never, the zero time, has come.
func ended(end, now time.Time) bool { return !end.IsZero() && !end.After(now) }
