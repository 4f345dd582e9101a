package resilient

import (
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

// TestDocumentsAtTheBound: what MaxMembers may have removed is not known any more, and
// only that.
func TestDocumentsAtTheBound(t *testing.T) {
	bounded := func(id, group string) *storage.Put {
		op := putOf(id, 1, map[string]string{"g": group})
		op.Within, op.MaxMembers = "g", 2
		return op
	}
	known := func(c *documents, id string) bool {
		_, _, ok := c.get("c", id, cacheTime)
		return ok
	}
	c := newDocuments(0)
	for _, op := range []*storage.Put{bounded("a", "1"), bounded("b", "1"), bounded("x", "2"), bounded("b", "1")} {
		c.wrote(op, cacheTime)
	}
	if !known(c, "a") || !known(c, "b") {
		t.Fatal("forgotten below the bound")
	}
	c.wrote(bounded("c", "1"), cacheTime)
	if known(c, "a") || known(c, "b") || !known(c, "c") || !known(c, "x") {
		t.Fatal("one of a, b and c was removed, and not c or x")
	}
	c.got("c", "a", docOf("a", 1), true)
	c.wrote(bounded("d", "1"), cacheTime)
	if known(c, "a") || known(c, "c") {
		t.Fatal("the group was at its bound")
	}
	// With the whole list it is known that there is room.
	c.scanned("c", "g", storage.ScanQuery{Value: "1"}, []storage.Document{docOf("d", 1)})
	c.wrote(bounded("e", "1"), cacheTime)
	if docs, ok := c.scan("c", "g", storage.ScanQuery{Value: "1"}, cacheTime); joined(docs, ok) != "d e" {
		t.Fatalf("is %q", joined(docs, ok))
	}
	checkDocuments(t, c)
}

func TestScopesAtTheBound(t *testing.T) {
	bounded := func(member string, n int64) *storage.Add {
		op := addOf("s", member, n)
		op.MaxMembers = 2
		return op
	}
	known := func(c *documents, member string) bool {
		_, ok := c.counters("c", "s", storage.CounterQuery{Member: member}, cacheTime)
		return ok
	}
	c := newDocuments(0)
	for _, m := range []string{"a", "b", "d"} {
		c.counted("c", "s", storage.CounterQuery{Member: m}, nil)
	}
	c.wrote(bounded("a", 1), cacheTime)
	c.wrote(bounded("b", 2), cacheTime)
	if !known(c, "a") || !known(c, "b") {
		t.Fatal("forgotten below the bound")
	}
	c.wrote(bounded("d", 3), cacheTime)
	if known(c, "a") || known(c, "b") {
		t.Fatal("one of the two was removed")
	}
	c.counted("c", "s", storage.CounterQuery{Member: "b"}, []storage.Counter{counterOf("b", 2)})
	c.counted("c", "s", storage.CounterQuery{Member: "a"}, nil)
	c.wrote(bounded("b", 1), cacheTime)
	if !known(c, "b") {
		t.Fatal("forgotten although nothing is new")
	}
	c.wrote(bounded("a", 1), cacheTime)
	if known(c, "b") {
		t.Fatal("the scope was at its bound")
	}
	checkDocuments(t, c)
}

// TestDocumentsBytes: what was used longest ago is forgotten.
func TestDocumentsBytes(t *testing.T) {
	const most = 100 << 10
	c := newDocuments(most)
	body := make([]byte, 1000)
	for i := range 1000 {
		id := fmt.Sprint("d", i)
		c.got("c", id, storage.Document{ID: id, Body: body}, true)
		c.get("c", "d0", cacheTime)
		c.counted("c", id, storage.CounterQuery{Member: "m"}, []storage.Counter{counterOf("m", 1)})
		c.counted("c", id, storage.CounterQuery{Top: 1}, []storage.Counter{counterOf("m", 1)})
		c.scanned("c", "i", storage.ScanQuery{Value: id}, nil)
		if c.bytes > most {
			t.Fatalf("%d bytes, at most %d are allowed", c.bytes, most)
		}
	}
	checkDocuments(t, c)
	if c.bytes < most*9/10 {
		t.Errorf("only %d bytes are used", c.bytes)
	}
	for id, want := range map[string]bool{"d0": true, "d1": false, "d999": true} {
		if _, _, ok := c.get("c", id, cacheTime); ok != want {
			t.Errorf("%s is known: %t", id, ok)
		}
	}
	c.got("c", "large", storage.Document{ID: "large", Body: make([]byte, most)}, true)
	if _, _, ok := c.get("c", "large", cacheTime); ok || c.bytes > most {
		t.Errorf("what is larger than all is known: %t", ok)
	}
	checkDocuments(t, c)
}

// TestDocumentsSpans: a list has 64 spans, and a span 2,000 ids.
func TestDocumentsSpans(t *testing.T) {
	c := newDocuments(0)
	for i := range 100 {
		id := fmt.Sprintf("%03d", i)
		c.scanned("c", "", storage.ScanQuery{After: id, Limit: 1}, []storage.Document{docOf(id+"x", 1)})
	}
	if n := len(c.collections["c"].lists[indexValue{}].spans); n != maxSpans {
		t.Errorf("%d spans are remembered", n)
	}
	c = newDocuments(0)
	c.scanned("c", "", storage.ScanQuery{}, nil)
	for i := range maxSpan + 1 {
		c.wrote(putOf(fmt.Sprintf("%05d", i), 1, nil), cacheTime)
	}
	checkDocuments(t, c)
	if s := c.collections["c"].lists[indexValue{}].spans[0]; len(s.ids) != storage.MaxPage || s.open {
		t.Errorf("%d ids are in the span, open %t", len(s.ids), s.open)
	}
	c.wrote(putOf("00000x", 1, nil), cacheTime)
	docs, ok := c.scan("c", "", storage.ScanQuery{Limit: 3}, cacheTime)
	if joined(docs, ok) != "00000 00000x 00001" {
		t.Errorf("is %q", joined(docs, ok))
	}
	if docs, ok = c.scan("c", "", storage.ScanQuery{Limit: 5000}, cacheTime); !ok || len(docs) != storage.MaxPage {
		t.Errorf("%d documents in a page", len(docs))
	}
	if _, ok = c.scan("c", "", storage.ScanQuery{After: "00999", Limit: 1}, cacheTime); ok {
		t.Error("what is behind the span is known")
	}
}

// TestDocumentsAnswersAreCopies: neither what was noted nor what was answered is changed
// by what a caller does with it.
func TestDocumentsAnswersAreCopies(t *testing.T) {
	c := newDocuments(0)
	given := counterOf("a", 1)
	c.counted("c", "", storage.CounterQuery{Member: "a"}, []storage.Counter{given})
	given.Fields["n"] = 7
	answer, _ := c.counters("c", "", storage.CounterQuery{Member: "a"}, cacheTime)
	answer[0].Fields["n"] = 8
	again, _ := c.counters("c", "", storage.CounterQuery{Member: "a"}, cacheTime)
	if !reflect.DeepEqual(again, []storage.Counter{counterOf("a", 1)}) {
		t.Errorf("is %+v", again)
	}
}

func TestDocumentsConcurrent(t *testing.T) {
	c := newDocuments(20 << 10)
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 500 {
				id := fmt.Sprint(i % 20)
				m := c.begin()
				c.wrote(putOf(id, int64(i*4+w), map[string]string{"i": ""}), cacheTime)
				c.wrote(addOf("", id, 1), cacheTime)
				m.got("c", id, docOf(id, int64(i)), i%3 > 0)
				m.scanned("c", "i", storage.ScanQuery{Limit: 1}, []storage.Document{docOf(id, int64(i))})
				m.counted("c", "", storage.CounterQuery{Top: 2}, []storage.Counter{counterOf(id, 1)})
				c.get("c", id, cacheTime)
				c.scan("c", "i", storage.ScanQuery{}, cacheTime)
				c.counters("c", "", storage.CounterQuery{Top: 1}, cacheTime)
				if i%50 == 0 {
					c.wrote(delOf(id, int64(i*4+w)), cacheTime)
					c.forget("c")
				}
			}
		})
	}
	all.Wait()
	checkDocuments(t, c)
}
