package resilient

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// TestMirrorRandom compares the mirror with the log itself, through a random life of
// it: it grows, is trimmed, loses entries and begins new epochs, while pages and
// stored entries are told late and out of order.
func TestMirrorRandom(t *testing.T) {
	base := uint64(time.Now().UnixNano())
	for i := range uint64(300) {
		seed := base + i
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			l := &mirrorLife{
				T: t, Rand: rand.New(rand.NewPCG(seed, 1)), b: &backlog{epoch: 1},
				m: newMirror(mirrorBounds{entries: 1 + int(seed%40), logBytes: 4000, bytes: 6000}), //nolint:gosec // below 40
			}
			for range 400 {
				l.step()
				l.check()
			}
			for _, w := range l.handed {
				if !slices.EqualFunc(w.now, w.then, sameEntry) {
					t.Fatalf("window %s became %s", numbers(w.then), numbers(w.now))
				}
			}
		})
		if t.Failed() {
			return
		}
	}
}

type mirrorLife struct {
	*testing.T
	*rand.Rand
	m      *mirror
	b      *backlog
	lives  []backlog // of which nothing is told any more once dropped
	late   []func()
	handed []struct{ now, then []storage.LogEntry }
}

func (l *mirrorLife) step() {
	switch l.IntN(10) {
	case 0, 1: // another node's
		l.b.grow(1+l.IntN(5), 2)
	case 2, 3: // one's own, told now or later
		l.b.grow(1, 1)
		epoch, e := l.b.epoch, l.b.entries[len(l.b.entries)-1]
		l.tell(func() { l.m.stored("a", epoch, e) })
	case 4:
		l.b.trimmed += l.IntN(len(l.b.entries) - l.b.trimmed + 1)
	case 5:
		l.change()
	case 6:
		if n := len(l.late); n > 0 {
			i := l.IntN(n)
			l.late[i]()
			l.late = slices.Delete(l.late, i, i+1)
		}
	default:
		l.read()
	}
}

func (l *mirrorLife) tell(fn func()) {
	if l.IntN(3) == 0 {
		l.late = append(l.late, fn)
		return
	}
	fn()
}

// change begins a new epoch now and then: with all entries, or without the newest
// ones, whose numbers are given again; or the log is deleted.
func (l *mirrorLife) change() {
	if l.IntN(4) != 0 {
		return
	}
	old := *l.b
	l.lives = append(l.lives, old)
	l.b = &backlog{epoch: old.epoch + 1, entries: slices.Clone(old.entries), trimmed: old.trimmed, last: old.last}
	switch l.IntN(4) {
	case 0:
		n := old.trimmed + l.IntN(len(old.entries)-old.trimmed+1)
		l.b.entries = l.b.entries[:n:n]
	case 1:
		l.b.entries, l.b.trimmed = nil, 0
		l.late = nil
		l.m.drop("a")
	}
}

func (l *mirrorLife) read() {
	q := storage.LogQuery{Limit: 1 + l.IntN(30)}
	c := l.cursor()
	switch l.IntN(4) {
	case 0:
		q.Before = &c
	case 1, 2:
		q.After = &c
	}
	page := l.b.read(q)
	told := false
	l.tell(func() { l.m.read("a", q, page); told = true })
	reached := q.Before == nil && (q.After == nil || !page.HasMore)
	if !told || !reached || len(c.Parts) > 0 && q.After != nil || page.State.Epoch == 0 || len(l.m.logs) == 0 {
		return
	}
	// Without holes in the page, what it has shown is known now.
	w, ok := l.m.window("a")
	if !ok || w.Epoch != l.b.epoch || w.End != l.b.head() {
		l.Fatalf("read up to %v of %d, window is %v of %d", l.b.head(), l.b.epoch, w.End, w.Epoch)
	}
	n := len(page.Entries)
	if want := min(n, l.m.bounds.entries); len(w.Entries) < want && l.m.logs["a"].size < 3000 {
		l.Fatalf("%d entries read, %d known", n, len(w.Entries))
	}
}

// cursor is one that a reader may hold: of any epoch or none, a time, with parts.
func (l *mirrorLife) cursor() storage.Cursor {
	if len(l.b.entries) == 0 || l.IntN(5) == 0 {
		return storage.MicrosCursor(1000 + l.Int64N(2000))
	}
	c := l.b.cursor(uint64(l.IntN(len(l.b.entries) + 1)))
	switch l.IntN(8) {
	case 0:
		c.Epoch = 0
	case 1:
		c.Epoch--
	case 2, 3:
		c = c.With(l.b.entries[l.IntN(len(l.b.entries))].Link)
	}
	return c
}

// check compares the window with the life of the log that it is of, and what it
// answers with what the backend does.
func (l *mirrorLife) check() {
	l.bounds()
	w, ok := l.m.window("a")
	if !ok {
		return
	}
	truth := *l.b
	if w.Epoch != truth.epoch {
		truth = l.lives[w.Epoch-1]
	}
	if w.End.Seq > uint64(len(truth.entries)) || w.From.Seq > w.End.Seq {
		l.Fatalf("window from %v to %v of a log up to %v", w.From, w.End, truth.head())
	}
	if !slices.EqualFunc(w.Entries, truth.entries[w.From.Seq:w.End.Seq], sameEntry) {
		l.Fatalf("window holds %s, log %s", numbers(w.Entries), numbers(truth.entries))
	}
	if l.IntN(10) == 0 {
		l.handed = append(l.handed, struct{ now, then []storage.LogEntry }{w.Entries, slices.Clone(w.Entries)})
	}
	c := l.cursor()
	entries, covers := w.after(c)
	if !covers || c.Epoch != 0 && c.Epoch != w.Epoch {
		return
	}
	truth.trimmed = 0 // the window may know what was trimmed
	truth.entries = truth.entries[:w.End.Seq]
	if c.Pos.Seq > w.End.Seq {
		c = storage.MicrosCursor(c.Pos.Micros) // behind the end is not ahead of the head
	}
	page := truth.read(storage.LogQuery{After: &c, Limit: storage.MaxPage})
	if !slices.EqualFunc(entries, page.Entries, sameForReader) {
		l.Fatalf("after %s: %s, log %s", c, numbers(entries), numbers(page.Entries))
	}
}

func (l *mirrorLife) bounds() {
	var bytes int64
	for _, log := range l.m.logs {
		var size int64
		for _, e := range log.Entries {
			size += mirrorSize(e)
		}
		if size != log.size || size > l.m.bounds.logBytes || len(log.Entries) > l.m.bounds.entries {
			l.Fatalf("%d entries of %d bytes, counted %d", len(log.Entries), size, log.size)
		}
		bytes += size + log.fixed()
	}
	if bytes != l.m.bytes || bytes > l.m.bounds.bytes {
		l.Fatalf("%d bytes, counted %d", bytes, l.m.bytes)
	}
}

func sameEntry(a, b storage.LogEntry) bool {
	return a.ID == b.ID && a.Pos == b.Pos && a.Link == b.Link && string(a.Data) == string(b.Data)
}

func sameForReader(a, b storage.LogEntry) bool {
	return sameEntry(a, b) && a.Cursor.String() == b.Cursor.String() && a.Received.Equal(b.Received)
}
