package resilient

import (
	"fmt"
	"maps"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func micros(n int64) storage.Stamp { return storage.Stamp{Micros: n, Producer: 1} }

func putOf(id string, stamp int64, indexes map[string]string) *storage.Put {
	return &storage.Put{Collection: "c", ID: id, Body: fmt.Append(nil, stamp), Stamp: micros(stamp), Indexes: indexes}
}

func delOf(id string, stamp int64) *storage.Del {
	return &storage.Del{Collection: "c", ID: id, Stamp: micros(stamp)}
}

func addOf(scope, member string, n int64) *storage.Add {
	return &storage.Add{
		Collection: "c", Scope: scope, Member: member, Deltas: map[string]int64{"n": n}, RankBy: "n",
	}
}

func docOf(id string, stamp int64) storage.Document {
	return storage.Document{ID: id, Body: fmt.Append(nil, stamp), Stamp: micros(stamp)}
}

func counterOf(member string, n int64) storage.Counter {
	return storage.Counter{Member: member, Fields: map[string]int64{"n": n}}
}

func TestOverlayDocument(t *testing.T) {
	for name, tt := range map[string]struct {
		base    storage.Document
		found   bool
		pending []storage.Op
		want    storage.Document
		is      bool
		known   bool // by the pending writes alone
	}{
		"nothing pending":        {base: docOf("a", 5), found: true, want: docOf("a", 5), is: true},
		"nothing there":          {},
		"of another":             {pending: []storage.Op{putOf("b", 6, nil), addOf("", "a", 1)}},
		"of another collection":  {pending: []storage.Op{&storage.Put{Collection: "d", ID: "a", Stamp: micros(6)}}},
		"new":                    {pending: []storage.Op{putOf("a", 6, nil)}, want: docOf("a", 6), is: true, known: true},
		"written":                {base: docOf("a", 5), found: true, pending: []storage.Op{putOf("a", 6, nil)}, want: docOf("a", 6), is: true, known: true},
		"stamp not above":        {base: docOf("a", 6), found: true, pending: []storage.Op{&storage.Put{Collection: "c", ID: "a", Stamp: micros(6)}}, want: docOf("a", 6), is: true, known: true},
		"deleted":                {base: docOf("a", 5), found: true, pending: []storage.Op{delOf("a", 6)}, known: true},
		"deleted with its stamp": {base: docOf("a", 5), found: true, pending: []storage.Op{delOf("a", 5)}, known: true},
		"written later":          {base: docOf("a", 7), found: true, pending: []storage.Op{delOf("a", 6)}, want: docOf("a", 7), is: true, known: true},
		"written again":          {pending: []storage.Op{delOf("a", 6), putOf("a", 7, nil)}, want: docOf("a", 7), is: true, known: true},
		"not above its deletion": {pending: []storage.Op{delOf("a", 6), putOf("a", 6, nil)}, known: true},
	} {
		t.Run(name, func(t *testing.T) {
			d, found := overlayDocument(tt.base, tt.found, "c", "a", tt.pending)
			if !reflect.DeepEqual(d, tt.want) || found != tt.is {
				t.Errorf("is %+v %t, want %+v %t", d, found, tt.want, tt.is)
			}
			if _, _, known := pendingDocument("c", "a", tt.pending); known != tt.known {
				t.Errorf("known by the pending writes alone: %t", known)
			}
		})
	}
}

func TestOverlayScan(t *testing.T) {
	green := map[string]string{"colour": "green"}
	for name, tt := range map[string]struct {
		docs    []storage.Document
		index   string
		q       storage.ScanQuery
		pending []storage.Op
		want    []storage.Document
	}{
		"new in the middle": {
			docs: []storage.Document{docOf("a", 1), docOf("c", 1)}, pending: []storage.Op{putOf("b", 2, nil)},
			want: []storage.Document{docOf("a", 1), docOf("b", 2), docOf("c", 1)},
		},
		"pushed out of a full page": {
			docs: []storage.Document{docOf("a", 1), docOf("c", 1)}, pending: []storage.Op{putOf("b", 2, nil)},
			q: storage.ScanQuery{Limit: 2}, want: []storage.Document{docOf("a", 1), docOf("b", 2)},
		},
		"behind a full page": {
			docs: []storage.Document{docOf("a", 1)}, pending: []storage.Op{putOf("b", 2, nil)},
			q: storage.ScanQuery{Limit: 1}, want: []storage.Document{docOf("a", 1)},
		},
		"before the page": {
			docs: []storage.Document{docOf("c", 1)}, pending: []storage.Op{putOf("b", 2, nil)},
			q: storage.ScanQuery{After: "b"}, want: []storage.Document{docOf("c", 1)},
		},
		"another value": {
			docs: []storage.Document{docOf("a", 1)}, index: "colour", q: storage.ScanQuery{Value: "red"},
			pending: []storage.Op{putOf("a", 2, green), putOf("b", 3, green)}, want: []storage.Document{},
		},
		"the same value": {
			docs: []storage.Document{docOf("a", 1)}, index: "colour", q: storage.ScanQuery{Value: "green"},
			pending: []storage.Op{putOf("a", 2, green)}, want: []storage.Document{docOf("a", 2)},
		},
		"no value is not an empty one": {
			index: "colour", pending: []storage.Op{putOf("a", 2, nil)}, want: []storage.Document{},
		},
		"deleted": {
			docs: []storage.Document{docOf("a", 1), docOf("b", 1)}, pending: []storage.Op{delOf("a", 2)},
			want: []storage.Document{docOf("b", 1)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := overlayScan(tt.docs, tt.index, tt.q, tt.pending); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("is %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestOverlayCounters(t *testing.T) {
	conditional := addOf("", "a", 1)
	conditional.IfExists = true
	top := func(n int) storage.CounterQuery { return storage.CounterQuery{Top: n} }
	one := storage.CounterQuery{Member: "a"}
	two := []storage.Counter{counterOf("a", 5), counterOf("b", 3)}
	for name, tt := range map[string]struct {
		counters []storage.Counter
		scope    string
		q        storage.CounterQuery
		pending  []storage.Op
		want     []storage.Counter
	}{
		"new":                          {q: one, pending: []storage.Op{addOf("", "a", 1), addOf("", "a", 2)}, want: []storage.Counter{counterOf("a", 3)}},
		"of another":                   {q: one, pending: []storage.Op{addOf("", "b", 1), addOf("s", "a", 1)}},
		"added":                        {q: one, counters: two[:1], pending: []storage.Op{addOf("", "a", -1)}, want: []storage.Counter{counterOf("a", 4)}},
		"if it exists":                 {q: one, counters: two[:1], pending: []storage.Op{conditional}, want: []storage.Counter{counterOf("a", 6)}},
		"if it exists: not known":      {q: one, pending: []storage.Op{conditional}},
		"if it exists: pending":        {q: one, pending: []storage.Op{putOf("a", 1, nil), conditional}, want: []storage.Counter{counterOf("a", 1)}},
		"if it exists: deleted":        {q: one, counters: two[:1], pending: []storage.Op{delOf("a", 1), conditional}},
		"deleted":                      {q: one, counters: two[:1], pending: []storage.Op{delOf("a", 1), addOf("", "a", 1)}, want: []storage.Counter{counterOf("a", 1)}},
		"deleted, of another scope":    {q: one, counters: two[:1], scope: "s", pending: []storage.Op{delOf("a", 1)}, want: two[:1]},
		"overtaken":                    {q: top(5), counters: two, pending: []storage.Op{addOf("", "b", 4)}, want: []storage.Counter{counterOf("b", 7), counterOf("a", 5)}},
		"level":                        {q: top(5), counters: two, pending: []storage.Op{addOf("", "b", 2)}, want: []storage.Counter{counterOf("a", 5), counterOf("b", 5)}},
		"new among the highest":        {q: top(3), counters: two, pending: []storage.Op{addOf("", "c", 4)}, want: []storage.Counter{two[0], counterOf("c", 4), two[1]}},
		"outside of a full page":       {q: top(2), counters: two, pending: []storage.Op{addOf("", "c", 4)}, want: two},
		"begun anew for a full page":   {q: top(2), counters: two, pending: []storage.Op{delOf("c", 1), addOf("", "c", 4)}, want: []storage.Counter{two[0], counterOf("c", 4)}},
		"deleted from the highest":     {q: top(2), counters: two, pending: []storage.Op{delOf("a", 1)}, want: two[1:]},
		"what will be refused is left": {q: one, counters: []storage.Counter{counterOf("a", 1<<62)}, pending: []storage.Op{addOf("", "a", 1<<62)}, want: []storage.Counter{counterOf("a", 1<<62)}},
	} {
		t.Run(name, func(t *testing.T) {
			before := make([]storage.Counter, len(tt.counters))
			for i, c := range tt.counters {
				before[i] = storage.Counter{Member: c.Member, Fields: maps.Clone(c.Fields)}
			}
			if got := overlayCounters(tt.counters, tt.scope, tt.q, tt.pending); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("is %+v, want %+v", got, tt.want)
			}
			if len(before) > 0 && !reflect.DeepEqual(before, tt.counters) {
				t.Errorf("the base is now %+v", tt.counters)
			}
		})
	}
}

// TestOverlayRandom compares what pending writes come to with the driver's answer
// after they were carried out.
func TestOverlayRandom(t *testing.T) {
	base := uint64(time.Now().UnixNano())
	for i := range uint64(15) {
		t.Run(fmt.Sprintf("seed=%d", base+i), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { overlayRun(t, base+i) })
		})
		if t.Failed() {
			return
		}
	}
}

func overlayRun(t *testing.T, seed uint64) {
	r := newShadowed(t, seed, traits{plain: true})
	defer r.driver.Close()
	for range 30 {
		r.write()
	}
	for range 10 {
		pending := make([]storage.Op, r.IntN(12))
		for i := range pending {
			pending[i] = r.pendingOp()
		}
		checks := make([]func(), 20)
		for i := range checks {
			checks[i] = r.overlayCheck(pending)
		}
		if _, err := r.driver.Apply(t.Context(), pending); err != nil {
			t.Fatal(err)
		}
		for _, check := range checks {
			check()
		}
	}
}

// pendingOp is an operation as the journal has them: with the highest stamp, and in
// a scope that is ranked, ranked.
func (r *shadowed) pendingOp() storage.Op {
	r.stamp++
	stamp := storage.Stamp{Micros: r.stamp, Producer: 1}
	switch r.IntN(3) {
	case 0:
		return r.put(stamp)
	case 1:
		return &storage.Del{Collection: mirrorCollection, ID: r.id(), Stamp: stamp}
	}
	op := r.add()
	op.IfExists = false // whether the document is there is not known to an overlay
	return op
}

// overlayCheck reads with the pending writes, and answers what compares that with the
// driver's own answer.
func (r *shadowed) overlayCheck(pending []storage.Op) func() {
	switch r.IntN(3) {
	case 0:
		id := r.id()
		d, found := r.get(id)
		d, found = overlayDocument(d, found, mirrorCollection, id, pending)
		return func() {
			want, is := r.get(id)
			r.check(true, id, []any{d, found}, []any{want, is})
		}
	case 1:
		index, q := r.scanQuery()
		docs, err := scanOver(index, q, pending, func(q storage.ScanQuery) ([]storage.Document, error) {
			return r.scan(index, q), nil
		})
		if err != nil {
			r.Fatal(err)
		}
		return func() { r.check(true, fmt.Sprintf("%q %+v", index, q), docs, r.scan(index, q)) }
	}
	scope, q := mirrorScopes[r.IntN(3)], r.counterQuery()
	if q.Top > 0 { // of a full page it is not known what comes after it
		scope, q.Top = "s", 13
	}
	counters := overlayCounters(r.counters(scope, q), scope, q, pending)
	return func() { r.check(true, fmt.Sprintf("scope %q %+v", scope, q), counters, r.counters(scope, q)) }
}
