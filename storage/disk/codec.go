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
//	meta              bucket
//	  format          one byte, formatVersion
//	  health          the time of the last health check
//	logs              bucket
//	  <log>           bucket
//	    <µs>          8 bytes big endian → entry, oldest first; entries below
//	                  logMeta.kept are trimmed and hold no data any more
//	    0xff          → logMeta; behind the newest entry, so that an append
//	                  changes one page
//	documents         bucket
//	  <collection>    bucket
//	    d id          → document
//	    t id          → tombstone, of a deletion
//	    i index value id
//	    r group rank id   in the order of removal; the group is the index
//	                  Within and the value in it, or two empty names
//	    n group       → how many documents it has
//	queues            bucket
//	  <queue>         bucket
//	    m             → queueMeta
//	    i number      → item, oldest first
//	    n id          → itemID, of an item that waits or was taken
//	    x µs id       when an id that has an end is forgotten
//	counters          bucket
//	  <collection>    bucket
//	    l             → the last numbers of its producers
//	    s scope       → scope
//	    m scope member    → member
//	    r scope rank member   highest rank first
//	expiry            bucket, see expiry.go
//
// A key begins with its kind, one letter. All names in it but the last stand
// behind their length as a uvarint; a rank is 8 bytes that order like the number.
//
// Format 1 had meta and logs only, and metadata of logs of the kind 3. Opening
// such a file makes it one of format 2.
const formatVersion = 2

var (
	bucketMeta      = []byte("meta")
	bucketLogs      = []byte("logs")
	bucketDocuments = []byte("documents")
	bucketQueues    = []byte("queues")
	bucketCounters  = []byte("counters")
	bucketExpiry    = []byte("expiry")
	keyFormat       = []byte("format")
	keyHealth       = []byte("health")
	keyHeld         = []byte("logs:") // a kind of logs follows
	keyLogMeta      = []byte{0xff}
)

// The first byte of a value names its encoding.
const (
	kindEntry      = 1 // seq, producer, number, length of id, data
	kindTrimmed    = 2 // the same without data
	kindLogMeta    = 3 // of format 1, without gravestones
	kindDocument   = 4
	kindTombstone  = 5
	kindQueue      = 6
	kindItem       = 7
	kindWaiting    = 8 // an itemID
	kindTaken      = 9 // the same, handed out
	kindChain      = 10
	kindScope      = 11
	kindMember     = 12
	kindGravestone = 13 // logMeta
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
	b := make([]byte, 0, 64+(len(m.state.Last)+len(m.state.Graves))*2*binary.MaxVarintLen64)
	b = append(b, kindGravestone)
	for _, v := range []uint64{
		uint64(m.state.Epoch),
		uint64(m.state.Head.Micros), //nolint:gosec // not negative
		m.state.Head.Seq,
		uint64(m.state.MaxAge), //nolint:gosec // not negative
		uint64(m.kept),         //nolint:gosec // not negative
		uint64(m.written),      //nolint:gosec // not negative
	} {
		b = binary.AppendUvarint(b, v)
	}
	b = appendLinks(b, m.state.Last)
	b = binary.AppendUvarint(b, uint64(len(m.state.Graves)))
	for _, g := range m.state.Graves {
		b = binary.AppendUvarint(b, uint64(g.Epoch))
		b = binary.AppendUvarint(b, uint64(g.End)) //nolint:gosec // not negative
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
	m.state.Last = r.links()
	if kind == kindGravestone {
		m.state.Graves = r.graves()
	} else if kind != kindLogMeta || m.state.Epoch == 0 {
		r.fail()
	}
	if !r.done() {
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
