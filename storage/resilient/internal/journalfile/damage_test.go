package journalfile

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap/zapcore"

	"github.com/actionflows/lifeline/storage"
)

// usedBytes is how many bytes of a file bbolt uses.
func usedBytes(t *testing.T, f *File) (n int64) {
	t.Helper()
	err := f.file.Load().DB.View(func(tx *bbolt.Tx) error { n = tx.Size(); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// tear damages a file of which so many bytes are used, most often near the end.
func tear(rnd *rand.Rand, b []byte, used int64) []byte {
	from := rnd.Int64N(used)
	if rnd.IntN(3) > 0 {
		from = used - 1 - rnd.Int64N(64<<10)
	}
	if rnd.IntN(2) > 0 {
		from &^= 4095
	}
	switch rnd.IntN(4) {
	case 0:
		return b[:from]
	case 1:
		clear(b[from:])
	case 2:
		clear(b[from:min(used, from+int64(1+rnd.IntN(8192)))])
	case 3:
		for i := from; i < min(used, from+int64(1+rnd.IntN(8192))); i++ {
			b[i] = byte(rnd.Uint32())
		}
	}
	return b
}

// However a file was torn: what is read from it was committed, and what is missing
// is said, by an error for each record or by setting the file aside as it is.
func TestTorn(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	f, _ := open(t, Options{})
	var want []Record
	for seq := uint64(1); seq < 2000; seq += 50 {
		records := entries(seq, seq+49)
		if seq%3 == 0 { // one with pages of its own
			records[7].Op = &storage.Append{Log: "large", ID: "a", Data: bytes.Repeat([]byte("x"), 10_000)}
		}
		commit(t, f, Batch{Records: records})
		want = append(want, records...)
	}
	commit(t, f, Batch{Delete: []uint64{3, 4, 5}})
	want = append(want[:2], want[5:]...)
	whole, err := os.ReadFile(f.opener.Path())
	if err != nil {
		t.Fatal(err)
	}
	used := usedBytes(t, f)
	aside, damaged := 0, 0
	for range 50 {
		torn := tear(rnd, bytes.Clone(whole[:used]), used)
		dirty := rnd.IntN(4) > 0
		a, d := checkTorn(t, torn, dirty, want)
		aside, damaged = aside+a, damaged+d
	}
	t.Logf("%d were set aside, %d had damaged records", aside, damaged)
	if aside == 0 {
		t.Fatal("no damage was found")
	}
}

// checkTorn opens a torn file and reports whether it was set aside or had damaged
// records.
func checkTorn(t *testing.T, torn []byte, dirty bool, want []Record) (aside, damaged int) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	write(t, path, torn)
	if dirty {
		write(t, path+".open", nil)
	}
	log, logged := observed()
	f, c := open(t, Options{Dir: dir, Logger: log})
	defer func() { closeFile(t, f) }()
	got, err := readAll(f)
	if errors.Is(err, ErrLost) && !dirty {
		closeFile(t, f)
		if f, c = open(t, Options{Dir: dir, Logger: log}); c.SetAside == "" {
			t.Fatalf("it was not set aside after %v", err)
		}
		got, err = readAll(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	if c.SetAside != "" {
		kept, err := os.ReadFile(c.SetAside)
		if err != nil || !bytes.Equal(kept, torn) || len(got) > 0 || errorsIn(logged) == 0 {
			t.Fatalf("set aside as %s, %v; %d records, logged %v", c.SetAside, err, len(got), logged.All())
		}
		commit(t, f, Batch{Records: entries(1, 2)})
		wantRecords(t, f, entries(1, 2))
		return 1, 0
	}
	if missing := missingIn(t, got, want); missing != f.Damaged() {
		t.Fatalf("%d records are missing, %d are reported", missing, f.Damaged())
	}
	if f.Damaged() > 0 {
		if logged.FilterLevelExact(zapcore.ErrorLevel).Len() == 0 {
			t.Fatal("nothing was said")
		}
		return 0, 1
	}
	return 0, 0
}

func readAll(f *File) (records []Record, err error) {
	err = f.Replay(func(r Record) error { records = append(records, r); return nil })
	return records, err
}

// missingIn counts what is missing; whatever is there must be as it was committed.
func missingIn(t *testing.T, got, want []Record) (missing int) {
	t.Helper()
	for _, w := range want {
		if len(got) == 0 || got[0].Seq != w.Seq {
			missing++
			continue
		}
		if !reflect.DeepEqual(got[0], w) {
			t.Fatalf("record %d is %+v, want %+v", w.Seq, got[0], w)
		}
		got = got[1:]
	}
	if len(got) > 0 {
		t.Fatalf("record %d was never committed", got[0].Seq)
	}
	return missing
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
