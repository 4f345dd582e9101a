package resilient

import (
	"context"
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

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient/internal/journalfile"
)

func inDir(dir string) func(*JournaledConfig) {
	return func(c *JournaledConfig) { c.Dir = dir }
}

// crash answers a copy of a journal as it is on the disk, which is what a run that
// is killed now leaves behind.
func crash(t *testing.T, dir string) string {
	t.Helper()
	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return left
}

// next is a rig on the same backend whose journal is in dir.
func (r *rig) next(dir string, meets ...fault) *rig {
	r.Helper()
	return newRig(r.T, inDir(dir), func(c *JournaledConfig) {
		f := c.Driver.(*faulty)
		for _, x := range meets {
			f.set(x)
		}
		_ = f.inner.Close()
		f.inner = open{r.f.inner}
	})
}

// open is a driver that its other owner closes.
type open struct{ storage.Driver }

func (open) Close() error { return nil }

// What was acknowledged is stored by the next run, once, ahead of what that accepts.
func TestPendingOutlivesAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, inDir(dir))
		defer r.end()
		r.put("a", "0")
		r.f.set(loses)
		r.put("a", "1") // it is there, and nobody knows
		r.trip()
		if res := r.put("a", "2"); !res.Pending || res.Volatile {
			t.Fatalf("answer is %+v", res)
		}
		r.apply(bookmark("d", "u"), count("m", 7), push("i"))
		left := crash(t, dir)

		second := r.next(left, fails)
		defer second.end()
		if page := second.read("a", storage.LogQuery{}); !slices.Equal(idsOfEntries(page), []string{"0", "1", "2"}) {
			t.Fatalf("page before anything is stored is %v", idsOfEntries(page))
		}
		if n := second.Status().Pending; n < 4 {
			t.Fatalf("%d pending", n)
		}
		second.b.Trip(errors.New("test"))
		second.put("a", "3")
		second.f.set(none)
		settle()
		second.want("a", "0", "1", "2", "3")
		if n := second.counted(second.f.inner, "m"); n != 7 {
			t.Fatalf("%d counted", n)
		}
		if got := second.takes(second.f.inner); !slices.Equal(got, []string{"i"}) {
			t.Fatalf("items are %v", got)
		}
		if d, err := second.f.inner.Get(t.Context(), "c", "d"); err != nil || string(d.Body) != "of u" {
			t.Fatalf("document is %v, %v", d, err)
		}
		if res := second.put("a", "1"); !res.Duplicate {
			t.Fatalf("an id of the run before was answered %+v", res)
		}
	})
}

func idsOfEntries(page storage.LogPage) (ids []string) {
	for _, e := range page.Entries {
		ids = append(ids, e.ID)
	}
	return ids
}

// Two runs on copies of one journal store what was pending in it once.
func TestClonedJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, inDir(dir))
		defer r.end()
		r.trip()
		for i := range 5 {
			r.put("a", fmt.Sprint(i))
			r.apply(count("m", 1))
		}
		one, two := r.next(crash(t, dir)), r.next(crash(t, dir))
		defer one.end()
		defer two.end()
		if one.Producer() == two.Producer() || one.Producer() == r.Producer() {
			t.Fatal("two runs share a producer")
		}
		settle()
		one.put("a", "of one")
		two.put("a", "of two")
		one.want("a", "0", "1", "2", "3", "4", "of one", "of two")
		if n := one.counted(one.f.inner, "m"); n != 5 {
			t.Fatalf("%d counted", n)
		}
	})
}

// What the backend loses while nobody runs is given back at the next start.
func TestLossBetweenRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, inDir(dir))
		for i := range 5 {
			r.put("a", fmt.Sprint(i))
		}
		r.apply(bookmark("d", "u"), count("m", 3))
		if err := r.Journaled.Close(); err != nil {
			t.Fatal(err)
		}
		second := newRig(t, inDir(dir)) // an empty backend
		defer second.end()
		second.put("a", "5") // before anything was compared
		second.apply(count("m", 4))
		settle()
		second.want("a", "0", "1", "2", "3", "4", "5")
		if n := second.counted(second.f.inner, "m"); n != 7 {
			t.Fatalf("%d counted", n)
		}
		if _, err := second.f.inner.Get(t.Context(), "c", "d"); err != nil {
			t.Fatal(err)
		}
		if s := second.Status(); s.Degraded || s.Pending != 0 {
			t.Fatalf("status is %+v", s)
		}
	})
}

// A run that ends in order leaves nothing to be stored again.
func TestNothingIsSentAgainAfterAClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, inDir(dir))
		for i := range 5 {
			r.put("a", fmt.Sprint(i))
		}
		backend := r.f.inner
		r.f.inner = open{backend}
		defer backend.Close()
		if err := r.Journaled.Close(); err != nil {
			t.Fatal(err)
		}
		second := r.next(dir)
		defer second.end()
		settle()
		if n := second.f.count(); n != 0 {
			t.Fatalf("%d batches", n)
		}
		// Their places are known: a reader is told which he has seen.
		second.trip()
		second.f.setReads(fails)
		page := second.read("a", storage.LogQuery{Limit: 2})
		if !slices.Equal(idsOfEntries(page), []string{"3", "4"}) || page.Entries[0].Pending {
			t.Fatalf("page is %+v", page)
		}
		second.put("a", "5")
		page = second.read("a", storage.LogQuery{After: &page.Cursor})
		if !slices.Equal(idsOfEntries(page), []string{"5"}) {
			t.Fatalf("page is %v", idsOfEntries(page))
		}
	})
}

// A log that was dropped stays so, whatever was pending in it.
func TestDropOutlivesAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, inDir(dir))
		defer r.end()
		r.f.set(hangs)
		r.put("a", "pending")
		r.f.set(none)
		if _, err := r.Apply(t.Context(), []storage.Op{&storage.Drop{Scope: "a"}}); err != nil {
			t.Fatal(err)
		}
		second := r.next(crash(t, dir))
		defer second.end()
		settle()
		second.want("a")
	})
}

// An item that was taken here is not handed out by the next run.
func TestTakeOutlivesAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, inDir(dir))
		defer r.end()
		r.trip()
		r.apply(push("1"), push("2"))
		if items, err := r.Take(t.Context(), "q", 1); err != nil || len(items) != 1 || items[0].ID != "1" {
			t.Fatalf("taken are %v, %v", items, err)
		}
		second := r.next(crash(t, dir))
		defer second.end()
		settle()
		if got := second.takes(second.f.inner); !slices.Equal(got, []string{"2"}) {
			t.Fatalf("items are %v", got)
		}
	})
}

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
		f, _, err := journalfile.Open(journalfile.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		kinds := map[journalfile.Kind]int{}
		if err := f.Replay(func(r journalfile.Record) error { kinds[r.Kind]++; return nil }); err != nil {
			t.Fatal(err)
		}
		if n := kinds[journalfile.Entry]; n < 100 || n > 200 || kinds[journalfile.Placed] > n+1 {
			t.Fatalf("the file has %v", kinds)
		}
	})
}

// Drain stores what an earlier run has left, and leaves the driver open.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, inDir(dir))
		defer r.end()
		r.trip()
		r.put("a", "1")
		r.put("a", "2")
		left := crash(t, dir)
		cfg := JournaledConfig{Driver: r.f, Dir: left}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if shipped, waiting, err := Drain(ctx, cfg); shipped != 0 || waiting != 2 || err != nil {
			t.Fatalf("while the backend is away: %d, %d, %v", shipped, waiting, err)
		}
		r.f.set(none)
		if shipped, waiting, err := Drain(t.Context(), cfg); shipped != 2 || waiting != 0 || err != nil {
			t.Fatalf("answer is %d, %d, %v", shipped, waiting, err)
		}
		r.want("a", "1", "2")
		if shipped, waiting, err := Drain(t.Context(), cfg); shipped != 0 || waiting != 0 || err != nil {
			t.Fatalf("the second time: %d, %d, %v", shipped, waiting, err)
		}
		cfg.Dir = t.TempDir()
		if _, _, err := Drain(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if names, _ := os.ReadDir(cfg.Dir); len(names) > 0 {
			t.Fatalf("a journal was made: %v", names)
		}
	})
}

// A journal that another run has open is refused.
func TestJournalHasOneUser(t *testing.T) {
	dir := t.TempDir()
	newRig(t, inDir(dir))
	f := newFaulty()
	defer f.Close()
	_, err := NewJournaled(JournaledConfig{Driver: f, Breakers: []*breaker.Breaker{newBreaker(t)}, Dir: dir})
	if err == nil {
		t.Fatal("a second run has opened it")
	}
}
