package resilient

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

// backlog is a log as a backend holds it.
type backlog struct {
	epoch   storage.Epoch
	entries []storage.LogEntry // all of this epoch, also those that were trimmed
	trimmed int
	last    map[storage.Producer]uint64
}

// grow appends n entries, 10 µs apart, of one producer.
func (b *backlog) grow(n int, p storage.Producer) {
	if b.last == nil {
		b.last = map[storage.Producer]uint64{}
	}
	for range n {
		b.last[p]++
		seq := uint64(len(b.entries) + 1)
		b.entries = append(b.entries, storage.LogEntry{
			ID: fmt.Sprintf("%d-%d-%d", b.epoch, p, seq), Data: []byte("data"),
			Pos:  storage.Position{Micros: 1000 + 10*int64(seq), Seq: seq},
			Link: storage.Link{Producer: p, Number: b.last[p]},
		})
	}
}

func (b *backlog) head() storage.Position {
	if len(b.entries) == 0 {
		return storage.Position{}
	}
	return b.entries[len(b.entries)-1].Pos
}

// read answers as a driver does.
func (b *backlog) read(q storage.LogQuery) storage.LogPage {
	state := storage.LogState{}
	if len(b.entries) > 0 {
		state = storage.LogState{Epoch: b.epoch, Head: b.head(), Last: b.last}
	}
	kept := b.entries[b.trimmed:]
	if len(kept) > 0 {
		state.First = kept[0].Pos
	}
	p := q.Plan(state)
	var in []storage.LogEntry
	for _, e := range kept {
		if e.Pos.Micros > p.After && (p.Before == 0 || e.Pos.Micros < p.Before) {
			in = append(in, e)
		}
	}
	n := min(p.Limit, len(in))
	if p.Newest {
		return p.Page(in[len(in)-n:], n < len(in))
	}
	return p.Page(in[:n], n < len(in))
}

// tail reads the newest entries into the mirror.
func (b *backlog) tail(m *mirror, limit int) { b.into(m, storage.LogQuery{Limit: limit}) }

// after reads what follows the entry with that number into the mirror.
func (b *backlog) after(m *mirror, seq uint64) {
	c := b.cursor(seq)
	b.into(m, storage.LogQuery{After: &c})
}

func (b *backlog) into(m *mirror, q storage.LogQuery) { m.read("a", q, b.read(q)) }

func (b *backlog) cursor(seq uint64) storage.Cursor {
	c := storage.Cursor{Epoch: b.epoch}
	if seq > 0 {
		c.Pos = b.entries[seq-1].Pos
	}
	return c
}

// store tells the mirror of the entry with that number.
func (b *backlog) store(m *mirror, seq uint64) { m.stored("a", b.epoch, b.entries[seq-1]) }

// seqs shows the window of log a: its epoch, From and the entries.
func seqs(m *mirror) string {
	w, ok := m.window("a")
	if !ok {
		return "none"
	}
	s := []string{fmt.Sprintf("%d: %d <", w.Epoch, w.From.Seq)}
	for _, e := range w.Entries {
		s = append(s, strconv.FormatUint(e.Pos.Seq, 10))
	}
	return strings.Join(s, " ")
}

func TestMirrorRules(t *testing.T) {
	mine, other := storage.Producer(1), storage.Producer(2)
	for name, c := range map[string]struct {
		do   func(m *mirror, b *backlog)
		want string
	}{
		"not read": {func(m *mirror, b *backlog) { b.store(m, 5) }, "none"},
		"tail":     {func(m *mirror, b *backlog) { b.tail(m, 2) }, "7: 3 < 4 5"},
		"whole":    {func(m *mirror, b *backlog) { b.tail(m, 10) }, "7: 0 < 1 2 3 4 5"},
		"after":    {func(m *mirror, b *backlog) { b.after(m, 3) }, "7: 3 < 4 5"},
		"after, at the head": {func(m *mirror, b *backlog) {
			b.after(m, 5)
		}, "7: 5 <"},
		"after, more behind": {func(m *mirror, b *backlog) {
			c := b.cursor(1)
			b.into(m, storage.LogQuery{After: &c, Limit: 2})
		}, "none"},
		"before": {func(m *mirror, b *backlog) {
			c := b.cursor(4)
			b.into(m, storage.LogQuery{Before: &c})
		}, "none"},
		"degraded": {func(m *mirror, b *backlog) {
			page := b.read(storage.LogQuery{})
			page.Degraded = true
			m.read("a", storage.LogQuery{}, page)
		}, "none"},
		"pending": {func(m *mirror, b *backlog) {
			page := b.read(storage.LogQuery{Limit: 1})
			page.Entries = append(page.Entries, storage.LogEntry{ID: "p", Pending: true})
			m.read("a", storage.LogQuery{}, page)
		}, "7: 4 < 5"},
		"only pending": {func(m *mirror, b *backlog) {
			c := b.cursor(5)
			page := b.read(storage.LogQuery{After: &c})
			page.Entries = append(page.Entries, storage.LogEntry{ID: "p", Pending: true})
			m.read("a", storage.LogQuery{After: &c}, page)
		}, "7: 5 <"},
		"stored": {func(m *mirror, b *backlog) {
			b.tail(m, 1)
			b.grow(1, mine)
			b.store(m, 6)
		}, "7: 4 < 5 6"},
		"stored, not the next": {func(m *mirror, b *backlog) {
			b.tail(m, 1)
			b.grow(3, mine)
			b.store(m, 7)
			b.store(m, 5)
		}, "7: 4 < 5"},
		"stored, of another epoch": {func(m *mirror, b *backlog) {
			b.tail(m, 1)
			b.grow(1, mine)
			m.stored("a", 8, b.entries[5])
			m.stored("a", 0, b.entries[5])
		}, "7: 4 < 5"},
		"stored, before the head in time": {func(m *mirror, b *backlog) {
			b.tail(m, 1)
			e := b.entries[4]
			e.Pos.Seq++
			m.stored("a", 7, e)
		}, "7: 4 < 5"},
		"stored pending": {func(m *mirror, b *backlog) {
			b.tail(m, 1)
			b.grow(1, mine)
			e := b.entries[5]
			e.Pending = true
			m.stored("a", 7, e)
		}, "7: 4 < 5"},
		"overlap": {func(m *mirror, b *backlog) {
			b.after(m, 2)
			b.grow(2, other)
			b.tail(m, 4)
		}, "7: 2 < 3 4 5 6 7"},
		"next": {func(m *mirror, b *backlog) {
			b.tail(m, 1)
			b.grow(2, other)
			b.after(m, 5)
		}, "7: 4 < 5 6 7"},
		"further back": {func(m *mirror, b *backlog) {
			b.tail(m, 2)
			b.tail(m, 4)
		}, "7: 1 < 2 3 4 5"},
		"further back, then stored": {func(m *mirror, b *backlog) {
			b.tail(m, 2)
			old := b.read(storage.LogQuery{Limit: 4})
			b.grow(1, mine)
			b.store(m, 6)
			m.read("a", storage.LogQuery{Limit: 4}, old)
		}, "7: 1 < 2 3 4 5 6"},
		"hole": {func(m *mirror, b *backlog) {
			b.tail(m, 5)
			b.grow(3, other)
			b.tail(m, 2)
		}, "7: 6 < 7 8"},
		"hole before the head": {func(m *mirror, b *backlog) {
			b.tail(m, 5)
			b.grow(3, other)
			b.after(m, 8)
		}, "7: 8 <"},
		"told late": {func(m *mirror, b *backlog) {
			old := b.read(storage.LogQuery{Limit: 2})
			b.grow(3, other)
			b.tail(m, 2)
			m.read("a", storage.LogQuery{Limit: 2}, old)
		}, "7: 6 < 7 8"},
		"given away again": {func(m *mirror, b *backlog) { // what was 4 and 5 is lost
			b.tail(m, 3)
			b.entries = b.entries[:3]
			b.grow(3, other)
			for i := 3; i < 6; i++ {
				b.entries[i].Pos.Micros += 5
			}
			b.tail(m, 3)
		}, "7: 3 < 4 5 6"},
		"given away again, far back": {func(m *mirror, b *backlog) {
			b.tail(m, 1)
			b.entries = b.entries[:1]
			b.grow(1, other)
			b.entries[1].Pos.Micros = 5000
			b.tail(m, 1)
		}, "7: 1 < 2"},
		"given away again, next": {func(m *mirror, b *backlog) {
			b.tail(m, 3)
			b.entries[4].Pos.Micros += 5
			b.grow(1, other)
			b.after(m, 5)
		}, "7: 2 < 3 4 5 6"}, // indistinguishable: whoever knows of the loss drops
		"new epoch": {func(m *mirror, b *backlog) {
			b.tail(m, 5)
			b.epoch = 8
			b.tail(m, 2)
		}, "8: 3 < 4 5"},
		"new epoch, for a cursor of the old": {func(m *mirror, b *backlog) {
			b.tail(m, 5)
			c := b.cursor(5)
			b.epoch = 8
			b.into(m, storage.LogQuery{After: &c})
		}, "8: 0 < 1 2 3 4 5"},
		"trimmed": {func(m *mirror, b *backlog) {
			b.tail(m, 5)
			b.trimmed = 2
			b.tail(m, 1)
		}, "7: 2 < 3 4 5"},
		"trimmed before it was read": {func(m *mirror, b *backlog) {
			b.trimmed = 2
			b.tail(m, 9)
		}, "7: 2 < 3 4 5"},
		"trimmed to nothing": {func(m *mirror, b *backlog) {
			b.tail(m, 5)
			b.trimmed = 5
			b.after(m, 4)
		}, "7: 5 <"},
		"seen pending": {func(m *mirror, b *backlog) { // 6 is left out of the page
			b.tail(m, 1)
			b.grow(1, mine)
			b.grow(1, other)
			c := b.cursor(5).With(b.entries[5].Link)
			b.into(m, storage.LogQuery{After: &c})
		}, "7: 6 < 7"},
		"seen pending, and stored": {func(m *mirror, b *backlog) {
			b.tail(m, 1)
			b.grow(1, mine)
			b.store(m, 6)
			b.grow(1, other)
			c := b.cursor(5).With(b.entries[5].Link)
			b.into(m, storage.LogQuery{After: &c})
		}, "7: 4 < 5 6 7"},
		"seen pending, nothing left": {func(m *mirror, b *backlog) {
			b.tail(m, 1)
			b.grow(1, mine)
			c := b.cursor(5).With(b.entries[5].Link)
			b.into(m, storage.LogQuery{After: &c})
		}, "7: 4 < 5"},
		"dropped": {func(m *mirror, b *backlog) {
			b.tail(m, 5)
			m.drop("a")
			b.grow(1, mine)
			b.store(m, 6)
		}, "none"},
		"unknown": {func(m *mirror, b *backlog) {
			b.entries = nil
			b.tail(m, 5)
		}, "none"},
		"unknown, then its first": {func(m *mirror, b *backlog) {
			all := b.entries
			b.entries = nil
			b.tail(m, 5)
			b.entries = all
			b.store(m, 1)
			b.store(m, 2)
		}, "7: 0 < 1 2"},
		"unknown, then a later one": {func(m *mirror, b *backlog) {
			all := b.entries
			b.entries = nil
			b.tail(m, 5)
			b.entries = all
			b.store(m, 2)
		}, "none"},
		"unknown, then one without an epoch": {func(m *mirror, b *backlog) {
			all := b.entries
			b.entries = nil
			b.tail(m, 5)
			m.stored("a", 0, all[0])
			m.stored("a", 7, all[1])
		}, "none"},
		"ended": {func(m *mirror, b *backlog) {
			b.tail(m, 5)
			b.entries = nil
			b.tail(m, 5)
		}, "none"},
		"state lost": {func(m *mirror, b *backlog) {
			b.tail(m, 5)
			page := b.read(storage.LogQuery{})
			page.State = storage.LogState{}
			m.read("a", storage.LogQuery{}, page)
			b.grow(1, mine)
			b.store(m, 6)
		}, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			m, b := newMirror(defaultMirrorBounds), &backlog{epoch: 7}
			b.grow(3, mine)
			b.grow(2, other)
			c.do(m, b)
			if got := seqs(m); got != c.want {
				t.Fatalf("window is %s, want %s", got, c.want)
			}
		})
	}
}
