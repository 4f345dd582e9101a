package resilient

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func (r *rig) apply(ops ...storage.Op) []storage.Result {
	r.Helper()
	results, err := r.Apply(r.Context(), ops)
	if err != nil {
		r.Fatal(err)
	}
	for i := range results {
		if results[i].Err != nil {
			r.Fatalf("%T: %v", ops[i], results[i].Err)
		}
	}
	return results
}

func bookmark(id, user string) *storage.Put {
	return &storage.Put{Collection: "c", ID: id, Body: []byte("of " + user), Indexes: map[string]string{"user": user}}
}

func idsOfDocuments(docs []storage.Document) (ids []string) {
	for _, d := range docs {
		ids = append(ids, d.ID+" "+string(d.Body))
	}
	return ids
}

func (r *rig) scan() []string {
	r.Helper()
	docs, err := r.Scan(r.Context(), "c", "user", storage.ScanQuery{Value: "u"})
	if err != nil {
		r.Fatal(err)
	}
	return idsOfDocuments(docs)
}

func unavailable(err error) bool {
	var e *storage.UnavailableError
	return errors.As(err, &e)
}

// What only the backend can do is to be tried again when that hangs.
func TestDirectOperationsMeetAHangingBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.put("a", "1")
		r.f.set(hangs)
		results, err := r.Apply(t.Context(), []storage.Op{&storage.Drop{Scope: "a"}})
		if !unavailable(err) || !unavailable(results[0].Err) {
			t.Fatalf("answer is %+v, %v", results, err)
		}
	})
}

// Documents are written and read while the backend is away, and are there when it
// is back; what nobody knows is not made up.
func TestDocumentsThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.apply(bookmark("1", "u"), bookmark("2", "v"))
		other := bookmark("9", "u")
		if _, err := r.f.inner.Apply(t.Context(), []storage.Op{other}); err != nil { // another node
			t.Fatal(err)
		}
		if got, want := r.scan(), []string{"1 of u", "9 of u"}; !slices.Equal(got, want) {
			t.Fatalf("scan is %v", got)
		}
		r.trip()
		r.f.setReads(fails)
		res := r.apply(bookmark("3", "u"), &storage.Del{Collection: "c", ID: "1"}, bookmark("2", "u"))
		for _, x := range res {
			if !x.Pending || !x.Volatile {
				t.Fatalf("answer is %+v", x)
			}
		}
		if res[0].Exists != true || !res[1].Exists || !res[2].Exists { // of 3 nobody here knows
			t.Fatalf("answers are %+v", res)
		}
		want := []string{"2 of u", "3 of u", "9 of u"}
		if got := r.scan(); !slices.Equal(got, want) {
			t.Fatalf("scan is %v", got)
		}
		if _, err := r.Get(t.Context(), "c", "1"); !errors.Is(err, storage.ErrNotFound) {
			t.Fatalf("a deleted document: %v", err)
		}
		if d, err := r.Get(t.Context(), "c", "9"); err != nil || string(d.Body) != "of u" {
			t.Fatalf("a document that was read: %v, %v", d, err)
		}
		if _, err := r.Get(t.Context(), "c", "unknown"); !unavailable(err) {
			t.Fatalf("an unknown document: %v", err)
		}
		if _, err := r.Scan(t.Context(), "c", "user", storage.ScanQuery{Value: "w"}); !unavailable(err) {
			t.Fatalf("an unknown scan: %v", err)
		}
		r.f.setReads(none)
		r.f.set(none)
		settle()
		docs, err := r.f.inner.Scan(t.Context(), "c", "user", storage.ScanQuery{Value: "u"})
		if err != nil || !slices.Equal(idsOfDocuments(docs), want) {
			t.Fatalf("the backend has %v, %v", idsOfDocuments(docs), err)
		}
	})
}

// The later write wins, whichever reaches the backend first.
func TestDocumentsKeepTheOrderOfTheirWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.apply(bookmark("1", "before"))
		r.trip()
		r.apply(bookmark("1", "pending"))
		time.Sleep(time.Second)
		if _, err := r.f.inner.Apply(t.Context(), []storage.Op{bookmark("1", "later")}); err != nil {
			t.Fatal(err)
		}
		r.f.set(none)
		settle()
		if d, err := r.Get(t.Context(), "c", "1"); err != nil || string(d.Body) != "of later" {
			t.Fatalf("document is %s, %v", d.Body, err)
		}
	})
}

func count(member string, n int64) *storage.Add {
	return &storage.Add{Collection: "c", Scope: "s", Member: member, Deltas: map[string]int64{"n": n}, RankBy: "n"}
}

func (r *rig) counted(d storage.Driver, member string) int64 {
	r.Helper()
	counters, err := d.Counters(r.Context(), "c", "s", storage.CounterQuery{Member: member})
	if err != nil {
		r.Fatal(err)
	}
	if len(counters) == 0 {
		return 0
	}
	return counters[0].Fields["n"]
}

// Every Add counts once, however often it was sent.
func TestCountersThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.apply(count("m", 1))
		if n := r.counted(r, "m"); n != 1 {
			t.Fatalf("%d counted", n)
		}
		r.f.set(loses)
		r.f.setReads(fails)
		if res := r.apply(count("m", 10)); !res[0].Pending {
			t.Fatalf("answer is %+v", res[0])
		}
		r.trip()
		r.apply(count("m", 100))
		if n := r.counted(r, "m"); n != 111 {
			t.Fatalf("%d counted during the outage", n)
		}
		r.f.setReads(none)
		r.f.set(none)
		settle()
		if n := r.counted(r.f.inner, "m"); n != 111 {
			t.Fatalf("%d counted in the backend", n)
		}
		r.f.wipe()
		r.apply(count("m", 1000))
		settle()
		if n := r.counted(r.f.inner, "m"); n != 1111 {
			t.Fatalf("%d counted after a loss", n)
		}
	})
}

// An Add that the backend cannot count is given up, and those behind it count.
func TestPoisonedAddIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.apply(count("m", 1<<62))
		results, err := r.Apply(t.Context(), []storage.Op{count("m", 1<<62), count("o", 7)})
		if err != nil || !errors.Is(results[0].Err, storage.ErrPoison) || results[1].Err != nil {
			t.Fatalf("answers are %+v, %v", results, err)
		}
		r.trip()
		r.apply(count("m", 1<<62), count("o", 7), count("o", 7))
		r.f.set(none)
		settle()
		r.apply(count("o", 7))
		if n := r.counted(r.f.inner, "o"); n != 28 {
			t.Fatalf("%d counted", n)
		}
		if s := r.Status(); s.Degraded || s.Pending != 0 {
			t.Fatalf("status is %+v", s)
		}
	})
}

func push(id string) *storage.Push {
	return &storage.Push{Queue: "q", ID: id, Data: []byte("data of " + id), Remaining: 5 * time.Minute, MaxLen: 3}
}

func (r *rig) takes(d storage.Driver) (ids []string) {
	r.Helper()
	items, err := d.Take(r.Context(), "q", 100)
	if err != nil {
		r.Fatal(err)
	}
	for _, item := range items {
		if string(item.Data) != "data of "+item.ID {
			r.Fatalf("item is %+v", item)
		}
		ids = append(ids, item.ID)
	}
	return ids
}

// What was never sent may be taken from the journal, once; what was sent only the
// backend hands out.
func TestInputThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.apply(push("0"))
		r.f.set(hangs)
		r.apply(push("1")) // sent, and what became of it is unknown
		r.trip()
		if _, err := r.Take(t.Context(), "q", 10); !unavailable(err) {
			t.Fatalf("an empty answer is made up: %v", err)
		}
		r.apply(push("2"))
		if got := r.takes(r); !slices.Equal(got, []string{"2"}) {
			t.Fatalf("taken are %v", got)
		}
		if _, err := r.Take(t.Context(), "q", 10); !unavailable(err) {
			t.Fatalf("taken twice, or made up: %v", err)
		}
		r.f.set(none)
		settle()
		if got := r.takes(r.f.inner); !slices.Equal(got, []string{"0", "1"}) {
			t.Fatalf("the backend has %v", got)
		}
		if res := r.apply(push("2")); !res[0].Duplicate {
			t.Fatalf("what was taken here was answered %+v", res[0])
		}
	})
}

// An item waits from the time at which it was accepted.
func TestInputEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.trip()
		r.apply(push("1"))
		time.Sleep(4 * time.Minute)
		r.apply(push("2"))
		time.Sleep(2 * time.Minute)
		r.f.set(none)
		settle()
		if got := r.takes(r.f.inner); !slices.Equal(got, []string{"2"}) {
			t.Fatalf("the backend has %v", got)
		}
	})
}

// A full queue refuses where the count is known, and goes on afterwards.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		full := func(id string) bool {
			res, err := r.Apply(t.Context(), []storage.Op{push(id)})
			if err != nil {
				t.Fatal(err)
			}
			return errors.Is(res[0].Err, storage.ErrFull)
		}
		for i := range 3 {
			r.apply(push(fmt.Sprint(i)))
		}
		for range 2 {
			if !full("3") {
				t.Fatal("a full queue took another item")
			}
		}
		if got := r.takes(r); len(got) != 3 {
			t.Fatalf("taken are %v", got)
		}
		r.apply(push("4"))
		r.trip()
		for i := range 3 {
			r.apply(push(fmt.Sprint("pending ", i)))
		}
		if !full("too many") {
			t.Fatal("three that wait here are known")
		}
		r.f.set(none)
		settle()
		if got := r.takes(r.f.inner); len(got) != 4 { // what was acknowledged is not refused
			t.Fatalf("the backend has %v", got)
		}
		r.apply(push("5"))
	})
}
