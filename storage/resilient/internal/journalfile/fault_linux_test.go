package journalfile

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/zap/zaptest/observer"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/boltfile/boltfiletest"
)

// openFaulty opens a file that need not grow for what these tests write.
func openFaulty(t *testing.T) (*File, *boltfiletest.Disk, *observer.ObservedLogs) {
	t.Helper()
	disk := boltfiletest.NewDisk(t)
	log, logged := observed()
	f, _ := open(t, Options{Logger: log, OpenFile: disk.Open})
	for range 20 {
		large := entry(f.top + 1)
		large.Op = &storage.Append{Log: "large", ID: "a", Data: make([]byte, 8000)}
		commit(t, f, Batch{Records: []Record{large}})
		commit(t, f, Batch{Delete: []uint64{f.top}})
	}
	return f, disk, logged
}

func wantUnavailable(t *testing.T, err error, reason string) {
	t.Helper()
	u, ok := errors.AsType[*storage.UnavailableError](err)
	if !ok || u.Reason != reason || u.RetryAfter != retryAfter {
		t.Fatalf("error is %v, want %q", err, reason)
	}
}

const (
	onFull  = "the disk of the journal is full"
	failing = "writing the journal failed"
)

// A full disk takes nothing and spoils nothing; the same batch is taken when there
// is room.
func TestDiskFull(t *testing.T) {
	f, disk, logged := openFaulty(t)
	first := f.top + 1
	commit(t, f, Batch{Records: entries(first, first+2)})
	b := Batch{Records: entries(first+3, first+9), Delete: []uint64{first}}
	disk.Fill()
	for range 3 {
		wantUnavailable(t, f.Commit(b), onFull)
		wantUnavailable(t, f.Begin(5), onFull)
		wantRecords(t, f, entries(first, first+2))
	}
	if n := errorsIn(logged); n != 1 {
		t.Fatalf("%d errors were logged", n)
	}
	disk.Restore()
	commit(t, f, b)
	wantRecords(t, f, entries(first+1, first+9))
	f, c := reopen(t, f)
	if c.Dirty || c.LastSeq != first+9 || len(c.Producers) != 0 {
		t.Fatalf("contents are %+v", c)
	}
	wantRecords(t, f, entries(first+1, first+9))
}

// A file that may not grow is as one on a full disk.
func TestFileTooLarge(t *testing.T) {
	f, _ := open(t, Options{})
	commit(t, f, Batch{Records: entries(1, 1)})
	large := entry(2)
	large.Op = &storage.Append{Log: "large", ID: "a", Data: make([]byte, 20<<20)}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limited := before
	limited.Cur = 18 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limited); err != nil {
		t.Fatal(err)
	}
	err := f.Commit(Batch{Records: []Record{large}})
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	wantUnavailable(t, err, onFull)
	commit(t, f, Batch{Records: entries(2, 2)})
	wantRecords(t, f, entries(1, 2))
}

// After an error of fsync nothing is taken until the file was mended.
func TestFsyncError(t *testing.T) {
	f, disk, logs := openFaulty(t)
	first := f.top + 1
	commit(t, f, Batch{Records: entries(first, first+2)})
	disk.FailSync()
	disk.Refuse(errors.New("no disk"))
	unsure := Batch{Records: entries(first+3, first+4)}
	for range 2 {
		wantUnavailable(t, f.Commit(unsure), failing)
		wantUnavailable(t, f.Begin(5), failing)
		wantUnavailable(t, f.Commit(Batch{Delete: []uint64{first}}), failing)
		// It can still be read.
		if got, err := f.Load([]uint64{first}); err != nil || len(got) != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	for range 2 {
		wantUnavailable(t, f.Mend(first+2), failing)
		wantUnavailable(t, f.Commit(unsure), failing)
		_, err := f.Load([]uint64{first})
		wantUnavailable(t, err, "the journal is being reopened")
	}
	if n := logs.FilterMessage("journal file cannot be reopened yet").Len(); n != 1 {
		t.Errorf("that it is not mended is told %d times in a minute", n)
	}
	disk.Release()
	disk.Refuse(nil)
	if err := f.Mend(first + 2); err != nil {
		t.Fatal(err)
	}
	wantRecords(t, f, entries(first, first+2))
	commit(t, f, unsure)
	f, c := reopen(t, f)
	if c.Dirty || c.LastSeq != first+4 {
		t.Fatalf("contents are %+v", c)
	}
	wantRecords(t, f, entries(first, first+4))
}

// The disk may have what fsync has not confirmed: then Mend removes it. The last
// number does not go back, but that of a record that was removed may be given again.
func TestMendRemovesWhatIsUnsure(t *testing.T) {
	f, _, _ := openFaulty(t)
	first := f.top + 1
	commit(t, f, Batch{Records: entries(first, first+2)})
	commit(t, f, Batch{Records: entries(first+3, first+9)})
	f.top = first + 2
	wantUnavailable(t, f.failed(errors.New("input/output error")), failing)
	wantUnavailable(t, f.Commit(Batch{Records: entries(first+3, first+3)}), failing)
	if err := f.Mend(first + 1); err == nil {
		t.Fatal("a record that was committed would be removed")
	}
	if err := f.Mend(first + 2); err != nil {
		t.Fatal(err)
	}
	wantRecords(t, f, entries(first, first+2))
	f, c := reopen(t, f)
	if c.LastSeq != first+9 {
		t.Fatalf("the last number is %d, want %d", c.LastSeq, first+9)
	}
	wantRecords(t, f, entries(first, first+2))
}

func TestMendGivesNumbersAgain(t *testing.T) {
	f, _, _ := openFaulty(t)
	first := f.top + 1
	commit(t, f, Batch{Records: entries(first, first+5)})
	f.top = first - 1
	wantUnavailable(t, f.failed(errors.New("input/output error")), failing)
	if err := f.Mend(first - 1); err != nil {
		t.Fatal(err)
	}
	wantRecords(t, f, nil)
	commit(t, f, Batch{Records: entries(first, first+1)})
	wantRecords(t, f, entries(first, first+1))
}

// Mending a disk that takes no writes does not succeed.
func TestMendNeedsADisk(t *testing.T) {
	f, disk, _ := openFaulty(t)
	first := f.top + 1
	commit(t, f, Batch{Records: entries(first, first)})
	disk.FailSync()
	wantUnavailable(t, f.Commit(Batch{Records: entries(first+1, first+1)}), failing)
	disk.Release()
	opened := 0
	f.opener.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		opened++
		return os.OpenFile(name, flag&^os.O_RDWR, mode) // whatever is written fails
	}
	for range 2 {
		if err := f.Mend(first); err == nil || opened == 0 {
			t.Fatalf("%v, opened %d times", err, opened)
		}
		wantUnavailable(t, f.Commit(Batch{Records: entries(first+1, first+1)}), failing)
		wantRecords(t, f, entries(first, first))
	}
	f.opener.OpenFile = nil
	if err := f.Mend(first); err != nil {
		t.Fatal(err)
	}
	commit(t, f, Batch{Records: entries(first+1, first+1)})
	wantRecords(t, f, entries(first, first+1))
}

// A file that is gone or damaged is not mended: what was committed is not in it.
func TestMendFindsLoss(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, f *File){
		"removed": func(t *testing.T, f *File) { remove(t, f.opener.Path()) },
		"another": func(t *testing.T, f *File) {
			other, _ := open(t, Options{})
			closeFile(t, other)
			if err := os.Rename(other.opener.Path(), f.opener.Path()); err != nil {
				t.Fatal(err)
			}
		},
		"damaged": func(t *testing.T, f *File) {
			if err := os.Truncate(f.opener.Path(), 3*4096); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, disk, logs := openFaulty(t)
			commit(t, f, Batch{Records: entries(f.top+1, f.top+500)})
			disk.FailSync()
			wantUnavailable(t, f.Commit(Batch{Records: entries(f.top+1, f.top+1)}), failing)
			disk.Release()
			lose(t, f)
			for range 2 {
				if err := f.Mend(f.top); !errors.Is(err, ErrLost) {
					t.Fatalf("error is %v", err)
				}
				wantUnavailable(t, f.Commit(Batch{Records: entries(f.top+1, f.top+1)}), "the journal cannot be read")
			}
			if n := logs.FilterMessageSnippet("nothing is accepted until the server is restarted").Len(); n != 1 {
				t.Errorf("the way out is told %d times in a minute", n)
			}
			if aside := glob(t, dirOf(f), "*corrupt*"); len(aside) > 0 {
				t.Fatalf("set aside %q", aside)
			}
			f, c := reopen(t, f)
			if (c.SetAside != "") != (name == "damaged") || c.LastSeq != 0 {
				t.Fatalf("contents are %+v", c)
			}
			commit(t, f, Batch{Records: entries(1, 3)})
			wantRecords(t, f, entries(1, 3))
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// A file that is closed after an error is checked when it is opened next.
func TestCloseAfterFsyncError(t *testing.T) {
	f, disk, _ := openFaulty(t)
	first := f.top + 1
	commit(t, f, Batch{Records: entries(first, first)})
	disk.FailSync()
	wantUnavailable(t, f.Commit(Batch{Records: entries(first+1, first+1)}), failing)
	closeFile(t, f)
	disk.Release()
	f, c := open(t, Options{Dir: dirOf(f)})
	if !c.Dirty || c.SetAside != "" {
		t.Fatalf("contents are %+v", c)
	}
	wantRecords(t, f, entries(first, first))
}

// A new journal needs room; one that is there is read without.
func TestOpenOnAFullDisk(t *testing.T) {
	f, _ := open(t, Options{})
	commit(t, f, Batch{Records: entries(1, 3)})
	closeFile(t, f)
	disk := boltfiletest.NewDisk(t)
	f, _ = open(t, Options{Dir: dirOf(f), OpenFile: disk.Open})
	disk.Fill()
	wantRecords(t, f, entries(1, 3))
	disk.Restore()
}
