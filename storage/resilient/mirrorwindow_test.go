package resilient

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

// The entries 1 to 5 stand at 1010, 1020 … 1050 µs; the window has 3 to 5.
func TestMirrorWindowAfterAndBefore(t *testing.T) {
	link := func(c storage.Cursor, n uint64) storage.Cursor { return c.With(storage.Link{Producer: 1, Number: n}) }
	b := &backlog{epoch: 7}
	b.grow(5, 1)
	timed := storage.MicrosCursor
	for name, c := range map[string]struct {
		c      storage.Cursor
		after  string
		covers bool
		before string
	}{
		"start":                       {b.cursor(0), "[3 4 5]", false, "[]"},
		"just outside":                {b.cursor(1), "[3 4 5]", false, "[]"},
		"at its start, by the number": {b.cursor(2), "[3 4 5]", true, "[]"},
		"inside":                      {b.cursor(3), "[4 5]", true, "[]"},
		"at the end":                  {b.cursor(5), "[]", true, "[3 4]"},
		"behind the end":              {storage.Cursor{Epoch: 7, Pos: storage.Position{Micros: 2000, Seq: 9}}, "[]", true, "[3 4 5]"},
		"another epoch":               {storage.Cursor{Epoch: 8, Pos: b.entries[3].Pos}, "[]", false, "[]"},
		"no epoch":                    {storage.Cursor{Pos: b.entries[3].Pos}, "[5]", true, "[3]"},
		"a time before":               {timed(1028), "[3 4 5]", false, "[]"},
		"the time just before":        {timed(1029), "[3 4 5]", true, "[]"},
		"a time inside":               {timed(1035), "[4 5]", true, "[3]"},
		"a time in the future":        {timed(1 << 50), "[]", true, "[3 4 5]"},
		"seen pending":                {link(b.cursor(3), 4), "[5]", true, "[]"},
		"seen pending, not covered":   {link(b.cursor(0), 4), "[5]", false, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(defaultMirrorBounds)
			b.tail(m, 3)
			w, _ := m.window("a")
			entries, covers := w.after(c.c)
			if got := numbers(entries); got != c.after || covers != c.covers {
				t.Errorf("after: %s, %v", got, covers)
			}
			if got := numbers(w.before(c.c)); got != c.before {
				t.Errorf("before: %s", got)
			}
			for i, e := range entries {
				want := c.c // stays where the reader was
				if covers {
					page := b.read(storage.LogQuery{After: &c.c})
					want = page.Entries[i].Cursor
				}
				if e.Cursor.String() != want.String() {
					t.Errorf("cursor of %d is %s, want %s", e.Pos.Seq, e.Cursor, want)
				}
			}
		})
	}
}

func numbers(entries []storage.LogEntry) string {
	ns := make([]uint64, len(entries))
	for i, e := range entries {
		ns[i] = e.Pos.Seq
	}
	return fmt.Sprint(ns)
}

// What a reader's own cursor shows covers the times from it on, also those before
// the window's first entry.
func TestMirrorWindowStartsAtCursorThatWasRead(t *testing.T) {
	m, b := newMirror(defaultMirrorBounds), &backlog{epoch: 7}
	b.grow(5, 1)
	for _, c := range []storage.Cursor{b.cursor(2), storage.MicrosCursor(1020)} {
		m.drop("a")
		b.tail(m, 3)
		b.into(m, storage.LogQuery{After: &c})
		w, _ := m.window("a")
		if _, covers := w.after(storage.MicrosCursor(1020)); !covers {
			t.Errorf("after a read of %s, from is %s", c, w.From)
		}
		if _, covers := w.after(storage.MicrosCursor(1019)); covers {
			t.Errorf("after a read of %s, a time before it is covered", c)
		}
	}
	// Nothing of the kind follows from a cursor with a gap behind it, or with a part
	// that may have left out the entry that follows.
	b.trimmed = 2
	m.drop("a")
	c := storage.MicrosCursor(1005)
	b.into(m, storage.LogQuery{After: &c})
	if w, _ := m.window("a"); w.From.Micros != 1029 {
		t.Errorf("behind a gap from is %s", w.From)
	}
	m.drop("a")
	b.trimmed = 0
	c = b.cursor(2).With(b.entries[2].Link)
	b.into(m, storage.LogQuery{After: &c})
	if w, _ := m.window("a"); w.From != (storage.Position{Micros: 1039, Seq: 3}) {
		t.Errorf("behind a part from is %s", w.From)
	}
	m.drop("a")
	q := storage.LogQuery{After: &storage.Cursor{Epoch: 7, Pos: b.entries[0].Pos}}
	page := b.read(q)
	page.Entries = slices.Delete(page.Entries, 1, 2) // no driver should
	m.read("a", q, page)
	if w, _ := m.window("a"); w.From != (storage.Position{Micros: 1039, Seq: 3}) {
		t.Errorf("behind a hole from is %s", w.From)
	}
}

// What was handed out stays as it was; the race detector watches too.
func TestMirrorWindowNeverChanges(t *testing.T) {
	m, b := newMirror(mirrorBounds{entries: 8, logBytes: 64 << 10, bytes: 1 << 20}), &backlog{epoch: 7}
	b.grow(500, 1)
	all := b.entries
	b.entries = all[:8]
	b.tail(m, 8)
	var readers sync.WaitGroup
	for seq := uint64(9); seq <= 500; seq++ {
		w, _ := m.window("a")
		want := numbers(w.Entries)
		for range 2 {
			readers.Go(func() {
				_ = append(w.Entries, storage.LogEntry{})
				if got := numbers(w.Entries); got != want || w.End.Seq != w.Entries[7].Pos.Seq {
					t.Errorf("window %s became %s", want, got)
				}
			})
		}
		b.entries = all[:seq]
		switch seq % 3 {
		case 0:
			b.store(m, seq)
		case 1:
			b.tail(m, 3)
		default:
			b.trimmed = int(seq) - 8
			b.after(m, seq-1)
		}
	}
	readers.Wait()
}
