package storagetest

import (
	"fmt"
	"maps"
	"sync"

	"github.com/actionflows/lifeline/storage"
)

var counterTests = []test{
	{"what is unknown is an empty answer", counterUnknown},
	{"deltas add up", counterDeltas},
	{"the least and the greatest are kept", counterExtremes},
	{"fields in the range to be trimmed go, the others stay", counterTrim},
	{"a member without fields is none", counterEmptied},
	{"a document whose counters are gone ranks as 0", counterEmptiedDocument},
	{"the top members, highest first, equals by name", counterTop},
	{"Top is at most MaxPage", counterTopMost},
	{"the top members follow the field that ranks", counterTopMoves},
	{"the lowest members make room", counterMembers},
	{"never the one just changed", counterMembersOthers},
	{"IfExists adds only to a document that is there", counterIfExists},
	{"scopes and collections are apart", counterScopes},
	{"concurrent additions all count", counterConcurrent},
	{"odd collections, scopes, members and fields", oddCounters},
}

var counterChainTests = []test{
	{"n is added after n-1 only", addChain},
	{"chains belong to a producer in a collection", addChains},
	{"Rebase takes any number", addRebase},
	{"an Add that found no document is in the chain", addChainIfExists},
	{"number 0 is in no chain", addZero},
}

type fields = map[string]int64

// add changes one member of the scope "s" of the test's collection.
func (e *env) add(member string, deltas fields) *storage.Add {
	return &storage.Add{Collection: e.log, Scope: "s", Member: member, Deltas: deltas}
}

func (e *env) counters(scope string, q storage.CounterQuery) []storage.Counter {
	e.Helper()
	counters, err := e.d.Counters(e.ctx, e.log, scope, q)
	if err != nil {
		e.Fatalf("counters of %q: %v", scope, err)
	}
	return counters
}

// counter fails unless a member has these fields; nil: it is unknown.
func (e *env) counter(scope, member string, want fields) {
	e.Helper()
	got := e.counters(scope, storage.CounterQuery{Member: member})
	if want == nil {
		if len(got) != 0 {
			e.Fatalf("member %q is %+v, want none", member, got)
		}
		return
	}
	if len(got) != 1 || got[0].Member != member || !maps.Equal(got[0].Fields, want) {
		e.Fatalf("member %q is %+v, want %v", member, got, want)
	}
}

// top fails unless these are the top members of a scope.
func (e *env) top(scope string, most int, want ...string) {
	e.Helper()
	got := e.counters(scope, storage.CounterQuery{Top: most})
	s := make([]string, len(got))
	for i, c := range got {
		s[i] = c.Member
	}
	e.same(fmt.Sprintf("the top %d of %q", most, scope), s, want)
}

func counterUnknown(e *env) {
	e.counter("s", "a", nil)
	e.top("s", 10)
	e.do(e.add("a", fields{"n": 1}))
	e.counter("s", "b", nil)
	e.counter("t", "a", nil)
	e.counter("", "a", nil)
}

func counterDeltas(e *env) {
	e.do(e.add("a", fields{"n": 1, "m": 5}))
	e.counter("s", "a", fields{"n": 1, "m": 5})
	e.do(e.add("a", fields{"n": 2}), e.add("a", fields{"n": -10, "o": -1}), e.add("a", fields{"m": -5}))
	e.counter("s", "a", fields{"n": -7, "m": 0, "o": -1})
	const large = 1 << 50
	e.do(e.add("b", fields{"n": large}), e.add("b", fields{"n": 1}))
	e.counter("s", "b", fields{"n": large + 1})
}

func counterExtremes(e *env) {
	seen := func(low, high int64) {
		a := e.add("a", fields{"n": 1})
		a.Low, a.High = fields{"first": low}, fields{"last": high}
		e.do(a)
	}
	seen(50, -50) // also where they are not on the side of 0 that an absent field would win
	e.counter("s", "a", fields{"n": 1, "first": 50, "last": -50})
	seen(60, -60)
	e.counter("s", "a", fields{"n": 2, "first": 50, "last": -50})
	seen(-40, 40)
	e.counter("s", "a", fields{"n": 3, "first": -40, "last": 40})
	const micros = 1_764_000_000_123_456
	seen(micros, micros)
	e.counter("s", "a", fields{"n": 4, "first": -40, "last": micros})
}

func counterTrim(e *env) {
	e.do(e.add("a", fields{"d1": 1, "d2": 2, "d3": 3, "d4": 4, "e": 5, "c": 6, "d": 7}))
	e.eventually("the fields from d to before d3 are gone", func() bool {
		a := e.add("a", fields{"n": 1})
		a.TrimFrom, a.TrimTo = "d", "d3"
		e.do(a)
		got := e.counters("s", storage.CounterQuery{Member: "a"})
		if len(got) != 1 {
			e.Fatalf("answer is %+v", got)
		}
		for field, want := range (fields{"d3": 3, "d4": 4, "e": 5, "c": 6}) {
			if got[0].Fields[field] != want {
				e.Fatalf("%s is gone: %v", field, got[0].Fields)
			}
		}
		return len(got[0].Fields) == 5
	})
	none := e.add("a", fields{"n": 1})
	none.TrimFrom = "a" // to nowhere
	e.do(none)
	if got := e.counters("s", storage.CounterQuery{Member: "a"}); len(got[0].Fields) != 5 {
		e.Fatalf("an empty range trims: %v", got)
	}
}

// counterEmptied: fields that are trimmed may stay for some time, but when the last
// has gone, so has the member.
func counterEmptied(e *env) {
	daily := func(member string, most int) *storage.Add {
		a := e.add(member, fields{"d1": 1, "d2": 2})
		a.RankBy, a.MaxMembers = "d2", most
		return a
	}
	trim := func(member, rankBy string) {
		e.Helper()
		a := e.add(member, nil)
		a.RankBy, a.TrimFrom, a.TrimTo = rankBy, "d", "e"
		e.eventually("all fields are gone", func() bool {
			e.do(a)
			return len(e.counters("s", storage.CounterQuery{Member: member})) == 0
		})
	}
	e.do(daily("a", 0), daily("b", 0), daily("c", 0))
	e.top("s", 10, "a", "b", "c")
	trim("b", "d2")
	e.top("s", 10, "a", "c")
	trim("a", "")
	e.top("s", 10, "c")
	// It takes no place either.
	e.do(daily("d", 2))
	e.top("s", 10, "c", "d")
	trim("d", "d2")
	e.do(daily("e", 2))
	e.top("s", 10, "c", "e")
	// It may come back.
	e.do(daily("b", 0))
	e.top("s", 10, "b", "c", "e")
	trim("b", "d2")
	trim("c", "d2")
	trim("e", "d2")
	e.top("s", 10)
	// One that never had a field is none to begin with.
	none := e.add("f", nil)
	none.RankBy = "d2"
	e.do(none)
	e.counter("s", "f", nil)
	e.top("s", 10)
}

// counterEmptiedDocument: a document whose counters are gone has the rank 0.
func counterEmptiedDocument(e *env) {
	visit := func(id string, n int64) {
		e.do(&storage.Add{Collection: e.log, Member: id, Deltas: fields{"n": n}, RankBy: "n", IfExists: true})
	}
	e.do(e.put("a", 1), e.put("b", 1), e.put("c", 1))
	visit("a", 5)
	visit("b", 3)
	visit("c", 4)
	e.eventually("all fields are gone", func() bool {
		e.do(&storage.Add{Collection: e.log, Member: "a", TrimFrom: "n", TrimTo: "o", RankBy: "n", IfExists: true})
		return len(e.counters("", storage.CounterQuery{Member: "a"})) == 0
	})
	e.top("", 10, "c", "b")
	put := e.put("d", 1)
	put.MaxMembers, put.Rank = 3, 9
	e.do(put)
	e.members("b", "c", "d")
}

func (e *env) rankedAdd(member string, n int64, maxMembers int) *storage.Add {
	a := e.add(member, fields{"n": n, "other": 1})
	a.RankBy, a.MaxMembers = "n", maxMembers
	return a
}

func counterTop(e *env) {
	for member, n := range (fields{"c": 5, "a": 5, "b": 5, "a\x00": 5, "B": 5, "low": -3, "high": 9, "none": 0, "middle": 6}) {
		e.do(e.rankedAdd(member, n, 0))
	}
	all := []string{"high", "middle", "B", "a", "a\x00", "b", "c", "none", "low"}
	for _, most := range []int{1, 3, 5, 8, 9, 100} {
		e.top("s", most, all[:min(most, len(all))]...)
	}
	got := e.counters("s", storage.CounterQuery{Top: 1})
	if !maps.Equal(got[0].Fields, fields{"n": 9, "other": 1}) {
		e.Fatalf("fields are %v", got[0].Fields)
	}
}

func counterTopMost(e *env) {
	ops := make([]storage.Op, storage.MaxPage+1)
	var want []string
	for i := range ops {
		member := fmt.Sprintf("m%04d", i)
		ops[i] = e.rankedAdd(member, 1, 0)
		want = append(want, member)
	}
	e.do(ops...)
	e.top("s", storage.MaxPage, want[:storage.MaxPage]...)
	e.top("s", 1<<30, want[:storage.MaxPage]...)
}

func counterTopMoves(e *env) {
	e.do(e.rankedAdd("a", 1, 0), e.rankedAdd("b", 2, 0))
	e.top("s", 2, "b", "a")
	e.do(e.rankedAdd("a", 5, 0))
	e.top("s", 2, "a", "b")
	e.do(e.rankedAdd("a", -5, 0))
	e.top("s", 2, "b", "a")
	// A field that keeps the greatest ranks as well.
	last := func(member string, micros int64) {
		e.do(&storage.Add{Collection: e.log, Scope: "last", Member: member, High: fields{"at": micros}, RankBy: "at"})
	}
	last("a", 10)
	last("b", 20)
	last("b", 5)
	last("a", 15)
	e.top("last", 2, "b", "a")
}

func counterMembers(e *env) {
	e.do(e.rankedAdd("a", 5, 3), e.rankedAdd("b", 1, 3), e.rankedAdd("c", 3, 3))
	e.do(e.rankedAdd("d", 4, 3))
	e.counter("s", "b", nil)
	e.top("s", 10, "a", "d", "c")
	// Among equals the lowest name goes.
	e.do(e.rankedAdd("c", 1, 3), e.rankedAdd("e", 9, 3))
	e.top("s", 10, "e", "a", "d")
	// One that was removed begins again.
	e.do(e.rankedAdd("b", 1, 0))
	e.counter("s", "b", fields{"n": 1, "other": 1})
	// A lower bound removes several, and other scopes nothing.
	other := e.rankedAdd("z", 1, 1)
	other.Scope = "t"
	e.do(other, e.rankedAdd("f", 7, 2))
	e.top("s", 10, "e", "f")
	e.top("t", 10, "z")
}

func counterMembersOthers(e *env) {
	e.do(e.rankedAdd("a", 5, 2), e.rankedAdd("b", 5, 2), e.rankedAdd("0", 1, 2))
	e.top("s", 10, "b", "0")
	e.do(e.rankedAdd("0", -9, 1))
	e.top("s", 10, "0")
	e.counter("s", "0", fields{"n": -8, "other": 2})
}

func counterIfExists(e *env) {
	add := &storage.Add{Collection: e.log, Member: "a", Deltas: fields{"n": 1}, IfExists: true}
	if r := e.one(add); r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	e.counter("", "a", nil)
	e.do(e.put("a", 1))
	if r := e.one(add); !r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	e.counter("", "a", fields{"n": 1})
	e.do(e.put("a", 2)) // a new version keeps its counters
	e.do(add)
	e.counter("", "a", fields{"n": 2})
	e.do(e.del("a", 3))
	if r := e.one(add); r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	e.counter("", "a", nil)
	scoped := *add
	scoped.Scope = "s"
	e.refused(&scoped, storage.ErrPoison)
}

func counterScopes(e *env) {
	other := e.rankedAdd("a", 7, 0)
	other.Collection += "-other"
	scoped := e.rankedAdd("a", 8, 0)
	scoped.Scope = "t"
	root := e.rankedAdd("a", 9, 0)
	root.Scope = ""
	e.do(e.rankedAdd("a", 6, 0), other, scoped, root)
	for scope, n := range (fields{"s": 6, "t": 8, "": 9}) {
		e.counter(scope, "a", fields{"n": n, "other": 1})
	}
	// Counters are no documents.
	e.gone("a")
	e.members()
}

func counterConcurrent(e *env) {
	const writers, each = 8, 25
	var wg sync.WaitGroup
	errs := make(chan error, writers*each)
	for range writers {
		wg.Go(func() {
			for i := range each {
				a := e.rankedAdd("a", 1, 0)
				a.High = fields{"last": int64(i)}
				r, err := e.d.Apply(e.ctx, []storage.Op{a})
				if err == nil {
					err = r[0].Err
				}
				if err != nil {
					errs <- err
				}
			}
		})
	}
	wg.Wait()
	if len(errs) > 0 {
		e.Fatal(<-errs)
	}
	e.counter("s", "a", fields{"n": writers * each, "other": writers * each, "last": each - 1})
}

func oddCounters(e *env) {
	for _, name := range odd {
		e.do(&storage.Add{
			Collection: e.log + name, Scope: name, Member: name, Deltas: fields{name: 1}, High: fields{name + "h": 2}, RankBy: name,
		})
		e.do(e.rankedAdd(name, 1, 0))
	}
	for _, name := range odd {
		for _, q := range []storage.CounterQuery{{Member: name}, {Top: 10}} {
			got, err := e.d.Counters(e.ctx, e.log+name, name, q)
			if err != nil || len(got) != 1 || got[0].Member != name || !maps.Equal(got[0].Fields, fields{name: 1, name + "h": 2}) {
				e.Fatalf("%q has %+v, %v", name, got, err)
			}
		}
		e.counter("s", name, fields{"n": 1, "other": 1})
	}
	if got := e.counters("s", storage.CounterQuery{Top: 100}); len(got) != len(odd) {
		e.Fatalf("%d members, want %d", len(got), len(odd))
	}
}
