package storagetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/actionflows/lifeline/storage"
)

var scanTests = []test{
	{"documents are found by each of their indexes", scanIndexes},
	{"a new version's indexes replace the old ones", indexesReplaced},
	{"a duplicate leaves the indexes alone", indexesDuplicate},
	{"the index \"\" is all of the collection, whatever the value", scanAll},
	{"what is unknown is empty", scanUnknown},
	{"an empty value is a value", emptyValue},
	{"values and ids that look alike are not mixed up", similarValues},
	{"odd indexes and values", oddIndexes},
	{"ids come in byte order", scanOrder},
	{"only ids above After", scanAfter},
	{"Limit of Scan has a default and a maximum", scanLimit},
	{"pages of Scan miss and double nothing", scanPages},
}

// indexed is a document with indexes, given as "index=value".
func (e *env) indexed(id string, micros int64, indexes ...string) *storage.Put {
	p := e.put(id, micros)
	p.Indexes = make(map[string]string)
	for _, s := range indexes {
		index, value, _ := strings.Cut(s, "=")
		p.Indexes[index] = value
	}
	return p
}

func scanIndexes(e *env) {
	e.do(e.indexed("a", 1, "color=red", "size=big"), e.indexed("b", 1, "color=red"),
		e.indexed("c", 1, "color=blue", "size=big"), e.put("d", 1))
	e.having("color", "red", "a", "b")
	e.having("color", "blue", "c")
	e.having("size", "big", "a", "c")
	e.having("size", "red")
	documents, err := e.d.Scan(e.ctx, e.log, "color", storage.ScanQuery{Value: "blue"})
	if err != nil || len(documents) != 1 || string(documents[0].Body) != "body of c" || documents[0].Stamp != at(1) {
		e.Fatalf("answer is %+v, %v", documents, err)
	}
}

func indexesReplaced(e *env) {
	e.do(e.indexed("a", 1, "color=red", "size=big", "kept=x"))
	e.do(e.indexed("a", 2, "color=blue", "weight=light", "kept=x"))
	e.having("color", "red")
	e.having("size", "big")
	e.having("color", "blue", "a")
	e.having("weight", "light", "a")
	e.having("kept", "x", "a")
	e.do(e.put("a", 3))
	e.having("color", "blue")
	e.having("kept", "x")
	e.members("a")
}

func indexesDuplicate(e *env) {
	e.do(e.indexed("a", 2, "color=red"))
	e.duplicate(e.indexed("a", 1, "color=blue", "size=big"))
	e.having("color", "red", "a")
	e.having("color", "blue")
	e.having("size", "big")
}

func scanAll(e *env) {
	e.do(e.indexed("a", 1, "color=red"), e.put("b", 1))
	e.same("documents", e.scan("", storage.ScanQuery{Value: "red"}), []string{"a", "b"})
}

func scanUnknown(e *env) {
	e.members()
	e.having("color", "red")
	e.do(e.indexed("a", 1, "color=red"))
	e.having("size", "red")
	e.having("color", "green")
}

func emptyValue(e *env) {
	e.do(e.indexed("a", 1, "color="), e.indexed("b", 1, "color=red"), e.put("c", 1))
	e.having("color", "", "a")
	e.do(e.indexed("a", 2, "color=red"))
	e.having("color", "")
}

func similarValues(e *env) {
	values := []string{"", "a", "a\x00", "a\x00b", "a:b", "ab", "a b", "A", "á", "\xff", "a\xff"}
	ids := []string{"b", "\x00b", ":b", "a", "\xff"}
	for i, value := range values {
		for _, id := range ids {
			p := e.put(fmt.Sprint(i)+id, 1)
			p.Indexes = map[string]string{"x": value}
			e.do(p)
		}
	}
	for i, value := range values {
		var want []string
		for _, id := range ids {
			want = append(want, fmt.Sprint(i)+id)
		}
		slices.Sort(want)
		e.having("x", value, want...)
	}
	// The same for the names of indexes.
	a, b := e.put("a", 1), e.put("b", 1)
	a.Indexes, b.Indexes = map[string]string{"i:v": "w"}, map[string]string{"i": "v:w"}
	e.do(a, b)
	e.having("i:v", "w", "a")
	e.having("i", "v:w", "b")
}

func oddIndexes(e *env) {
	p := e.put("a", 1)
	p.Indexes = make(map[string]string)
	for _, name := range odd {
		p.Indexes[name] = name + name
	}
	e.do(p)
	for _, name := range odd {
		e.having(name, name+name, "a")
		e.having(name, name)
	}
}

func scanOrder(e *env) {
	ids := []string{"b", "a", "a\x00", "B", "ab", "10", "9", "é", "\xff", "~", " ", "a\xff"}
	for _, id := range ids {
		e.do(e.indexed(id, 1, "all=x"))
	}
	slices.Sort(ids)
	e.members(ids...)
	e.having("all", "x", ids...)
}

func scanAfter(e *env) {
	e.do(e.indexed("a", 1, "all=x"), e.indexed("b", 1, "all=x"), e.indexed("d", 1, "all=x"), e.indexed("c", 1, "all=y"))
	for after, want := range map[string][]string{
		"": {"a", "b", "d"}, "a": {"b", "d"}, "a\x00": {"b", "d"}, "b": {"d"}, "c": {"d"}, "d": {}, "z": {}, "0": {"a", "b", "d"},
	} {
		e.same("after "+after, e.scan("all", storage.ScanQuery{Value: "x", After: after}), want)
	}
	e.same("all after b", e.scan("", storage.ScanQuery{After: "b"}), []string{"c", "d"})
	e.same("one after a", e.scan("", storage.ScanQuery{After: "a", Limit: 1}), []string{"b"})
}

// crowd puts n documents "d0000"… and answers their ids.
func (e *env) crowd(n int) []string {
	e.Helper()
	ids := make([]string, n)
	ops := make([]storage.Op, n)
	for i := range n {
		ids[i] = fmt.Sprintf("d%04d", i)
		ops[i] = e.indexed(ids[i], 1, "all=x")
	}
	for chunk := range slices.Chunk(ops, 200) {
		e.do(chunk...)
	}
	return ids
}

func scanLimit(e *env) {
	ids := e.crowd(storage.MaxPage + 1)
	for limit, want := range map[int]int{
		0: storage.DefaultPage, -1: storage.DefaultPage, 1: 1, 7: 7,
		storage.MaxPage: storage.MaxPage, storage.MaxPage + 1: storage.MaxPage, 1 << 30: storage.MaxPage,
	} {
		e.same("all", e.scan("", storage.ScanQuery{Limit: limit}), ids[:want])
		e.same("indexed", e.scan("all", storage.ScanQuery{Value: "x", Limit: limit}), ids[:want])
	}
}

func scanPages(e *env) {
	ids := e.crowd(23)
	for _, limit := range []int{1, 5, 22, 23, 24} {
		for _, index := range []string{"", "all"} {
			var all []string
			q := storage.ScanQuery{Value: "x", Limit: limit}
			for page := e.scan(index, q); len(page) > 0; page = e.scan(index, q) {
				all = append(all, page...)
				q.After = page[len(page)-1]
			}
			e.same("documents", all, ids)
		}
	}
}
