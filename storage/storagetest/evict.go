package storagetest

import (
	"fmt"

	"github.com/actionflows/lifeline/storage"
)

var evictTests = []test{
	{"the documents of the lowest rank make room", evictLowest},
	{"the lowest id goes first among equals", evictTies},
	{"never the one just written", evictOthers},
	{"without MaxMembers nothing is removed", evictNone},
	{"a new version needs no room", evictVersion},
	{"a duplicate removes nothing", evictDuplicate},
	{"a lower bound removes several", evictSeveral},
	{"Within bounds those of one value", evictWithin},
	{"Within counts where a document has moved to", evictMoved},
	{"Within needs a value", evictWithout},
	{"ranks are whole numbers of 2^53 either way", evictRanks},
	{"a document that made room is gone, with its counters", evictGone},
	{"applying a batch that removed documents again changes nothing", evictAgain},
	{"an Add with IfExists and RankBy sets the rank", evictCounted},
}

// ranked is a document in a collection of at most so many.
func (e *env) ranked(id string, micros, rank int64, maxMembers int) *storage.Put {
	p := e.put(id, micros)
	p.Rank, p.MaxMembers = rank, maxMembers
	return p
}

func evictLowest(e *env) {
	e.do(e.ranked("a", 1, 30, 3), e.ranked("b", 1, 10, 3), e.ranked("c", 1, 20, 3))
	e.members("a", "b", "c")
	e.do(e.ranked("d", 1, 40, 3))
	e.members("a", "c", "d")
	e.do(e.ranked("e", 1, 50, 3))
	e.members("a", "d", "e")
}

func evictTies(e *env) {
	for _, id := range []string{"c", "a\xff", "b", "a", "A"} {
		e.do(e.ranked(id, 1, 7, 5))
	}
	for _, left := range [][]string{{"a", "a\xff", "b", "c"}, {"a\xff", "b", "c"}, {"b", "c"}, {"c"}} {
		id := fmt.Sprint("new", len(left))
		e.do(e.ranked(id, 1, 8, len(left)+1))
		e.members(append(left, id)...)
		e.do(e.del(id, 2))
	}
}

func evictOthers(e *env) {
	e.do(e.ranked("a", 1, 10, 2), e.ranked("b", 1, 20, 2))
	e.do(e.ranked("c", 1, 1, 2)) // the lowest of all
	e.members("b", "c")
	e.do(e.ranked("0", 1, 1, 1)) // equal, and its id is lower
	e.members("0")
}

func evictNone(e *env) {
	for i := range 20 {
		e.do(e.ranked(fmt.Sprintf("d%02d", i), 1, int64(i), 0))
	}
	if n := len(e.scan("", storage.ScanQuery{})); n != 20 {
		e.Fatalf("%d documents are left", n)
	}
}

func evictVersion(e *env) {
	e.do(e.ranked("a", 1, 10, 2), e.ranked("b", 1, 20, 2))
	e.do(e.ranked("a", 2, 30, 2))
	e.members("a", "b")
	e.do(e.ranked("c", 1, 40, 2)) // the new rank of "a" counts
	e.members("a", "c")
}

func evictDuplicate(e *env) {
	e.do(e.ranked("a", 2, 10, 0), e.ranked("b", 1, 20, 0), e.ranked("c", 1, 30, 0))
	e.duplicate(e.ranked("a", 1, 99, 1))
	e.members("a", "b", "c")
	e.do(e.ranked("d", 1, 40, 3)) // the rank of "a" is what it was
	e.members("b", "c", "d")
}

func evictSeveral(e *env) {
	for i := range 10 {
		e.do(e.ranked(fmt.Sprint("d", i), 1, int64(i), 0))
	}
	e.do(e.ranked("e", 1, 0, 4))
	e.members("d7", "d8", "d9", "e")
}

// grouped is a ranked document in one group of at most two.
func (e *env) grouped(id, group string, micros, rank int64) *storage.Put {
	p := e.ranked(id, micros, rank, 2)
	p.Within = "group"
	p.Indexes = map[string]string{"group": group, "other": "x"}
	return p
}

func evictWithin(e *env) {
	e.do(e.grouped("a1", "a", 1, 10), e.grouped("b1", "b", 1, 1), e.grouped("a2", "a", 1, 20), e.grouped("0", "", 1, 2))
	e.members("0", "a1", "a2", "b1")
	e.do(e.grouped("a3", "a", 1, 30))
	e.members("0", "a2", "a3", "b1")
	e.do(e.grouped("b2", "b", 1, 5), e.grouped("b3", "b", 1, 5))
	e.having("group", "b", "b2", "b3")
	e.do(e.grouped("1", "", 1, 2), e.grouped("2", "", 1, 2))
	e.having("group", "", "1", "2")
	e.having("group", "a", "a2", "a3")
	e.having("other", "x", "1", "2", "a2", "a3", "b2", "b3")
}

func evictMoved(e *env) {
	e.do(e.grouped("x", "a", 1, 10), e.grouped("a1", "a", 1, 20), e.grouped("b1", "b", 1, 30), e.grouped("b2", "b", 1, 40))
	e.do(e.grouped("x", "b", 2, 1))
	e.having("group", "b", "b2", "x")
	e.do(e.grouped("a2", "a", 1, 1)) // there is room where it was
	e.having("group", "a", "a1", "a2")
}

func evictWithout(e *env) {
	p := e.ranked("a", 1, 1, 2)
	p.Within = "group"
	e.refused(p, storage.ErrPoison)
	p.Indexes = map[string]string{"other": "x"}
	e.refused(p, storage.ErrPoison)
	e.members()
}

func evictRanks(e *env) {
	const most = 1 << 53
	for id, rank := range map[string]int64{"a": most, "b": most - 1, "c": 0, "d": -1, "e": 1 - most, "f": -most} {
		e.do(e.ranked(id, 1, rank, 0))
	}
	for _, left := range []string{"abcde", "abcd", "abc", "ab", "a"} {
		e.do(e.ranked("x", int64(10-len(left)), most, len(left)+1))
		var want []string
		for _, id := range left {
			want = append(want, string(id))
		}
		e.members(append(want, "x")...)
	}
	e.refused(e.ranked("y", 1, most+1, 0), storage.ErrPoison)
	e.refused(e.ranked("y", 1, -most-1, 0), storage.ErrPoison)
}

func evictGone(e *env) {
	a := e.ranked("a", 5, 1, 1)
	a.Indexes = map[string]string{"color": "red"}
	e.do(a, &storage.Add{Collection: e.log, Member: "a", Deltas: map[string]int64{"n": 1}, RankBy: "n"})
	e.do(e.ranked("b", 1, 2, 1))
	e.gone("a")
	e.having("color", "red")
	e.counter("", "a", nil)
	e.top("", 10)
	// Its stamp is remembered as that of a deletion.
	e.duplicate(e.put("a", 5))
	if r := e.fresh(e.put("a", 6)); r.Exists {
		e.Fatalf("answer is %+v", r)
	}
}

func evictAgain(e *env) {
	var batch []storage.Op
	for i := range 6 {
		batch = append(batch, e.ranked(fmt.Sprint("d", i), int64(i+1), int64(i), 2))
	}
	e.do(batch...)
	e.members("d4", "d5")
	for i, r := range e.do(batch...) {
		if !r.Duplicate {
			e.Fatalf("operation %d was carried out twice: %+v", i, r)
		}
	}
	e.members("d4", "d5")
}

func evictCounted(e *env) {
	e.do(e.ranked("a", 1, 5, 0), e.ranked("b", 1, 6, 0))
	used := &storage.Add{
		Collection: e.log, Member: "a", Deltas: map[string]int64{"n": 9}, RankBy: "n", IfExists: true,
	}
	if r := e.one(used); !r.Exists {
		e.Fatalf("answer is %+v", r)
	}
	e.do(e.ranked("c", 1, 0, 2))
	e.members("a", "c")
	// Without IfExists an Add has nothing to do with documents.
	e.do(&storage.Add{Collection: e.log, Member: "c", Deltas: map[string]int64{"n": 99}, RankBy: "n"})
	e.do(e.ranked("d", 1, 0, 2))
	e.members("a", "d")
}
