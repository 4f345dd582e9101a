package resilient

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

func TestMirrorBoundsOfOneLog(t *testing.T) {
	entry := mirrorSize(storage.LogEntry{ID: "7-1-1", Data: []byte("data")})
	for name, c := range map[string]struct {
		bounds mirrorBounds
		want   string
	}{
		"entries": {mirrorBounds{entries: 2, logBytes: 1 << 20, bytes: 1 << 20}, "7: 4 < 5 6"},
		"bytes":   {mirrorBounds{entries: 256, logBytes: 3 * entry, bytes: 1 << 20}, "7: 3 < 4 5 6"},
		"less":    {mirrorBounds{entries: 256, logBytes: 3*entry - 1, bytes: 1 << 20}, "7: 4 < 5 6"},
		"nothing": {mirrorBounds{entries: 256, logBytes: entry - 1, bytes: 1 << 20}, "7: 6 <"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &backlog{epoch: 7}
			b.grow(6, 1)
			read := newMirror(c.bounds)
			b.tail(read, 10)
			if got := seqs(read); got != c.want {
				t.Errorf("read: %s", got)
			}
			stored := newMirror(c.bounds)
			all := b.entries
			b.entries = all[:1]
			b.tail(stored, 10)
			b.entries = all
			for seq := range uint64(6) {
				b.store(stored, seq+1)
			}
			if got := seqs(stored); got != c.want {
				t.Errorf("stored: %s", got)
			}
			back := newMirror(c.bounds) // a page that goes further back
			b.tail(back, 1)
			b.tail(back, 10)
			if got := seqs(back); got != c.want {
				t.Errorf("read twice: %s", got)
			}
		})
	}
	if d := defaultMirrorBounds; d.entries != 256 || d.logBytes != 64<<10 || d.bytes != 64<<20 {
		t.Errorf("default bounds are %+v", d)
	}
}

func TestMirrorForgetsLeastRecentlyUsed(t *testing.T) {
	b := &backlog{epoch: 7}
	b.grow(1, 1)
	one := mirrorSize(b.entries[0]) + 1 + mirrorLogOverhead
	m := newMirror(mirrorBounds{entries: 256, logBytes: 64 << 10, bytes: 3 * one})
	read := func(log string) {
		q := storage.LogQuery{}
		m.read(log, q, b.read(q))
	}
	for _, log := range []string{"a", "b", "c"} {
		read(log)
	}
	if m.bytes != 3*one {
		t.Fatalf("%d bytes of %d", m.bytes, 3*one)
	}
	read("a")
	m.window("b")
	read("d")
	if got := held(m); got != "[a b d]" {
		t.Fatalf("held: %s", got)
	}
	// An entry of one's own counts too, but is no reason to keep a log.
	b.grow(1, 1)
	m.stored("a", 7, b.entries[1])
	if got := held(m); got != "[b d]" {
		t.Fatalf("held after an entry more: %s", got)
	}
	m.drop("b")
	m.drop("d")
	m.drop("d")
	if m.bytes != 0 || len(m.logs) != 0 || m.used.Len() != 0 {
		t.Fatalf("after all were dropped: %d bytes, %d logs, %d in order", m.bytes, len(m.logs), m.used.Len())
	}
	// Empty logs are bounded as well, and one that is too large by itself stays out.
	b.entries = nil
	for i := range 100 {
		read(strconv.Itoa(i))
	}
	if n := len(m.logs); int64(n) > 3*one/mirrorLogOverhead || n == 0 {
		t.Fatalf("%d empty logs", n)
	}
	read(strings.Repeat("x", int(3*one)))
	if m.bytes != 0 || len(m.logs) != 0 {
		t.Fatalf("%d bytes, %d logs", m.bytes, len(m.logs))
	}
}

func held(m *mirror) string {
	var logs []string
	for log := range m.logs {
		logs = append(logs, log)
	}
	slices.Sort(logs)
	return fmt.Sprint(logs)
}

// A steady stream of a node's own entries costs next to no allocations, and the
// array behind a full window does not grow.
func TestMirrorAllocations(t *testing.T) {
	m, b := newMirror(defaultMirrorBounds), &backlog{epoch: 7}
	b.grow(20_000, 1)
	all := b.entries
	b.entries = all[:1000]
	b.tail(m, 1000)
	seq := uint64(1000)
	allocs := testing.AllocsPerRun(1, func() {
		for range 9000 {
			seq++
			m.stored("a", 7, all[seq-1])
		}
	})
	l := m.logs["a"]
	if allocs > 100 {
		t.Errorf("%v allocations for 9000 entries", allocs)
	}
	if len(l.Entries) != 256 || cap(l.Entries) > 1024 || l.End.Seq != 19_000 {
		t.Errorf("%d entries up to %d in an array for %d", len(l.Entries), l.End.Seq, cap(l.Entries))
	}
	for cap(l.Entries) == len(l.Entries) {
		seq++
		m.stored("a", 7, all[seq-1])
	}
	dropped := l.Entries[:1]
	seq++
	m.stored("a", 7, all[seq-1])
	if dropped[0].Data != nil {
		t.Error("the data of an entry that was dropped is held on to")
	}
	b.entries = all[:seq]
	q := storage.LogQuery{Limit: 1000}
	page := b.read(q)
	if allocs := testing.AllocsPerRun(100, func() { m.read("a", q, page) }); allocs > 0 {
		t.Errorf("%v allocations for a page that shows nothing new", allocs)
	}
}
