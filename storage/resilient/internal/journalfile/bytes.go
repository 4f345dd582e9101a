package journalfile

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// seqKey is the key of a record.
func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func keySeq(key []byte) (seq uint64, ok bool) {
	if len(key) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key), true
}

// writer puts values behind each other.
type writer struct{ b []byte }

// begin begins a record whose names and data have about so many bytes.
func begin(encoding byte, at time.Time, size int) *writer {
	w := &writer{b: make([]byte, 0, 96+size+sumSize)}
	w.b = append(w.b, encoding)
	w.int(at.UnixMicro())
	return w
}

func (w *writer) uint(v uint64)    { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int(v int64)      { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) rest(data []byte) { w.b = append(w.b, data...) }

func (w *writer) name(s string) {
	w.uint(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) link(l storage.Link) {
	w.uint(uint64(l.Producer))
	w.uint(l.Number)
}

func (w *writer) stamp(s storage.Stamp) {
	w.int(s.Micros)
	w.uint(uint64(s.Producer))
}

func (w *writer) flags(rebase, ifExists, taken bool) {
	var flags byte
	if rebase {
		flags |= flagRebase
	}
	if ifExists {
		flags |= flagIfExists
	}
	if taken {
		flags |= flagTaken
	}
	w.b = append(w.b, flags)
}

func (w *writer) fields(fields map[string]int64) {
	w.uint(uint64(len(fields)))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		w.name(name)
		w.int(fields[name])
	}
}

// reader takes values off b; once one is not there, it is bad and answers zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.b, r.bad = nil, true }

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads how many values follow, of at least one byte each.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) name() string {
	n := r.count()
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// rest answers what is left, not copied; nil when nothing is.
func (r *reader) rest() []byte {
	b := r.b
	r.b = nil
	if len(b) == 0 {
		return nil
	}
	return b
}

func (r *reader) link() storage.Link {
	return storage.Link{Producer: storage.Producer(r.uint()), Number: r.uint()}
}

func (r *reader) stamp() storage.Stamp {
	return storage.Stamp{Micros: r.int(), Producer: storage.Producer(r.uint())}
}

// flags reads what [writer.flags] wrote; others than those allowed are damage.
func (r *reader) flags(allowed byte) byte {
	flags := r.byte()
	if flags&^allowed != 0 {
		r.fail()
	}
	return flags
}

func (r *reader) fields() map[string]int64 {
	n := r.count()
	if n == 0 {
		return nil
	}
	fields := make(map[string]int64, n)
	for range n {
		name := r.name()
		fields[name] = r.int()
	}
	return fields
}
