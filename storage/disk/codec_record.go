package disk

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// document is a document as it is stored, under its id.
type document struct {
	stamp   storage.Stamp
	expires int64 // µs; 0: never
	rank    int64
	within  string // the index whose value is the document's group; "": none
	indexes map[string]string
	body    []byte
}

// group is the part of a key that documents bounded together have in common.
func (d document) group() []byte {
	return appendName(appendName(nil, d.within), d.indexes[d.within])
}

func encodeDocument(d document) []byte {
	n := 64 + len(d.within) + len(d.body)
	for name, value := range d.indexes {
		n += len(name) + len(value) + 2*binary.MaxVarintLen32
	}
	b := append(make([]byte, 0, n), kindDocument)
	b = appendStamp(b, d.stamp)
	b = binary.AppendUvarint(b, uint64(d.expires)) //nolint:gosec // not negative
	b = binary.AppendVarint(b, d.rank)
	b = appendName(b, d.within)
	b = binary.AppendUvarint(b, uint64(len(d.indexes)))
	for name, value := range d.indexes {
		b = appendName(appendName(b, name), value)
	}
	return append(b, d.body...)
}

// decodeDocument reads a document. Its body points into value.
func decodeDocument(value []byte) (document, error) {
	r := reader{b: value}
	kind := r.byte()
	d := document{stamp: r.stamp(), expires: r.int64(), rank: r.varint(), within: r.name()}
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
	}
	if n > 0 && !r.bad {
		d.indexes = make(map[string]string, n)
	}
	for range n {
		if r.bad {
			break
		}
		name := r.name()
		d.indexes[name] = r.name()
	}
	d.body = r.b
	if _, ok := d.indexes[d.within]; d.within != "" && !ok || r.bad || kind != kindDocument ||
		uint64(len(d.indexes)) != n {
		return document{}, errDamaged
	}
	return d, nil
}

// tombstone is what is remembered of a document that was deleted.
type tombstone struct {
	stamp storage.Stamp
	end   int64 // µs
}

func encodeTombstone(t tombstone) []byte {
	b := appendStamp([]byte{kindTombstone}, t.stamp)
	return binary.AppendUvarint(b, uint64(t.end)) //nolint:gosec // not negative
}

func decodeTombstone(value []byte) (tombstone, error) {
	r := reader{b: value}
	kind := r.byte()
	t := tombstone{stamp: r.stamp(), end: r.int64()}
	if !r.done() || kind != kindTombstone {
		return tombstone{}, errDamaged
	}
	return t, nil
}

// queueMeta is what is stored of a queue besides its items.
type queueMeta struct {
	next    uint64 // the number of the next item
	waiting int
	ends    int64 // µs; when the longest-lived item ends that has an end
	endless bool  // there was an item without an end
	used    int64 // µs, by the clock: the last operation
	noted   int64 // µs; the end that expiry has of it
	chain   sequence.Chain
}

func encodeQueue(m queueMeta) []byte {
	b := append(make([]byte, 0, 64), kindQueue)
	endless := uint64(0)
	if m.endless {
		endless = 1
	}
	for _, v := range []uint64{
		m.next, uint64(m.waiting), uint64(m.ends), endless, uint64(m.used), uint64(m.noted), //nolint:gosec // not negative
	} {
		b = binary.AppendUvarint(b, v)
	}
	return appendLinks(b, m.chain)
}

func decodeQueue(value []byte) (queueMeta, error) {
	r := reader{b: value}
	kind := r.byte()
	m := queueMeta{next: r.uvarint(), waiting: r.int(), ends: r.int64()}
	endless := r.uvarint()
	m.endless = endless == 1
	m.used, m.noted, m.chain = r.int64(), r.int64(), r.links()
	if !r.done() || kind != kindQueue || endless > 1 {
		return queueMeta{}, errDamaged
	}
	return m, nil
}

// item is a waiting item as it is stored, under its number.
type item struct {
	id       string
	received int64 // µs
	expires  int64 // µs; 0: never
	data     []byte
}

func encodeItem(i item) []byte {
	b := append(make([]byte, 0, 32+len(i.id)+len(i.data)), kindItem)
	b = binary.AppendUvarint(b, uint64(i.received)) //nolint:gosec // not negative
	b = binary.AppendUvarint(b, uint64(i.expires))  //nolint:gosec // not negative
	b = appendName(b, i.id)
	return append(b, i.data...)
}

// decodeItem reads an item. Its data points into value.
func decodeItem(value []byte) (item, error) {
	r := reader{b: value}
	kind := r.byte()
	i := item{received: r.int64(), expires: r.int64(), id: r.name()}
	i.data = r.b
	if r.bad || kind != kindItem {
		return item{}, errDamaged
	}
	return i, nil
}

// itemID is what is known of an id in a queue.
type itemID struct {
	number  uint64 // of the item, while it waits
	expires int64  // µs; when the id is forgotten; 0: with the queue
	taken   bool
}

func encodeItemID(i itemID) []byte {
	kind := byte(kindWaiting)
	if i.taken {
		kind = kindTaken
	}
	b := binary.AppendUvarint([]byte{kind}, i.number)
	return binary.AppendUvarint(b, uint64(i.expires)) //nolint:gosec // not negative
}

func decodeItemID(value []byte) (itemID, error) {
	r := reader{b: value}
	kind := r.byte()
	i := itemID{number: r.uvarint(), expires: r.int64(), taken: kind == kindTaken}
	if !r.done() || kind != kindTaken && kind != kindWaiting {
		return itemID{}, errDamaged
	}
	return i, nil
}

func encodeChain(c sequence.Chain) []byte { return appendLinks([]byte{kindChain}, c) }

func decodeChain(value []byte) (sequence.Chain, error) {
	r := reader{b: value}
	kind := r.byte()
	c := r.links()
	if !r.done() || kind != kindChain {
		return nil, errDamaged
	}
	return c, nil
}

// scope is what is stored of a scope besides its members.
type scope struct {
	members int
	rankBy  string // "": its members are not ranked
}

func encodeScope(s scope) []byte {
	b := binary.AppendUvarint([]byte{kindScope}, uint64(s.members)) //nolint:gosec // not negative
	return append(b, s.rankBy...)
}

func decodeScope(value []byte) (scope, error) {
	r := reader{b: value}
	kind := r.byte()
	s := scope{members: r.int()}
	s.rankBy = string(r.b)
	if r.bad || kind != kindScope {
		return scope{}, errDamaged
	}
	return s, nil
}

// member is a member of a scope with its fields.
type member struct {
	ranked bool
	rank   int64
	fields map[string]int64
}

func encodeMember(m member) []byte {
	b := append(make([]byte, 0, 16+16*len(m.fields)), kindMember)
	ranked := uint64(0)
	if m.ranked {
		ranked = 1
	}
	b = binary.AppendUvarint(b, ranked)
	b = binary.AppendVarint(b, m.rank)
	for _, name := range slices.Sorted(maps.Keys(m.fields)) {
		b = binary.AppendVarint(appendName(b, name), m.fields[name])
	}
	return b
}

func decodeMember(value []byte) (member, error) {
	r := reader{b: value}
	kind := r.byte()
	ranked := r.uvarint()
	m := member{ranked: ranked == 1, rank: r.varint(), fields: make(map[string]int64)}
	for len(r.b) > 0 {
		name := r.name()
		m.fields[name] = r.varint()
	}
	if r.bad || kind != kindMember || ranked > 1 {
		return member{}, errDamaged
	}
	return m, nil
}

func appendStamp(b []byte, s storage.Stamp) []byte {
	b = binary.AppendUvarint(b, uint64(s.Micros)) //nolint:gosec // not negative
	return binary.AppendUvarint(b, uint64(s.Producer))
}

func appendLinks(b []byte, links []storage.Link) []byte {
	b = binary.AppendUvarint(b, uint64(len(links)))
	for _, l := range links {
		b = binary.AppendUvarint(b, uint64(l.Producer))
		b = binary.AppendUvarint(b, l.Number)
	}
	return b
}

func (r *reader) stamp() storage.Stamp {
	return storage.Stamp{Micros: r.int64(), Producer: storage.Producer(r.uvarint())}
}

func (r *reader) links() (links []storage.Link) {
	n := r.uvarint()
	if n > sequence.MaxProducers {
		r.fail()
	}
	for range n {
		if r.bad {
			return nil
		}
		p := storage.Producer(r.uvarint())
		links = append(links, storage.Link{Producer: p, Number: r.uvarint()})
	}
	return links
}

func (r *reader) graves() (graves []sequence.Grave) {
	n := r.uvarint()
	if n > sequence.MaxGraves {
		r.fail()
	}
	for range n {
		if r.bad {
			return nil
		}
		e := storage.Epoch(r.uvarint())
		graves = append(graves, sequence.Grave{Epoch: e, End: r.int64()})
	}
	return graves
}

func (r *reader) name() string { return string(r.bytes(r.uvarint())) }

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int {
	v := r.uvarint()
	if v > 1<<31-1 {
		r.fail()
		return 0
	}
	return int(v)
}

// done reports whether everything was read, and nothing was missing.
func (r *reader) done() bool { return !r.bad && len(r.b) == 0 }
