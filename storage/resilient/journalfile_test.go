package resilient

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient/internal/journalfile"
)

// failingFile is a journal whose commits can be made to fail.
type failingFile struct {
	journalFile
	err    atomic.Pointer[error]
	broken atomic.Bool
	mended atomic.Int32
}

func (f *failingFile) fail(err error) { f.err.Store(&err) }

func (f *failingFile) Commit(b journalfile.Batch) error {
	if err := f.err.Load(); err != nil && *err != nil {
		return *err
	}
	return f.journalFile.Commit(b)
}

func (f *failingFile) Broken() bool { return f.broken.Load() }

func (f *failingFile) Mend(after uint64) error {
	if f.broken.Load() {
		f.mended.Add(1)
		return errors.New("not yet")
	}
	return nil
}

func failing(r *rig) *failingFile {
	f := &failingFile{journalFile: r.file}
	r.setFile(f)
	return f
}

// setFile puts another file in place of the journal's, while nobody uses it.
func (r *rig) setFile(f journalFile) {
	r.Helper()
	for _, l := range r.lanes {
		if err := l.turn.lock(r.Context()); err != nil {
			r.Fatal(err)
		}
		defer l.turn.unlock()
	}
	r.file = f
}

// Nothing is acknowledged that is not in the journal, be the backend there or not,
// and what was refused leaves no hole.
func TestNoAcknowledgementWithoutTheJournal(t *testing.T) {
	for name, broken := range map[string]bool{"full": false, "broken": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, inDir(t.TempDir()))
				defer r.end()
				f := failing(r)
				r.put("a", "1")
				f.broken.Store(broken)
				f.fail(&storage.UnavailableError{Reason: "the disk of the journal is full", Err: syscall.ENOSPC})
				for range 2 {
					if err := r.putErr("a", "2"); !unavailable(err) {
						t.Fatalf("answer is %v", err)
					}
				}
				r.trip()
				if err := r.putErr("a", "2"); !unavailable(err) {
					t.Fatalf("answer during an outage is %v", err)
				}
				r.f.set(none)
				settle()
				f.fail(nil)
				if broken {
					if s := r.Status(); !s.Degraded || f.mended.Load() == 0 {
						t.Fatalf("status is %+v, %d attempts to mend", s, f.mended.Load())
					}
					f.broken.Store(false)
					time.Sleep(2 * time.Second)
				}
				if res := r.put("a", "2"); res.Pending {
					t.Fatalf("answer is %+v", res)
				}
				r.put("a", "3")
				r.want("a", "1", "2", "3")
			})
		})
	}
}

// A real file that cannot grow refuses, and takes more when it can.
func TestRealFullDisk(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, inDir(dir))
	r.put("a", "1")
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = uint64(info.Size()) //nolint:gosec // a size
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before) }()
	accepted := 1
	for err = nil; err == nil; {
		big := op("a", fmt.Sprint("big ", accepted))
		big.Data = make([]byte, 64<<10)
		var res []storage.Result
		if res, err = r.Apply(t.Context(), []storage.Op{big}); err == nil {
			err = res[0].Err
		}
		if err == nil {
			accepted++
		}
	}
	if !unavailable(err) {
		t.Fatalf("answer is %v", err)
	}
	// What was refused may be there; the same id again is told apart from another.
	if n := len(r.stored("a")); n < accepted || n > accepted+1 {
		t.Fatalf("%d are stored, %d were accepted", n, accepted)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	await(t, "room", func() bool { return r.putErr("a", fmt.Sprint("big ", accepted)) == nil })
	ids := r.stored("a")
	if slices.Sort(ids); len(ids) != accepted+1 || len(slices.Compact(ids)) != accepted+1 {
		t.Fatalf("%d are stored, %d were accepted", len(ids), accepted+1)
	}
}

// More than memory may hold waits in the file, and is read and stored from there.
func TestColdEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, inDir(dir))
		defer r.end()
		r.put("a", "stored")
		r.trip()
		r.f.setReads(fails)
		r.mu.Lock()
		r.journal.hotBytes = 1
		r.mu.Unlock()
		want := []string{"stored"}
		for i := range 10 {
			r.put("a", fmt.Sprint(i))
			want = append(want, fmt.Sprint(i))
		}
		r.mu.Lock()
		cold := 0
		for _, e := range r.journal.chains[logOf("a")].entries {
			if e.op == nil {
				cold++
			}
		}
		r.mu.Unlock()
		if cold < 9 {
			t.Fatalf("only %d are in the file alone", cold)
		}
		page := r.read("a", storage.LogQuery{})
		if !slices.Equal(idsOfEntries(page), want) || string(page.Entries[3].Data) != "data of 2" {
			t.Fatalf("page is %+v", page)
		}
		r.apply(bookmark("d", "u"), count("m", 1))
		if d, err := r.Get(t.Context(), "c", "d"); err != nil || string(d.Body) != "of u" {
			t.Fatalf("document is %v, %v", d, err)
		}
		r.f.set(none)
		r.f.setReads(none)
		settle()
		r.want("a", want...)
		r.f.wipe()
		r.auditEverything()
		settle()
		r.want("a", want...)
		if n := r.counted(r.f.inner, "m"); n != 1 {
			t.Fatalf("%d counted", n)
		}
	})
}

// The file does not grow with what was stored and is no longer kept.
func TestJournalFileIsTrimmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, inDir(dir), func(c *JournaledConfig) { c.MaxBytes = 100 << 10 })
		for i := range 2000 {
			r.put("a", fmt.Sprint(i))
		}
		if err := r.Journaled.Close(); err != nil {
			t.Fatal(err)
		}
		kinds := records(t, dir)
		if n := kinds[journalfile.Entry]; n < 100 || n > 200 || kinds[journalfile.Placed] > n+1 {
			t.Fatalf("the file has %v", kinds)
		}
	})
}
