package journalfile

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// full are operations in which each field is set.
func full() []storage.Op {
	link := storage.Link{Producer: 1<<48 - 1, Number: 1<<64 - 1}
	stamp := storage.Stamp{Micros: 1 << 53, Producer: 1<<48 - 2}
	return []storage.Op{
		&storage.Append{
			Log: "log\x00", ID: "日本", Data: bytes.Repeat([]byte{0, 1}, 300), MaxLen: 1000, MaxAge: 24 * time.Hour,
			IfExists: true, Floor: 1 << 62, Epoch: 1<<48 - 3, Link: link, Rebase: true,
		},
		&storage.Put{
			Collection: "c", ID: "id", Body: []byte("{}"), Stamp: stamp, TTL: time.Minute,
			Indexes: map[string]string{"a": "", "b": "c\xff", "d": "e"}, MaxMembers: 5, Within: "a", Rank: -(1 << 53),
		},
		&storage.Del{Collection: "c", ID: "id", Stamp: stamp},
		&storage.Push{
			Queue: "q", ID: "id", Data: []byte("data"), Remaining: 5 * time.Minute, MaxLen: 100, Link: link,
			Rebase: true, Taken: true,
		},
		&storage.Add{
			Collection: "c", Scope: "s", Member: "m", Deltas: map[string]int64{"a": -1, "b": 1 << 62},
			Low: map[string]int64{"c": -(1 << 63)}, High: map[string]int64{"d": 1<<63 - 1}, TrimFrom: "e", TrimTo: "f",
			RankBy: "a", MaxMembers: 7, IfExists: true, Link: link, Rebase: true,
		},
	}
}

// every answers records with each operation, complete and with each field for itself,
// and of each other kind, numbered from seq on.
func every(seq uint64) (records []Record) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 123456000, time.UTC)
	add := func(r Record) {
		r.Seq, r.At = seq, at
		records = append(records, r)
		seq++
	}
	for _, op := range full() {
		add(Record{Kind: Entry, Op: op})
		v := reflect.ValueOf(op).Elem()
		for i := range v.NumField() {
			alone := reflect.New(v.Type())
			alone.Elem().Field(i).Set(v.Field(i))
			add(Record{Kind: Entry, Op: alone.Interface().(storage.Op)})
		}
	}
	add(Record{Kind: Taken, Seqs: []uint64{1, 1 << 63, 3}})
	add(Record{Kind: Taken})
	add(Record{Kind: Placed, Places: []Place{
		{Seq: 7, Epoch: 1 << 47, Pos: storage.Position{Micros: 1 << 52, Seq: 1 << 60}},
		{Seq: 3, Epoch: 5, Pos: storage.Position{Micros: 1, Seq: 2}, Foreign: true},
		{Seq: 1 << 63},
	}})
	return records
}

// A field that is added to an operation must be added to the codec, too.
func TestOperationsAreComplete(t *testing.T) {
	for _, op := range full() {
		v := reflect.ValueOf(op).Elem()
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("%T has a field %s that is not tested", op, v.Type().Field(i).Name)
			}
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, r := range every(1) {
		value, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(r.Seq, value)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v came back as %+v, %v", r, got, err)
		}
		// It belongs to its number, and each byte of it counts.
		if _, err := decode(r.Seq+1, value); err == nil {
			t.Errorf("%+v was read as another record", r)
		}
		for i := range value {
			value[i] ^= 0x10
			if _, err := decode(r.Seq, value); err == nil {
				t.Errorf("%+v was read with byte %d changed", r, i)
			}
			value[i] ^= 0x10
		}
	}
}

func TestTimes(t *testing.T) {
	for _, at := range []time.Time{{}, time.Unix(0, 0).UTC(), time.Date(1066, 1, 1, 0, 0, 0, 0, time.UTC)} {
		r := entry(1)
		r.At = at
		value, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decode(1, value); err != nil || !got.At.Equal(at) {
			t.Errorf("%s came back as %s, %v", at, got.At, err)
		}
	}
}

// FuzzDecode: nothing makes decoding panic, and what can be decoded stays the same.
func FuzzDecode(f *testing.F) {
	for _, r := range every(1) {
		b, err := encodeBody(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Add([]byte{})
	for encoding := range byte(9) {
		f.Add(append([]byte{encoding, 0}, bytes.Repeat([]byte{0xff}, 12)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := decode(1, b); err == nil {
			t.Log("with a checksum that fits")
		}
		r, err := decodeBody(1, b)
		if err != nil {
			return
		}
		again, err := encodeBody(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeBody(1, again)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%+v came back as %+v, %v", r, got, err)
		}
	})
}

// BenchmarkCommit commits 64 events of 300 bytes at a time and deletes those of 64
// batches before, as a journal in steady state does.
func BenchmarkCommit(b *testing.B) {
	const records, kept = 64, 64
	f, _ := open(b, Options{})
	data := make([]byte, 300)
	seq := uint64(0)
	batch := func() (batch Batch) {
		for range records {
			seq++
			batch.Records = append(batch.Records, Record{
				Seq: seq, Kind: Entry, At: time.Now(),
				Op: &storage.Append{
					Log: fmt.Sprint("session-", seq%100), ID: fmt.Sprint("event-", seq), Data: data, MaxLen: 1000,
					Epoch: 1 << 47, Link: storage.Link{Producer: 1 << 47, Number: seq},
				},
			})
			if seq > records*kept {
				batch.Delete = append(batch.Delete, seq-records*kept)
			}
		}
		return batch
	}
	b.ResetTimer()
	for range b.N {
		commit(b, f, batch())
	}
	b.ReportMetric(float64(records*b.N)/b.Elapsed().Seconds(), "records/s")
}
