package resilient

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
)

// traits are what a random run does; together some of them leave open what nobody
// can tell, for example the end of a document that was forgotten and read again.
type traits struct {
	ttl, bounds, small, cross bool
	plain                     bool // every write has a stamp, and a rank where others have
}

// TestDocumentsRandom compares what is remembered with the driver of which it is told.
func TestDocumentsRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for _, x := range []traits{
		{}, {ttl: true}, {bounds: true, plain: true}, {small: true}, {cross: true}, {cross: true, small: true},
	} {
		for i := range uint64(6) {
			t.Run(fmt.Sprintf("%+v seed=%d", x, seed+i), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newShadowed(t, seed+i, x)
					defer r.driver.Close()
					r.run()
				})
			})
			if t.Failed() {
				return
			}
		}
	}
}

// shadowed is a driver, and what is remembered of it.
type shadowed struct {
	*testing.T
	traits
	*rand.Rand
	driver *memory.Driver
	cache  *documents
	stamp  int64
	late   []func() // writes that are carried out, but not noted yet
	reads  []func() // the same of reads
	log    []string
	asked  int
	known  int
}

const mirrorCollection = "c"

func newShadowed(t *testing.T, seed uint64, x traits) *shadowed {
	r := &shadowed{
		T: t, traits: x, Rand: rand.New(rand.NewPCG(seed, 3)),
		driver: memory.New(memory.Options{}), cache: newDocuments(0), stamp: time.Now().UnixMicro(),
	}
	if x.small {
		r.cache = newDocuments(6000)
	}
	for _, m := range r.ids() { // so that it is known how many there are
		for _, scope := range mirrorScopes {
			r.cache.counted(mirrorCollection, scope, storage.CounterQuery{Member: m}, nil)
		}
	}
	return r
}

var mirrorScopes = []string{"", "s", "plain"}

func (r *shadowed) ids() []string {
	var ids []string
	for i := range 12 {
		ids = append(ids, fmt.Sprintf("id%02d", i))
	}
	return ids
}

func (r *shadowed) id() string { return r.ids()[r.IntN(12)] }

func (r *shadowed) run() {
	for range 400 {
		switch n := r.IntN(20); {
		case n < 8:
			r.write()
		case n < 14:
			r.read()
		case n < 15 && r.ttl:
			time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
		case n < 17:
			r.settle()
			r.compare()
		}
	}
	r.settle()
	r.compare()
	if r.known*20 < r.asked {
		r.Errorf("only %d of %d answers were known", r.known, r.asked)
	}
}

// settle notes all that is not noted yet: reads at any time, writes in their order.
func (r *shadowed) settle() {
	for len(r.late)+len(r.reads) > 0 {
		if len(r.late) > 0 && (len(r.reads) == 0 || r.IntN(2) == 0) {
			r.late[0]()
			r.late = r.late[1:]
			continue
		}
		i := r.IntN(len(r.reads))
		r.reads[i]()
		r.reads = append(r.reads[:i], r.reads[i+1:]...)
	}
}

func (r *shadowed) write() {
	sent := r.cache.begin()
	op := r.operation()
	results, err := r.driver.Apply(r.Context(), []storage.Op{op})
	if err != nil {
		r.Fatal(err)
	}
	r.log = append(r.log, fmt.Sprintf("%T%+v: duplicate %t, existed %t", op, op, results[0].Duplicate, results[0].Exists))
	if results[0].Duplicate || results[0].Err != nil {
		return
	}
	now := time.Now()
	r.late = append(r.late, func() { sent.wrote(op, now) })
	if !r.cross {
		r.settle()
	}
}

func (r *shadowed) operation() storage.Op {
	r.stamp++
	stamp := storage.Stamp{Micros: r.stamp, Producer: 1}
	if r.IntN(10) == 0 {
		stamp.Micros -= int64(r.IntN(20))
	}
	if r.IntN(30) == 0 && !r.plain && !r.ttl { // it would be forgotten
		stamp = storage.Stamp{}
	}
	switch n := r.IntN(10); {
	case n < 5:
		return r.put(stamp)
	case n < 7:
		return &storage.Del{Collection: mirrorCollection, ID: r.id(), Stamp: stamp}
	}
	return r.add()
}

func (r *shadowed) put(stamp storage.Stamp) *storage.Put {
	op := &storage.Put{
		Collection: mirrorCollection, ID: r.id(), Stamp: stamp, Body: fmt.Append(nil, r.stamp),
		Indexes: map[string]string{"group": fmt.Sprint(r.IntN(2))}, Rank: int64(r.IntN(5)),
	}
	if r.IntN(2) == 0 {
		op.Indexes["flag"] = ""
	}
	if r.ttl && r.IntN(2) == 0 {
		op.TTL = time.Duration(1+r.IntN(5000)) * time.Millisecond
	}
	if r.bounds && r.IntN(4) > 0 {
		op.Within, op.MaxMembers = "group", 4
	}
	return op
}

func (r *shadowed) add() *storage.Add {
	op := &storage.Add{
		Collection: mirrorCollection, Scope: mirrorScopes[r.IntN(3)], Member: r.id(),
		Deltas: map[string]int64{"n": int64(r.IntN(7) - 2)},
		Low:    map[string]int64{"low": int64(r.IntN(100))}, High: map[string]int64{"high": int64(r.IntN(100))},
	}
	if op.Scope != "plain" && (r.plain || r.IntN(20) > 0) {
		op.RankBy = "n"
	}
	if op.Scope == "" {
		op.IfExists = r.IntN(3) > 0
	}
	if op.Scope == "s" && r.bounds {
		op.MaxMembers = 5
	}
	if r.IntN(20) == 0 {
		op.TrimFrom, op.TrimTo = "a", "z"
	}
	return op
}

// read asks the driver something, and tells the cache of it at some time.
func (r *shadowed) read() {
	begun := r.cache.begin()
	switch r.IntN(5) {
	case 0:
		id := r.id()
		d, found := r.get(id)
		r.reads = append(r.reads, func() { begun.got(mirrorCollection, id, d, found) })
	case 1, 2:
		index, q := r.scanQuery()
		docs := r.scan(index, q)
		r.reads = append(r.reads, func() { begun.scanned(mirrorCollection, index, q, docs) })
	default:
		scope, q := mirrorScopes[r.IntN(3)], r.counterQuery()
		counters := r.counters(scope, q)
		r.reads = append(r.reads, func() { begun.counted(mirrorCollection, scope, q, counters) })
	}
	if !r.cross {
		r.settle()
	}
}

func (r *shadowed) scanQuery() (index string, q storage.ScanQuery) {
	q.Limit = []int{0, 1, 2, 3, 5, 100}[r.IntN(6)]
	if r.IntN(2) == 0 {
		q.After = r.id()
	}
	switch r.IntN(3) {
	case 0:
		return "", q
	case 1:
		return "flag", q
	}
	q.Value = fmt.Sprint(r.IntN(2))
	return "group", q
}

func (r *shadowed) counterQuery() storage.CounterQuery {
	if r.IntN(2) == 0 {
		return storage.CounterQuery{Member: r.id()}
	}
	return storage.CounterQuery{Top: 1 + r.IntN(14)}
}

func (r *shadowed) get(id string) (storage.Document, bool) {
	d, err := r.driver.Get(r.Context(), mirrorCollection, id)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		r.Fatal(err)
	}
	return d, err == nil
}

func (r *shadowed) scan(index string, q storage.ScanQuery) []storage.Document {
	docs, err := r.driver.Scan(r.Context(), mirrorCollection, index, q)
	if err != nil {
		r.Fatal(err)
	}
	return docs
}

func (r *shadowed) counters(scope string, q storage.CounterQuery) []storage.Counter {
	counters, err := r.driver.Counters(r.Context(), mirrorCollection, scope, q)
	if err != nil {
		r.Fatal(err)
	}
	return counters
}

// compare asks both for everything.
func (r *shadowed) compare() {
	now := time.Now()
	for _, id := range r.ids() {
		d, found, ok := r.cache.get(mirrorCollection, id, now)
		want, is := r.get(id)
		r.check(ok, id, []any{d, found}, []any{want, is})
	}
	for range 20 {
		index, q := r.scanQuery()
		docs, ok := r.cache.scan(mirrorCollection, index, q, now)
		r.check(ok, fmt.Sprintf("%q %+v", index, q), docs, r.scan(index, q))
		scope, c := mirrorScopes[r.IntN(3)], r.counterQuery()
		counters, ok := r.cache.counters(mirrorCollection, scope, c, now)
		r.check(ok, fmt.Sprintf("scope %q %+v", scope, c), counters, r.counters(scope, c))
	}
	if r.cache.bytes > r.cache.maxBytes {
		r.Fatalf("%d bytes, at most %d are allowed", r.cache.bytes, r.cache.maxBytes)
	}
	checkDocuments(r.T, r.cache)
}

func (r *shadowed) check(ok bool, what string, got, want any) {
	r.asked++
	if !ok {
		return
	}
	r.known++
	if !reflect.DeepEqual(got, want) {
		for _, l := range r.log[max(0, len(r.log)-12):] {
			r.Log(l)
		}
		r.Fatalf("%s is\n%+v, want\n%+v", what, got, want)
	}
}

// checkDocuments looks for anything that is not counted, or counted and not there.
func checkDocuments(t *testing.T, c *documents) {
	t.Helper()
	n, bytes := 0, int64(0)
	note := func(x remembered) {
		n++
		bytes += x.kept().size
		if x.kept().place == nil {
			t.Fatalf("%+v is not counted", x)
		}
	}
	for _, col := range c.collections {
		listed := 0
		for _, doc := range col.documents {
			note(doc)
			listed += len(doc.spans)
		}
		for _, l := range col.lists {
			for _, s := range l.spans {
				note(s)
				listed -= len(s.ids)
			}
		}
		if listed != 0 {
			t.Fatalf("%d more ids in spans than documents tell", -listed)
		}
		for name, s := range col.scopes {
			if s.top != nil {
				note(s.top)
			}
			if s.top == nil && len(s.members) == 0 {
				t.Fatalf("scope %q is empty", name)
			}
			for _, m := range s.members {
				note(m)
			}
		}
		for v, docs := range col.values {
			for doc := range docs {
				if col.documents[doc.id] != doc || !doc.found {
					t.Fatalf("%q has a value in %v and is not remembered", doc.id, v)
				}
			}
		}
	}
	if n != c.used.Len() || bytes != c.bytes {
		t.Fatalf("%d things of %d bytes, counted are %d of %d", n, bytes, c.used.Len(), c.bytes)
	}
}
