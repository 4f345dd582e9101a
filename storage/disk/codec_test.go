package disk

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

func TestCodecRoundTrip(t *testing.T) {
	entries := []storage.LogEntry{
		{ID: "a", Data: []byte("data"), Pos: storage.Position{Micros: 5, Seq: 1}},
		{ID: "", Data: []byte{}, Pos: storage.Position{Micros: 1<<62 + 1, Seq: 1<<64 - 1}},
		{
			ID: "日本\x00", Data: bytes.Repeat([]byte{0}, 1<<20), Pos: storage.Position{Micros: 1, Seq: 300},
			Link: storage.Link{Producer: 1<<48 - 1, Number: 1<<64 - 1},
		},
	}
	for _, e := range entries {
		got, trimmed, err := decodeEntry(e.Pos.Micros, encodeEntry(e, false))
		if err != nil || trimmed || !reflect.DeepEqual(got, e) {
			t.Errorf("%q: %+v, %v, %v", e.ID, got, trimmed, err)
		}
		e.Data = []byte{}
		got, trimmed, err = decodeEntry(e.Pos.Micros, encodeEntry(e, true))
		if err != nil || !trimmed || !reflect.DeepEqual(got, e) {
			t.Errorf("%q trimmed: %+v, %v, %v", e.ID, got, trimmed, err)
		}
	}
	m := logMeta{
		state: sequence.State{
			Epoch: 7, Head: storage.Position{Micros: 9, Seq: 8}, MaxAge: time.Hour,
			Last:   []storage.Link{{Producer: 1, Number: 2}, {Producer: 3, Number: 4}},
			Graves: []sequence.Grave{{Epoch: 1<<48 - 1, End: 1 << 62}, {Epoch: 2, End: 3}},
		},
		kept: 5, written: 6,
	}
	if got, err := decodeLogMeta(encodeLogMeta(m)); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	e := storage.LogEntry{ID: "id", Data: []byte("data"), Pos: storage.Position{Micros: 5, Seq: 9}, Link: storage.Link{Producer: 3, Number: 4}}
	f.Add(encodeEntry(e, false))
	f.Add(encodeEntry(e, true))
	f.Add(encodeLogMeta(logMeta{state: sequence.State{Epoch: 1, Last: []storage.Link{{Producer: 1, Number: 2}}}}))
	f.Add(encodeLogMeta(logMeta{state: sequence.State{Graves: []sequence.Grave{{Epoch: 1, End: 2}}}}))
	f.Add([]byte{})
	f.Add([]byte{kindEntry, 0x80})
	f.Add([]byte{kindEntry, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{kindLogMeta, 1, 1, 1, 1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, trimmed, err := decodeEntry(5, b); err == nil {
			again, _, err := decodeEntry(5, encodeEntry(e, trimmed))
			if err != nil || !reflect.DeepEqual(again, e) {
				t.Fatalf("%+v came back as %+v, %v", e, again, err)
			}
		}
		if m, err := decodeLogMeta(b); err == nil {
			again, err := decodeLogMeta(encodeLogMeta(m))
			if err != nil || !reflect.DeepEqual(again, m) {
				t.Fatalf("%+v came back as %+v, %v", m, again, err)
			}
		}
	})
}
