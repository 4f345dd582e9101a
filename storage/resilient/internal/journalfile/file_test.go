package journalfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/actionflows/lifeline/storage"
)

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	open(t, Options{Dir: dir})
	for name, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, fileName): 0o600} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// Everything is there after reopening, in order, and a batch changes all of it at once.
func TestReopen(t *testing.T) {
	f, c := open(t, Options{})
	if c.LastSeq != 0 || c.Dirty || c.SetAside != "" {
		t.Fatalf("a new file has %+v", c)
	}
	if err := f.Begin(7); err != nil {
		t.Fatal(err)
	}
	commit(t, f, Batch{Records: every(1)})
	commit(t, f, Batch{Records: entries(100, 102)})
	commit(t, f, Batch{
		Records: []Record{entry(1 << 40)}, Delete: []uint64{101, 555},
	})
	want := append(every(1), entry(100), entry(102), entry(1<<40))
	wantRecords(t, f, want)
	f, c = reopen(t, f)
	wantRecords(t, f, want)
	if want := (Contents{
		LastSeq: 1 << 40, Producers: []storage.Producer{7},
	}); !reflect.DeepEqual(c, want) {
		t.Fatalf("contents are %+v, want %+v", c, want)
	}
}

// The last number never goes back, whatever is deleted.
func TestLastSeq(t *testing.T) {
	f, _ := open(t, Options{})
	commit(t, f, Batch{Records: entries(1, 5)})
	commit(t, f, Batch{Delete: []uint64{1, 2, 3, 4, 5}})
	for range 2 {
		var c Contents
		if f, c = reopen(t, f); c.LastSeq != 5 {
			t.Fatalf("the last number is %d", c.LastSeq)
		}
		for _, records := range [][]Record{entries(5, 5), {entry(7), entry(6)}, {entry(6), entry(6)}} {
			if err := f.Commit(Batch{Records: records}); err == nil {
				t.Fatalf("a number was taken twice, or out of order: %+v", records)
			}
		}
	}
	wantRecords(t, f, nil)
	commit(t, f, Batch{Records: entries(6, 7)})
	if _, c := reopen(t, f); c.LastSeq != 7 {
		t.Fatalf("the last number is %d", c.LastSeq)
	}
}

func TestProducersAreBounded(t *testing.T) {
	f, _ := open(t, Options{})
	for p := range storage.Producer(3 * maxProducers) {
		if err := f.Begin(p + 1); err != nil {
			t.Fatal(err)
		}
	}
	_, c := reopen(t, f)
	if n := len(c.Producers); n != maxProducers || c.Producers[n-1] != 3*maxProducers {
		t.Fatalf("producers are %v", c.Producers)
	}
}

// What cannot be encoded is refused, and nothing of its batch is written.
func TestUnknownRecord(t *testing.T) {
	f, _ := open(t, Options{})
	for _, r := range []Record{{Seq: 2}, {Seq: 2, Kind: Entry, Op: &storage.Drop{Scope: "a"}}, {Seq: 2, Kind: Entry}} {
		if err := f.Commit(Batch{Records: []Record{entry(1), r}}); err == nil {
			t.Fatalf("%+v was accepted", r)
		}
	}
	commit(t, f, Batch{Records: entries(1, 1)})
	wantRecords(t, f, entries(1, 1))
}

func TestReplayStops(t *testing.T) {
	f, _ := open(t, Options{})
	commit(t, f, Batch{Records: entries(1, 3)})
	n, enough := 0, errors.New("enough")
	err := f.Replay(func(Record) error {
		if n++; n == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 2 {
		t.Fatalf("%d records, %v", n, err)
	}
}

// Pages end by number and by size, and no record is at two of them or at none.
func TestReplayPages(t *testing.T) {
	f, _ := open(t, Options{})
	want := entries(1, 2*pageRecords+1)
	for seq := uint64(len(want) + 1); len(want) < 2*pageRecords+6; seq++ {
		large := entry(seq)
		large.Op = &storage.Append{Log: "log", ID: "large", Data: make([]byte, pageBytes/2)}
		want = append(want, large)
	}
	commit(t, f, Batch{Records: want})
	wantRecords(t, f, want)
}

func TestLoad(t *testing.T) {
	f, _ := open(t, Options{})
	commit(t, f, Batch{Records: entries(1, 9), Delete: []uint64{4}})
	commit(t, f, Batch{Delete: []uint64{4}})
	got, err := f.Load([]uint64{7, 4, 2, 99})
	if want := []Record{entry(7), entry(2)}; err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v, want %+v", got, err, want)
	}
	closeFile(t, f)
	if _, err := f.Load([]uint64{7}); !errors.Is(err, storage.ErrClosed) {
		t.Fatalf("error is %v", err)
	}
	if err := f.Commit(Batch{Records: entries(10, 10)}); !errors.Is(err, storage.ErrClosed) {
		t.Fatalf("error is %v", err)
	}
	if err := f.Mend(9); !errors.Is(err, storage.ErrClosed) {
		t.Fatalf("error is %v", err)
	}
	// What was read stays when the file is not mapped any more.
	if want := []Record{entry(7), entry(2)}; !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, want %+v", got, want)
	}
}

// Readers load while the committer commits, mends and closes.
func TestLoadBesideCommit(t *testing.T) {
	f, _ := open(t, Options{})
	commit(t, f, Batch{Records: entries(1, 100)})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				got, err := f.Load([]uint64{3, 77})
				if errors.Is(err, storage.ErrClosed) {
					return
				}
				if _, ok := errors.AsType[*storage.UnavailableError](err); ok {
					continue // it is being mended
				}
				if want := []Record{entry(3), entry(77)}; err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%+v, %v", got, err)
					return
				}
			}
		})
	}
	for seq := uint64(101); seq < 300; seq++ {
		commit(t, f, Batch{Records: []Record{entry(seq)}, Delete: []uint64{seq - 1}})
		if seq%50 == 0 {
			if err := f.Mend(seq); err != nil {
				t.Error(err)
			}
		}
	}
	closeFile(t, f)
	readers.Wait()
}

func TestSecondOpen(t *testing.T) {
	f, _ := open(t, Options{})
	_, _, err := Open(Options{Dir: dirOf(f)})
	for _, part := range []string{dirOf(f), "in use", "another hub of this process", fmt.Sprint(os.Getpid()), "a directory of its own"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Fatalf("error is %v, want it to name %q", err, part)
		}
	}
	// The first one is not disturbed, and the directory is free after it.
	commit(t, f, Batch{Records: entries(1, 1)})
	f, c := reopen(t, f)
	if c.Dirty {
		t.Fatal("the refused one has left its marker")
	}
	wantRecords(t, f, entries(1, 1))
}

func TestOpenFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(Options{Dir: filepath.Join(file, "dir")}); err == nil {
		t.Fatal("opened below a file")
	}
}

// A copy of a directory is a journal of its own, also beside the first one.
func TestClone(t *testing.T) {
	f, _ := open(t, Options{})
	commit(t, f, Batch{Records: entries(1, 9)})
	clone := filepath.Join(t.TempDir(), "clone")
	if err := os.CopyFS(clone, os.DirFS(dirOf(f))); err != nil {
		t.Fatal(err)
	}
	copied, c := open(t, Options{Dir: clone})
	if !c.Dirty || c.LastSeq != 9 {
		t.Fatalf("contents are %+v", c)
	}
	commit(t, copied, Batch{Records: entries(10, 10)})
	wantRecords(t, copied, entries(1, 10))
	commit(t, f, Batch{Delete: []uint64{1}})
	wantRecords(t, f, entries(2, 9))
}

func TestNewerFormat(t *testing.T) {
	f, _ := open(t, Options{})
	closeFile(t, f)
	update(t, dirOf(f), func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyFormat, []byte{formatVersion + 1}) })
	_, _, err := Open(Options{Dir: dirOf(f)})
	if err == nil || !strings.Contains(err.Error(), "format") || !strings.Contains(err.Error(), dirOf(f)) {
		t.Fatalf("error is %v", err)
	}
	if len(glob(t, dirOf(f), "*corrupt*")) != 0 {
		t.Fatal("a newer file was set aside")
	}
}

// update changes a file that nobody has open.
func update(t *testing.T, dir string, fn func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// A damaged record is said, counted and left out; all others are there.
func TestDamagedRecord(t *testing.T) {
	f, _ := open(t, Options{})
	commit(t, f, Batch{Records: entries(1, 50)})
	closeFile(t, f)
	update(t, dirOf(f), func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketRecords)
		flipped := append([]byte(nil), b.Get(seqKey(20))...)
		flipped[len(flipped)-sumSize-1] ^= 1 // in its data: only the checksum tells
		return errors.Join(b.Put(seqKey(20), flipped), b.Put(seqKey(30), b.Get(seqKey(31))), b.Put(seqKey(40), nil))
	})
	log, logged := observed()
	f, _ = open(t, Options{Dir: dirOf(f), Logger: log})
	var want []Record
	for _, r := range entries(1, 50) {
		if r.Seq != 20 && r.Seq != 30 && r.Seq != 40 {
			want = append(want, r)
		}
	}
	for range 2 {
		wantRecords(t, f, want)
		if f.Damaged() != 3 {
			t.Fatalf("%d are counted", f.Damaged())
		}
	}
	for _, seq := range []uint64{20, 30, 40} {
		said := logged.FilterLevelExact(zapcore.ErrorLevel).FilterField(zap.Uint64("seq", seq)).Len()
		if said != 2 {
			t.Errorf("record %d was reported %d times", seq, said)
		}
	}
	if got, err := f.Load([]uint64{19, 20}); err != nil || len(got) != 1 || got[0].Seq != 19 {
		t.Fatalf("%+v, %v", got, err)
	}
	commit(t, f, Batch{Delete: []uint64{20, 30, 40}}) // the way to be rid of them
	wantRecords(t, f, want)
	if f.Damaged() != 0 {
		t.Fatalf("%d are counted", f.Damaged())
	}
}

// Damage everywhere does not fill the log.
func TestMuchDamage(t *testing.T) {
	f, _ := open(t, Options{})
	closeFile(t, f)
	update(t, dirOf(f), func(tx *bbolt.Tx) (err error) {
		for seq := range uint64(1000) {
			err = errors.Join(err, tx.Bucket(bucketRecords).Put(seqKey(seq), []byte("garbage")))
		}
		return err
	})
	log, logged := observed()
	f, _ = open(t, Options{Dir: dirOf(f), Logger: log})
	wantRecords(t, f, nil)
	if n := logged.FilterLevelExact(zapcore.ErrorLevel).Len(); f.Damaged() != 1000 || n != maxReported+1 {
		t.Fatalf("%d are counted, %d errors logged", f.Damaged(), n)
	}
}
