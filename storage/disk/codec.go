package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// The file's layout:
//
//	meta            bucket
//	  format        one byte, formatVersion
//	  health        the time of the last health check
//	logs            bucket
//	  <log>         bucket
//	    <µs>        8 bytes big endian → entry, oldest first; entries below
//	                logMeta.kept are trimmed and hold no data any more
//	    0xff        → logMeta; behind the newest entry, so that an append
//	                changes one page
const formatVersion = 1

var (
	bucketMeta = []byte("meta")
	bucketLogs = []byte("logs")
	keyFormat  = []byte("format")
	keyHealth  = []byte("health")
	keyLogMeta = []byte{0xff}
)

// The first byte of a value names its encoding.
const (
	kindEntry   = 1 // seq, producer, number, length of id, data
	kindTrimmed = 2 // the same without data
	kindLogMeta = 3
)

var errDamaged = errors.New("damaged record")

func microsKey(micros int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(max(micros, 0))) //nolint:gosec // not negative
}

// keyMicros reads what microsKey wrote; ok is false for another key.
func keyMicros(key []byte) (micros int64, ok bool) {
	if len(key) != 8 {
		return 0, false
	}
	v := binary.BigEndian.Uint64(key)
	return int64(v), v < 1<<63 //nolint:gosec // checked
}

// encodeEntry encodes everything of an entry but its position's µs, the key.
func encodeEntry(e storage.LogEntry, trimmed bool) []byte {
	kind := byte(kindEntry)
	data := e.Data
	if trimmed {
		kind, data = kindTrimmed, nil
	}
	b := make([]byte, 0, 1+4*binary.MaxVarintLen64+len(e.ID)+len(data))
	b = append(b, kind)
	b = binary.AppendUvarint(b, e.Pos.Seq)
	b = binary.AppendUvarint(b, uint64(e.Link.Producer))
	b = binary.AppendUvarint(b, e.Link.Number)
	b = binary.AppendUvarint(b, uint64(len(e.ID)))
	b = append(b, e.ID...)
	return append(b, data...)
}

// decodeEntry reads an entry. Data points into value.
func decodeEntry(micros int64, value []byte) (e storage.LogEntry, trimmed bool, err error) {
	r := reader{b: value}
	kind := r.byte()
	e.Pos = storage.Position{Micros: micros, Seq: r.uvarint()}
	e.Link = storage.Link{Producer: storage.Producer(r.uvarint()), Number: r.uvarint()}
	e.ID = string(r.bytes(r.uvarint()))
	e.Data = r.b
	if r.bad || kind != kindEntry && kind != kindTrimmed || kind == kindTrimmed && len(e.Data) > 0 {
		return storage.LogEntry{}, false, fmt.Errorf("entry at %d: %w", micros, errDamaged)
	}
	return e, kind == kindTrimmed, nil
}

// logMeta is what is stored of a log besides its entries.
type logMeta struct {
	state   sequence.State
	kept    int64 // µs; entries below are trimmed
	written int64 // µs, by the clock: the last append
}

func encodeLogMeta(m logMeta) []byte {
	b := make([]byte, 0, 64+len(m.state.Last)*2*binary.MaxVarintLen64)
	b = append(b, kindLogMeta)
	for _, v := range []uint64{
		uint64(m.state.Epoch),
		uint64(m.state.Head.Micros), //nolint:gosec // not negative
		m.state.Head.Seq,
		uint64(m.state.MaxAge), //nolint:gosec // not negative
		uint64(m.kept),         //nolint:gosec // not negative
		uint64(m.written),      //nolint:gosec // not negative
		uint64(len(m.state.Last)),
	} {
		b = binary.AppendUvarint(b, v)
	}
	for _, l := range m.state.Last {
		b = binary.AppendUvarint(b, uint64(l.Producer))
		b = binary.AppendUvarint(b, l.Number)
	}
	return b
}

func decodeLogMeta(value []byte) (logMeta, error) {
	r := reader{b: value}
	kind := r.byte()
	var m logMeta
	m.state.Epoch = storage.Epoch(r.uvarint())
	m.state.Head.Micros = r.int64()
	m.state.Head.Seq = r.uvarint()
	m.state.MaxAge = time.Duration(r.int64())
	m.kept = r.int64()
	m.written = r.int64()
	n := r.uvarint()
	if r.bad || kind != kindLogMeta || m.state.Epoch == 0 || n > sequence.MaxProducers {
		return logMeta{}, fmt.Errorf("metadata of a log: %w", errDamaged)
	}
	for range n {
		p := storage.Producer(r.uvarint())
		m.state.Last = append(m.state.Last, storage.Link{Producer: p, Number: r.uvarint()})
	}
	if r.bad || len(r.b) != 0 {
		return logMeta{}, fmt.Errorf("metadata of a log: %w", errDamaged)
	}
	return m, nil
}

// reader takes values off b; once one is not there, it is bad and answers zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() {
	r.b, r.bad = nil, true
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int64() int64 {
	v := r.uvarint()
	if v >= 1<<63 {
		r.fail()
		return 0
	}
	return int64(v) //nolint:gosec // checked
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}
