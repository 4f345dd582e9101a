package resilient

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// noted is what a test tells a cache, at the time 0 unless it says so.
type noted func(c *documents)

var cacheTime = time.Unix(1_000_000, 0)

func toldWrite(op storage.Op) noted { return func(c *documents) { c.wrote(op, cacheTime) } }

func toldDocument(id string, stamp int64) noted {
	return func(c *documents) { c.got("c", id, docOf(id, stamp), true) }
}

func toldNone(id string) noted {
	return func(c *documents) { c.got("c", id, storage.Document{}, false) }
}

func toldScan(index string, q storage.ScanQuery, docs ...storage.Document) noted {
	return func(c *documents) { c.scanned("c", index, q, docs) }
}

func toldCounters(q storage.CounterQuery, counters ...storage.Counter) noted {
	return func(c *documents) { c.counted("c", "", q, counters) }
}

func toldLoss(c *documents) { c.forget("c") }

// mortal is a Put that ends after a second.
func mortal(id string) *storage.Put {
	op := putOf(id, 1, nil)
	op.TTL = time.Second
	return op
}

// crossing notes the later things between the beginning and the end of the first.
func crossing(first func(m moment), later ...noted) noted {
	return func(c *documents) {
		m := c.begin()
		for _, note := range later {
			note(c)
		}
		first(m)
	}
}

func wroteLate(op storage.Op) func(m moment) { return func(m moment) { m.wrote(op, cacheTime) } }

func gotLate(id string, stamp int64) func(m moment) {
	return func(m moment) { m.got("c", id, docOf(id, stamp), stamp > 0) }
}

func TestDocumentsGet(t *testing.T) {
	for name, tt := range map[string]struct {
		noted []noted
		after time.Duration
		want  int64 // the stamp; 0: it is not there, -1: not known
	}{
		"never seen":                     {want: -1},
		"read":                           {noted: []noted{toldDocument("a", 1)}, want: 1},
		"read and not there":             {noted: []noted{toldNone("a")}},
		"in a page":                      {noted: []noted{toldScan("i", storage.ScanQuery{}, docOf("a", 1))}, want: 1},
		"not in a page":                  {noted: []noted{toldScan("", storage.ScanQuery{})}, want: -1},
		"written":                        {noted: []noted{toldNone("a"), toldWrite(putOf("a", 2, nil))}, want: 2},
		"deleted":                        {noted: []noted{toldDocument("a", 1), toldWrite(delOf("a", 2))}},
		"deleted without being known":    {noted: []noted{toldWrite(delOf("a", 2))}},
		"before its end":                 {noted: []noted{toldWrite(mortal("a"))}, after: time.Second - 1, want: 1},
		"at its end":                     {noted: []noted{toldWrite(mortal("a"))}, after: time.Second},
		"at its end, read before":        {noted: []noted{toldWrite(mortal("a")), toldDocument("a", 1)}, after: time.Second},
		"written again without an end":   {noted: []noted{toldWrite(mortal("a")), toldWrite(putOf("a", 2, nil))}, after: time.Second, want: 2},
		"stamped by the backend":         {noted: []noted{toldDocument("a", 1), toldWrite(&storage.Put{Collection: "c", ID: "a"})}, want: -1},
		"the backend has lost it":        {noted: []noted{toldDocument("a", 1), toldLoss}, want: -1},
		"changed by another node":        {noted: []noted{toldWrite(putOf("a", 1, nil)), toldDocument("a", 2)}, want: 2},
		"deleted by another node":        {noted: []noted{toldWrite(putOf("a", 1, nil)), toldNone("a")}},
		"gone from a page":               {noted: []noted{toldScan("", storage.ScanQuery{}, docOf("a", 1)), toldScan("", storage.ScanQuery{})}, want: -1},
		"read before it was written":     {noted: []noted{crossing(gotLate("a", 1), toldWrite(putOf("a", 2, nil)))}, want: 2},
		"read before it was deleted":     {noted: []noted{crossing(gotLate("a", 1), toldWrite(delOf("a", 2)))}},
		"not there before it was put":    {noted: []noted{crossing(gotLate("a", 0), toldWrite(putOf("a", 2, nil)))}, want: 2},
		"read while another was written": {noted: []noted{crossing(gotLate("a", 1), toldWrite(putOf("b", 2, nil)))}, want: 1},
		"read before the backend lost":   {noted: []noted{crossing(gotLate("a", 1), toldLoss)}, want: -1},
		"written, and read before":       {noted: []noted{crossing(wroteLate(putOf("a", 2, nil)), toldDocument("a", 1))}, want: 2},
		"written, and not there":         {noted: []noted{crossing(wroteLate(putOf("a", 2, nil)), toldNone("a"))}, want: -1},
		"written, and overtaken":         {noted: []noted{crossing(wroteLate(putOf("a", 2, nil)), toldDocument("a", 3))}, want: -1},
		"deleted, and written again":     {noted: []noted{crossing(wroteLate(delOf("a", 2)), toldDocument("a", 3))}, want: -1},
	} {
		t.Run(name, func(t *testing.T) {
			c := newDocuments(0)
			for _, note := range tt.noted {
				note(c)
			}
			d, found, ok := c.get("c", "a", cacheTime.Add(tt.after))
			checkDocuments(t, c)
			if ok != (tt.want >= 0) || found != (tt.want > 0) {
				t.Fatalf("found %t, known %t, want %d", found, ok, tt.want)
			}
			if found && (d.Stamp != micros(tt.want) || d.ID != "a") {
				t.Errorf("is %+v, want %d", d, tt.want)
			}
		})
	}
}

func TestDocumentsScan(t *testing.T) {
	red, green := map[string]string{"i": "red"}, map[string]string{"i": "green"}
	inRed := storage.ScanQuery{Value: "red"}
	three := toldScan("i", inRed, docOf("b", 1), docOf("d", 1), docOf("f", 1))
	full := toldScan("i", storage.ScanQuery{Value: "red", Limit: 2}, docOf("b", 1), docOf("d", 1))
	rest := toldScan("i", storage.ScanQuery{Value: "red", Limit: 2, After: "d"}, docOf("f", 1))
	overFull := func(n int, after string) storage.ScanQuery {
		return storage.ScanQuery{Value: "red", Limit: n, After: after}
	}
	for name, tt := range map[string]struct {
		noted []noted
		q     storage.ScanQuery
		after time.Duration
		want  string // ids; "?": not known
	}{
		"never seen":                        {q: inRed, want: "?"},
		"of another value":                  {noted: []noted{three}, q: storage.ScanQuery{Value: "green"}, want: "?"},
		"as it was read":                    {noted: []noted{three}, q: inRed, want: "b d f"},
		"empty":                             {noted: []noted{toldScan("i", inRed)}, q: inRed},
		"part of it":                        {noted: []noted{three}, q: overFull(1, "b"), want: "d"},
		"after an id that is not there":     {noted: []noted{three}, q: overFull(0, "c"), want: "d f"},
		"a full page":                       {noted: []noted{full}, q: overFull(2, ""), want: "b d"},
		"more than a full page":             {noted: []noted{full}, q: overFull(3, ""), want: "?"},
		"after a full page":                 {noted: []noted{full}, q: overFull(2, "d"), want: "?"},
		"two pages":                         {noted: []noted{full, rest}, q: inRed, want: "b d f"},
		"two pages, the second first":       {noted: []noted{rest, full}, q: overFull(2, "b"), want: "d f"},
		"the end alone":                     {noted: []noted{rest}, q: inRed, want: "?"},
		"one more":                          {noted: []noted{three, toldWrite(putOf("c", 2, red))}, q: inRed, want: "b c d f"},
		"one more at the end":               {noted: []noted{three, toldWrite(putOf("g", 2, red))}, q: inRed, want: "b d f g"},
		"one more behind a full page":       {noted: []noted{full, toldWrite(putOf("g", 2, red))}, q: overFull(2, ""), want: "b d"},
		"one more of another value":         {noted: []noted{three, toldWrite(putOf("c", 2, green))}, q: inRed, want: "b d f"},
		"written again":                     {noted: []noted{three, toldWrite(putOf("d", 2, red))}, q: inRed, want: "b d f"},
		"written with another value":        {noted: []noted{three, toldWrite(putOf("d", 2, green))}, q: inRed, want: "b f"},
		"written without a value":           {noted: []noted{three, toldWrite(putOf("d", 2, nil))}, q: inRed, want: "b f"},
		"deleted":                           {noted: []noted{three, toldWrite(delOf("d", 2))}, q: inRed, want: "b f"},
		"deleted from a full page":          {noted: []noted{full, toldWrite(delOf("b", 2))}, q: overFull(2, ""), want: "?"},
		"deleted, and enough is left":       {noted: []noted{full, toldWrite(delOf("b", 2))}, q: overFull(1, ""), want: "d"},
		"deleted, with the next page known": {noted: []noted{full, rest, toldWrite(delOf("b", 2))}, q: overFull(2, ""), want: "d f"},
		"ended":                             {noted: []noted{toldScan("", storage.ScanQuery{}), toldWrite(mortal("a"))}, after: time.Second},
		"the backend has lost it":           {noted: []noted{three, toldLoss}, q: inRed, want: "?"},
		"changed by another node":           {noted: []noted{three, toldDocument("d", 2)}, q: inRed, want: "?"},
		"deleted by another node":           {noted: []noted{three, toldNone("d")}, q: inRed, want: "b f"},
		"read before it was written": {noted: []noted{crossing(
			func(m moment) { m.scanned("c", "i", inRed, nil) }, toldWrite(putOf("a", 2, red)))}, q: inRed, want: "?"},
		"written, and read meanwhile": {noted: []noted{crossing(
			wroteLate(putOf("d", 1, red)), three)}, q: inRed, want: "b d f"},
		"written, and read without it": {noted: []noted{crossing(
			wroteLate(putOf("c", 2, red)), three)}, q: inRed, want: "?"},
		"deleted, and read with it": {noted: []noted{crossing(
			wroteLate(delOf("d", 2)), three)}, q: inRed, want: "?"},
		"stamped by the backend": {noted: []noted{three, toldWrite(&storage.Put{
			Collection: "c", ID: "c", Indexes: red,
		})}, q: inRed, want: "?"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newDocuments(0)
			for _, note := range tt.noted {
				note(c)
			}
			index := "i"
			if tt.q.Value == "" {
				index = ""
			}
			docs, ok := c.scan("c", index, tt.q, cacheTime.Add(tt.after))
			checkDocuments(t, c)
			if is := joined(docs, ok); is != tt.want {
				t.Errorf("is %q, want %q", is, tt.want)
			}
		})
	}
}

func joined(docs []storage.Document, ok bool) string {
	if !ok {
		return "?"
	}
	ids := make([]string, len(docs))
	for i, d := range docs {
		ids[i] = d.ID
	}
	return strings.Join(ids, " ")
}

func TestDocumentsCounters(t *testing.T) {
	a, top := storage.CounterQuery{Member: "a"}, func(n int) storage.CounterQuery { return storage.CounterQuery{Top: n} }
	two := toldCounters(top(5), counterOf("a", 5), counterOf("b", 3))
	full := toldCounters(top(2), counterOf("a", 5), counterOf("b", 3))
	conditional := addOf("", "a", 1)
	conditional.IfExists = true
	unranked := addOf("", "a", 1)
	unranked.RankBy = ""
	for name, tt := range map[string]struct {
		noted []noted
		q     storage.CounterQuery
		after time.Duration
		want  string // members and values; "?": not known
	}{
		"never seen":                     {q: a, want: "?"},
		"read":                           {noted: []noted{toldCounters(a, counterOf("a", 5))}, q: a, want: "a5"},
		"read and not there":             {noted: []noted{toldCounters(a)}, q: a},
		"added":                          {noted: []noted{toldCounters(a), toldWrite(addOf("", "a", 2)), toldWrite(addOf("", "a", 2))}, q: a, want: "a4"},
		"added without being known":      {noted: []noted{toldWrite(addOf("", "a", 2))}, q: a, want: "?"},
		"added in another scope":         {noted: []noted{toldCounters(a, counterOf("a", 5)), toldWrite(addOf("s", "a", 2))}, q: a, want: "a5"},
		"in the highest":                 {noted: []noted{two}, q: a, want: "a5"},
		"the highest":                    {noted: []noted{two}, q: top(9), want: "a5 b3"},
		"fewer of the highest":           {noted: []noted{full}, q: top(1), want: "a5"},
		"more of the highest":            {noted: []noted{full}, q: top(3), want: "?"},
		"overtaken":                      {noted: []noted{full, toldWrite(addOf("", "b", 3))}, q: top(2), want: "b6 a5"},
		"level":                          {noted: []noted{full, toldWrite(addOf("", "b", 2))}, q: top(2), want: "a5 b5"},
		"fallen in a full page":          {noted: []noted{full, toldWrite(addOf("", "b", -1))}, q: top(2), want: "?"},
		"fallen, and the rest is known":  {noted: []noted{full, toldWrite(addOf("", "b", -1))}, q: top(1), want: "a5"},
		"fallen where all are known":     {noted: []noted{two, toldWrite(addOf("", "a", -4))}, q: top(2), want: "b3 a1"},
		"new, known not to be there":     {noted: []noted{two, toldCounters(storage.CounterQuery{Member: "c"}), toldWrite(addOf("", "c", 4))}, q: top(3), want: "a5 c4 b3"},
		"new, not known":                 {noted: []noted{two, toldWrite(addOf("", "c", 4))}, q: top(1), want: "?"},
		"outside, and known to stay so":  {noted: []noted{full, toldCounters(storage.CounterQuery{Member: "c"}), toldWrite(addOf("", "c", 2))}, q: top(2), want: "a5 b3"},
		"outside, and known to get in":   {noted: []noted{full, toldCounters(storage.CounterQuery{Member: "c"}), toldWrite(addOf("", "c", 4))}, q: top(3), want: "a5 c4 b3"},
		"without a rank":                 {noted: []noted{two, toldWrite(unranked)}, q: top(1), want: "?"},
		"deleted with its document":      {noted: []noted{toldDocument("a", 1), two, toldWrite(delOf("a", 2))}, q: top(2), want: "b3"},
		"deleted without being known":    {noted: []noted{two, toldWrite(delOf("a", 2))}, q: a, want: "?"},
		"its document exists":            {noted: []noted{toldDocument("a", 1), two, toldWrite(conditional)}, q: a, want: "a6"},
		"its document does not exist":    {noted: []noted{toldNone("a"), two, toldWrite(conditional)}, q: a, want: "a5"},
		"whether it exists is not known": {noted: []noted{two, toldWrite(conditional)}, q: a, want: "?"},
		"its document has ended":         {noted: []noted{toldWrite(mortal("a")), two}, q: top(1), after: time.Second, want: "?"},
		"read before it was added": {noted: []noted{crossing(
			func(m moment) { m.counted("c", "", a, nil) }, toldWrite(addOf("", "a", 2)))}, q: a, want: "?"},
		"added, and read meanwhile": {noted: []noted{crossing(
			wroteLate(addOf("", "a", 2)), toldCounters(a, counterOf("a", 2)))}, q: a, want: "?"},
		"the backend has lost it": {noted: []noted{two, toldLoss}, q: a, want: "?"},
		"changed by another node": {noted: []noted{full, toldCounters(a, counterOf("a", 9))}, q: top(1), want: "?"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newDocuments(0)
			for _, note := range tt.noted {
				note(c)
			}
			counters, ok := c.counters("c", "", tt.q, cacheTime.Add(tt.after))
			checkDocuments(t, c)
			is := make([]string, len(counters))
			for i, counter := range counters {
				is[i] = fmt.Sprint(counter.Member, counter.Fields["n"])
			}
			if s := strings.Join(is, " "); ok == (tt.want == "?") || ok && s != tt.want {
				t.Errorf("is %q, known %t, want %q", s, ok, tt.want)
			}
		})
	}
}

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
