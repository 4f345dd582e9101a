package disk

import (
	"reflect"
	"testing"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

var sampleLinks = sequence.Chain{{Producer: 1<<48 - 1, Number: 1<<64 - 1}, {Producer: 2, Number: 3}}

// codecs are the records behind documents, queues and counters, each with
// samples and a function that decodes one and encodes it again.
var codecs = map[string]struct {
	samples [][]byte
	again   func(b []byte) ([]byte, error)
}{
	"document": {[][]byte{
		encodeDocument(document{body: []byte{}}),
		encodeDocument(document{
			stamp: storage.Stamp{Micros: 1 << 53, Producer: 1<<48 - 1}, expires: 5, rank: -1 << 53,
			within: "session", indexes: map[string]string{"session": "\x00\xff"}, body: []byte("body"),
		}),
	}, again(decodeDocument, encodeDocument)},
	"tombstone": {[][]byte{
		encodeTombstone(tombstone{stamp: storage.Stamp{Micros: 7, Producer: 9}, end: 8}),
	}, again(decodeTombstone, encodeTombstone)},
	"queue": {[][]byte{
		encodeQueue(queueMeta{}),
		encodeQueue(queueMeta{next: 1 << 60, waiting: 3, ends: 5, endless: true, used: 6, noted: 7, chain: sampleLinks}),
	}, again(decodeQueue, encodeQueue)},
	"item": {[][]byte{
		encodeItem(item{id: "id", received: 5, expires: 6, data: []byte("data")}),
		encodeItem(item{id: "日本\x00", data: []byte{}}),
	}, again(decodeItem, encodeItem)},
	"item id": {[][]byte{
		encodeItemID(itemID{number: 5, expires: 6}),
		encodeItemID(itemID{number: 1 << 60, taken: true}),
	}, again(decodeItemID, encodeItemID)},
	"chain": {[][]byte{encodeChain(nil), encodeChain(sampleLinks)}, again(decodeChain, encodeChain)},
	"scope": {[][]byte{
		encodeScope(scope{}), encodeScope(scope{members: 1 << 30, rankBy: "count"}),
	}, again(decodeScope, encodeScope)},
	"member": {[][]byte{
		encodeMember(member{}),
		encodeMember(member{ranked: true, rank: -5, fields: map[string]int64{"a": 1<<63 - 1, "b\x00": -1 << 63}}),
	}, again(decodeMember, encodeMember)},
}

func again[T any](decode func([]byte) (T, error), encode func(T) []byte) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		v, err := decode(b)
		if err != nil {
			return nil, err
		}
		return encode(v), nil
	}
}

func TestRecordRoundTrip(t *testing.T) {
	for name, c := range codecs {
		for _, b := range c.samples {
			if got, err := c.again(b); err != nil || !reflect.DeepEqual(got, b) {
				t.Errorf("%s: %x came back as %x, %v", name, b, got, err)
			}
			// A record that lost its end is damaged, unless the end is its data.
			if name == "document" || name == "item" || name == "scope" || name == "member" {
				continue
			}
			for n := range b {
				if _, err := c.again(b[:n]); !isDamaged(err) {
					t.Errorf("%s: %x of %x was read: %v", name, b[:n], b, err)
				}
			}
		}
	}
	// No kind is read as another.
	for name, c := range codecs {
		for other, o := range codecs {
			for _, b := range o.samples {
				if _, err := c.again(b); name != other && !isDamaged(err) {
					t.Errorf("%s was read as %s: %v", other, name, err)
				}
			}
		}
	}
}

// Whatever the bytes are, decoding neither panics nor takes memory that they do
// not justify; what is read is written so that it is read as the same again.
func FuzzRecord(f *testing.F) {
	for _, c := range codecs {
		for _, b := range c.samples {
			f.Add(b)
		}
	}
	f.Add([]byte{})
	f.Add([]byte{kindDocument, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{kindQueue, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{kindMember, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, c := range codecs {
			once, err := c.again(b)
			if err != nil {
				continue
			}
			twice, err := c.again(once)
			if err != nil || len(twice) != len(once) || name != "document" && !reflect.DeepEqual(once, twice) {
				t.Fatalf("%s: %x became %x, and that %x, %v", name, b, once, twice, err)
			}
		}
	})
}

// Keys made of names are in the order of the last name, and no two lists of
// names make the same key.
func FuzzKey(f *testing.F) {
	f.Add("index", "value", "id", "i", "ndexvalue", "id")
	f.Add("", "", "\x00", "", "\x00", "")
	f.Fuzz(func(t *testing.T, a1, a2, a3, b1, b2, b3 string) {
		a, b := indexKey(a1, a2, a3), indexKey(b1, b2, b3)
		same := a1 == b1 && a2 == b2 && a3 == b3
		if (string(a) == string(b)) != same {
			t.Fatalf("%q %q %q is %x, %q %q %q is %x", a1, a2, a3, a, b1, b2, b3, b)
		}
		if c := indexKey(a1, a2, b3); (string(a) < string(c)) != (a3 < b3) {
			t.Fatalf("%x and %x are not in the order of %q and %q", a, c, a3, b3)
		}
	})
}

// Ends and ranks order like their numbers.
func FuzzOrder(f *testing.F) {
	f.Add(int64(-1), int64(1))
	f.Add(int64(-1<<63), int64(1<<63-1))
	f.Fuzz(func(t *testing.T, a, b int64) {
		up := string(appendRank(nil, a)) < string(appendRank(nil, b))
		down := string(appendRankDown(nil, a)) > string(appendRankDown(nil, b))
		if up != (a < b) || down != (a < b) {
			t.Fatalf("%d and %d: %v, %v", a, b, up, down)
		}
		if got := rankDown(appendRankDown(nil, a)); got != a {
			t.Fatalf("%d came back as %d", a, got)
		}
	})
}
