package faultmatrix

import (
	"slices"
	"testing"
	"time"
)

// pages of a session with one event, as a reader gets them one after the other.
type repeats struct {
	form   form
	stream bool
	event  published
	pages  []reply
}

func pageOf(v visit, cursor string, unmarked, pending bool) reply {
	return reply{
		visit: v, Cursor: cursor, Timestamp: "2026-01-01T00:00:00.000001Z", Unmarked: unmarked,
		Entries: []event{{ID: "w-0", Pending: pending}},
	}
}

// An event may be seen again for the reasons that docs/protocol.md names, no others.
func TestRepeats(t *testing.T) {
	acked := time.Now()
	old, young := acked.Add(-time.Second), acked.Add(time.Second)
	at := func(node, life, conn int, began time.Time) visit {
		return visit{node: node, life: life, conn: conn, began: began, since: "2026-01-01T00:00:00Z"}
	}
	const plain, part = "v1.1.5-1", "v1.1.5-1~2.3"
	here := published{writer: "w", acked: acked, life: 1}
	pending, twice, after := here, here, here
	pending.pending = true
	twice.twice = true
	after.received = 1_767_225_600_000_001 // behind at's since
	for name, c := range map[string]struct {
		repeats
		wrong bool
	}{
		"at one node": {repeats{event: pending, pages: []reply{
			pageOf(at(0, 1, 0, old), part, true, false), pageOf(at(0, 1, 0, old), part, true, false),
		}}, true},
		"pending at its node, seen in the log at another": {repeats{event: pending, pages: []reply{
			pageOf(at(1, 1, 0, young), plain, true, false), pageOf(at(0, 1, 0, young), part, true, false),
		}}, false},
		"never pending, seen in the log at another": {repeats{event: here, pages: []reply{
			pageOf(at(1, 1, 0, young), plain, true, false), pageOf(at(0, 1, 0, young), part, true, false),
		}}, true},
		"the same, asked for before it was acknowledged": {repeats{event: here, pages: []reply{
			pageOf(at(1, 1, 0, old), plain, true, false), pageOf(at(0, 1, 0, old), part, true, false),
		}}, false},
		"pending, at a node that has not published it": {repeats{event: pending, pages: []reply{
			pageOf(at(0, 1, 0, young), plain, true, false), pageOf(at(1, 1, 0, young), part, true, false),
		}}, true},
		"on a page without anything pending": {repeats{event: pending, pages: []reply{
			pageOf(at(1, 1, 0, young), plain, true, false), pageOf(at(0, 1, 0, young), plain, true, false),
		}}, true},
		"at a later life of its node": {repeats{event: here, pages: []reply{
			pageOf(at(0, 1, 0, young), plain, true, false), pageOf(at(0, 2, 0, young), part, true, false),
		}}, false},
		"with a time before it": {repeats{form: Truncated, event: after, pages: []reply{
			pageOf(at(0, 1, 0, young), plain, true, false), pageOf(at(0, 1, 0, young), plain, true, false),
		}}, false},
		"with a time behind it": {repeats{form: Truncated, event: here, pages: []reply{
			pageOf(at(0, 1, 0, young), plain, true, false), pageOf(at(0, 1, 0, young), plain, true, false),
		}}, true},
		"posted twice, on one connection, pending first": {repeats{stream: true, event: twice, pages: []reply{
			pageOf(at(0, 1, 1, young), part, false, true), pageOf(at(0, 1, 1, young), part, false, true),
		}}, true},
		"posted twice, on one connection, pending second": {repeats{stream: true, event: twice, pages: []reply{
			pageOf(at(0, 1, 1, young), plain, false, false), pageOf(at(0, 1, 1, young), part, false, true),
		}}, false},
		"posted twice, on another connection": {repeats{stream: true, event: twice, pages: []reply{
			pageOf(at(0, 1, 1, young), part, false, true), pageOf(at(0, 1, 2, young), plain, false, false),
		}}, false},
	} {
		r := &run{book: newBook()}
		r.book.events["log"] = map[string]*published{"w-0": &c.event}
		f := r.newReader("log", 0, false, c.form)
		if c.stream {
			f.stream = &Stream{}
		}
		for _, page := range c.pages {
			f.take(page)
		}
		f.settle(r.book)
		if got := len(f.duplicated) > 0; got != c.wrong {
			t.Errorf("%s: wrong is %v", name, got)
		}
	}
}

// A reader is told of another life of his session, and only of one.
func TestHear(t *testing.T) {
	for name, c := range map[string]struct {
		loses bool
		pages []reply
		wrong bool
	}{
		"nothing":                    {false, []reply{{Epoch: "a"}, {Epoch: "a"}}, false},
		"a gap, nothing was lost":    {false, []reply{{Epoch: "a"}, {Epoch: "a", Gap: true}}, true},
		"an epoch, nothing was lost": {false, []reply{{Epoch: "a"}, {Epoch: "b"}}, true},
		"an epoch, told":             {true, []reply{{Epoch: "a"}, {Epoch: "b", Gap: true}}, false},
		"an epoch, not told":         {true, []reply{{Epoch: "a"}, {Epoch: "b"}}, true},
		"an end, then a beginning":   {true, []reply{{Epoch: "a"}, {Gap: true}, {Epoch: "b"}}, false},
	} {
		r := &run{book: newBook(), fault: Fault{loses: c.loses}}
		f := r.newReader("log", 0, false, Canonical)
		for _, page := range c.pages {
			f.hear(page)
		}
		if got := len(f.untold) > 0; got != c.wrong {
			t.Errorf("%s: wrong is %v: %v", name, got, f.untold)
		}
	}
}

// A batch is compared result by result.
func TestBatchAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		results []reply
		refused []string
		wrong   bool
	}{
		"all":                  {[]reply{{Duplicate: true}, {}}, nil, false},
		"some":                 {[]reply{{Duplicate: true}, {Error: "busy", Later: true}}, []string{"new"}, false},
		"one more than it has": {[]reply{{Duplicate: true}, {}, {}}, nil, true},
		"one for good":         {[]reply{{Duplicate: true}, {Error: "no"}}, nil, true},
		"a known one as new":   {[]reply{{}, {}}, nil, true},
	} {
		r := &run{book: newBook()}
		w := writer{actor: actor{r: r, name: "b"}}
		var b batch
		b.add(Item{ID: "known"}, &published{}, true)
		b.add(Item{ID: "new"}, &published{}, false)
		refused, _ := w.answered(b, reply{Results: c.results})
		var ids []string
		for _, item := range refused.items {
			ids = append(ids, item.ID)
		}
		if got := len(r.book.problems) > 0; got != c.wrong || !slices.Equal(ids, c.refused) {
			t.Errorf("%s: again %v, problems %v", name, ids, r.book.problems)
		}
	}
}
