package resilient

import (
	"fmt"
	"strings"
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
	counted0 := toldCounters(a)
	trimmed := addOf("", "a", 1)
	trimmed.TrimFrom, trimmed.TrimTo = "a", "z"
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
		"added if it exists, and that was read meanwhile": {noted: []noted{counted0, crossing(
			wroteLate(conditional), toldDocument("a", 1))}, q: a, want: "?"},
		"the first with a rank":   {noted: []noted{toldCounters(top(5)), counted0, toldWrite(addOf("", "a", 2))}, q: top(1), want: "?"},
		"left without fields":     {noted: []noted{two, toldWrite(trimmed)}, q: top(1), want: "?"},
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
