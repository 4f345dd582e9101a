package journalfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// The first byte of a record names its encoding; another encoding gets another
// number, and no number is given twice. Then follow the time in µs and the fields,
// numbers as varints, names behind their length, and at the end a checksum of the
// Seq and of all before it: bbolt has none of its own.
const (
	encAppend = 1
	encPut    = 2
	encDel    = 3
	encPush   = 4
	encAdd    = 5
	encTaken  = 6
	encPlaced = 7
)

// Flags of operations.
const (
	flagRebase   = 1 << iota // of Append, Push and Add
	flagIfExists             // of Append and Add
	flagTaken                // of Push
)

const (
	sumSize = 4
	// maxRecord is how many bytes a record may have; bbolt takes less than 2 GiB.
	maxRecord = 1 << 30
)

var (
	errDamaged = errors.New("damaged record")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func checksum(seq uint64, body []byte) uint32 {
	sum := crc32.Checksum(seqKey(seq), castagnoli)
	return crc32.Update(sum, castagnoli, body)
}

// encode answers a record's value under its Seq.
func encode(r Record) ([]byte, error) {
	b, err := encodeBody(r)
	if err != nil {
		return nil, fmt.Errorf("encode journal record %d: %w", r.Seq, err)
	}
	if len(b) > maxRecord {
		return nil, fmt.Errorf("encode journal record %d: it is too long: %w", r.Seq, storage.ErrPoison)
	}
	return binary.BigEndian.AppendUint32(b, checksum(r.Seq, b)), nil
}

// decode reads a record. It may point into value.
func decode(seq uint64, value []byte) (Record, error) {
	n := len(value) - sumSize
	if n < 0 || binary.BigEndian.Uint32(value[n:]) != checksum(seq, value[:n]) {
		return Record{}, errDamaged
	}
	return decodeBody(seq, value[:n])
}

func encodeBody(r Record) ([]byte, error) {
	switch r.Kind {
	case Entry:
		return encodeOp(r)
	case Taken:
		w := begin(encTaken, r.At, 10*len(r.Seqs))
		w.uint(uint64(len(r.Seqs)))
		for _, seq := range r.Seqs {
			w.uint(seq)
		}
		return w.b, nil
	case Placed:
		w := begin(encPlaced, r.At, 32*len(r.Places))
		w.places(r.Places)
		return w.b, nil
	}
	return nil, fmt.Errorf("kind %d is not known", r.Kind)
}

func encodeOp(r Record) ([]byte, error) {
	switch op := r.Op.(type) {
	case *storage.Append:
		w := begin(encAppend, r.At, len(op.Log)+len(op.ID)+len(op.Data))
		w.append(op)
		return w.b, nil
	case *storage.Put:
		w := begin(encPut, r.At, len(op.Collection)+len(op.ID)+len(op.Body))
		w.put(op)
		return w.b, nil
	case *storage.Del:
		w := begin(encDel, r.At, len(op.Collection)+len(op.ID))
		w.name(op.Collection)
		w.name(op.ID)
		w.stamp(op.Stamp)
		return w.b, nil
	case *storage.Push:
		w := begin(encPush, r.At, len(op.Queue)+len(op.ID)+len(op.Data))
		w.push(op)
		return w.b, nil
	case *storage.Add:
		w := begin(encAdd, r.At, len(op.Collection)+len(op.Scope)+len(op.Member))
		w.add(op)
		return w.b, nil
	}
	return nil, fmt.Errorf("operation %T is not kept in the journal", r.Op)
}

func (w *writer) append(op *storage.Append) {
	w.name(op.Log)
	w.name(op.ID)
	w.flags(op.Rebase, op.IfExists, false)
	w.int(int64(op.MaxLen))
	w.int(int64(op.MaxAge))
	w.int(op.Floor)
	w.uint(uint64(op.Epoch))
	w.link(op.Link)
	w.rest(op.Data)
}

func (r *reader) append() *storage.Append {
	op := &storage.Append{Log: r.name(), ID: r.name()}
	flags := r.flags(flagRebase | flagIfExists)
	op.Rebase, op.IfExists = flags&flagRebase != 0, flags&flagIfExists != 0
	op.MaxLen = int(r.int())
	op.MaxAge = time.Duration(r.int())
	op.Floor = r.int()
	op.Epoch = storage.Epoch(r.uint())
	op.Link = r.link()
	op.Data = r.rest()
	return op
}

func (w *writer) put(op *storage.Put) {
	w.name(op.Collection)
	w.name(op.ID)
	w.stamp(op.Stamp)
	w.int(int64(op.TTL))
	w.int(int64(op.MaxMembers))
	w.name(op.Within)
	w.int(op.Rank)
	w.uint(uint64(len(op.Indexes)))
	for _, name := range slices.Sorted(maps.Keys(op.Indexes)) {
		w.name(name)
		w.name(op.Indexes[name])
	}
	w.rest(op.Body)
}

func (r *reader) put() *storage.Put {
	op := &storage.Put{Collection: r.name(), ID: r.name(), Stamp: r.stamp()}
	op.TTL = time.Duration(r.int())
	op.MaxMembers = int(r.int())
	op.Within = r.name()
	op.Rank = r.int()
	if n := r.count(); n > 0 {
		op.Indexes = make(map[string]string, n)
		for range n {
			name := r.name()
			op.Indexes[name] = r.name()
		}
	}
	op.Body = r.rest()
	return op
}

func (r *reader) del() *storage.Del {
	return &storage.Del{Collection: r.name(), ID: r.name(), Stamp: r.stamp()}
}

func (w *writer) push(op *storage.Push) {
	w.name(op.Queue)
	w.name(op.ID)
	w.flags(op.Rebase, false, op.Taken)
	w.int(int64(op.Remaining))
	w.int(int64(op.MaxLen))
	w.link(op.Link)
	w.rest(op.Data)
}

func (r *reader) push() *storage.Push {
	op := &storage.Push{Queue: r.name(), ID: r.name()}
	flags := r.flags(flagRebase | flagTaken)
	op.Rebase, op.Taken = flags&flagRebase != 0, flags&flagTaken != 0
	op.Remaining = time.Duration(r.int())
	op.MaxLen = int(r.int())
	op.Link = r.link()
	op.Data = r.rest()
	return op
}

func (w *writer) add(op *storage.Add) {
	w.name(op.Collection)
	w.name(op.Scope)
	w.name(op.Member)
	w.flags(op.Rebase, op.IfExists, false)
	w.fields(op.Deltas)
	w.fields(op.Low)
	w.fields(op.High)
	w.name(op.TrimFrom)
	w.name(op.TrimTo)
	w.name(op.RankBy)
	w.int(int64(op.MaxMembers))
	w.link(op.Link)
}

func (r *reader) add() *storage.Add {
	op := &storage.Add{Collection: r.name(), Scope: r.name(), Member: r.name()}
	flags := r.flags(flagRebase | flagIfExists)
	op.Rebase, op.IfExists = flags&flagRebase != 0, flags&flagIfExists != 0
	op.Deltas, op.Low, op.High = r.fields(), r.fields(), r.fields()
	op.TrimFrom, op.TrimTo, op.RankBy = r.name(), r.name(), r.name()
	op.MaxMembers = int(r.int())
	op.Link = r.link()
	return op
}

// Places are mostly of one epoch and close together: what is written is the
// difference to the one before.
func (w *writer) places(places []Place) {
	w.uint(uint64(len(places)))
	var last Place
	for _, p := range places {
		w.int(int64(p.Seq - last.Seq)) //nolint:gosec // comes back as it was
		w.uint(uint64(p.Epoch ^ last.Epoch))
		w.int(p.Pos.Micros - last.Pos.Micros)
		w.uint(p.Pos.Seq)
		w.flags(p.Foreign, false, false)
		last = p
	}
}

func (r *reader) places() (places []Place) {
	var last Place
	for range r.count() {
		var p Place
		p.Seq = last.Seq + uint64(r.int()) //nolint:gosec // see above
		p.Epoch = last.Epoch ^ storage.Epoch(r.uint())
		p.Pos = storage.Position{Micros: last.Pos.Micros + r.int(), Seq: r.uint()}
		p.Foreign = r.flags(flagRebase) != 0
		places = append(places, p)
		last = p
	}
	return places
}

func decodeBody(seq uint64, b []byte) (Record, error) {
	r := reader{b: b}
	encoding := r.byte()
	record := Record{Seq: seq, Kind: Entry, At: time.UnixMicro(r.int()).UTC()}
	switch encoding {
	case encAppend:
		record.Op = r.append()
	case encPut:
		record.Op = r.put()
	case encDel:
		record.Op = r.del()
	case encPush:
		record.Op = r.push()
	case encAdd:
		record.Op = r.add()
	case encTaken:
		record.Kind = Taken
		for range r.count() {
			record.Seqs = append(record.Seqs, r.uint())
		}
	case encPlaced:
		record.Kind = Placed
		record.Places = r.places()
	default:
		return Record{}, fmt.Errorf("encoding %d is not known: %w", encoding, errDamaged)
	}
	if r.bad || len(r.b) > 0 {
		return Record{}, errDamaged
	}
	return record, nil
}
