package resilient

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient/internal/journalfile"
)

// watchedFile is a journal whose commits can be held up, whose records can be made
// unreadable, and that tells what it was given.
type watchedFile struct {
	journalFile
	damaged atomic.Bool

	mu      sync.Mutex
	held    chan error // nil: commits are not held up
	batches []journalfile.Batch
}

func watching(r *rig) *watchedFile {
	f := &watchedFile{journalFile: r.file}
	r.setFile(f)
	return f
}

// hold holds up the next commit until the function it answers is called, with the
// error that it fails with, if any.
func (f *watchedFile) hold() (release func(error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := make(chan error)
	f.held = held
	return func(err error) { held <- err }
}

func (f *watchedFile) Commit(b journalfile.Batch) error {
	f.mu.Lock()
	held := f.held
	f.held = nil
	f.batches = append(f.batches, b)
	f.mu.Unlock()
	if held != nil {
		if err := <-held; err != nil {
			return err
		}
	}
	return f.journalFile.Commit(b)
}

func (f *watchedFile) Load(seqs []uint64) ([]journalfile.Record, error) {
	if f.damaged.Load() {
		return nil, nil
	}
	return f.journalFile.Load(seqs)
}

func (f *watchedFile) all() []journalfile.Batch {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.batches)
}

// records is what a closed journal holds, by kind.
func records(t *testing.T, dir string) map[journalfile.Kind]int {
	t.Helper()
	f, _, err := journalfile.Open(journalfile.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kinds := map[journalfile.Kind]int{}
	if err := f.Replay(func(r journalfile.Record) error { kinds[r.Kind]++; return nil }); err != nil {
		t.Fatal(err)
	}
	return kinds
}

// putLater appends one entry in another goroutine.
func (r *rig) putLater(log, id string) <-chan error {
	answer := make(chan error, 1)
	go func() { answer <- r.putErr(log, id) }()
	synctest.Wait()
	return answer
}

func wantAnswer(t *testing.T, what string, answer <-chan error) {
	t.Helper()
	select {
	case err := <-answer:
		if err != nil {
			t.Fatalf("%s is answered %v", what, err)
		}
	case <-time.After(time.Minute):
		t.Fatalf("%s is not answered", what)
	}
}

// A full journal does not let go of an entry whose caller waits for the file.
func TestEntryIsKeptUntilItIsInTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, inDir(dir), func(c *JournaledConfig) { c.MaxBytes = 1000 })
		f := watching(r)
		release := f.hold()
		first := r.putLater("a", "1") // the backend has it, the file has not
		r.want("a", "1")
		second := r.putLater("a", "2") // there is no room for both
		release(nil)
		wantAnswer(t, "the first", first)
		wantAnswer(t, "the second", second)
		r.put("a", "3")
		if err := r.Journaled.Close(); err != nil {
			t.Fatal(err)
		}
		if kinds := records(t, dir); kinds[journalfile.Entry] != 1 {
			t.Fatalf("the file has %v", kinds)
		}
	})
}

// A log that is dropped while its entries are being committed leaves nothing behind
// and nobody waiting.
func TestDropWhileEntriesAreCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, inDir(dir))
		f := watching(r)
		release := f.hold()
		var answers []<-chan error
		for i := range 3 { // one is being committed, the others will be
			answers = append(answers, r.putLater("a", fmt.Sprint(i)))
		}
		dropped := make(chan error, 1)
		go func() {
			_, err := r.Apply(t.Context(), []storage.Op{&storage.Drop{Scope: "a"}})
			dropped <- err
		}()
		synctest.Wait()
		release(nil)
		for _, a := range answers {
			wantAnswer(t, "an append", a)
		}
		wantAnswer(t, "the drop", dropped)
		r.want("a")
		if err := r.Journaled.Close(); err != nil {
			t.Fatal(err)
		}
		if kinds := records(t, dir); len(kinds) != 0 {
			t.Fatalf("the file has %v", kinds)
		}
	})
}

var errFull = &storage.UnavailableError{Reason: "the disk of the journal is full"}

// A number that the file does not have holds up neither a collection nor a log nor a
// queue after a restart.
func TestHoleInTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, inDir(dir))
		defer r.end()
		f := watching(r)
		r.put("a", "1")
		r.apply(count("m", 1), push("1"))
		r.f.set(fails)
		release := f.hold()
		refused := make(chan error)
		go func() {
			results, _ := r.Apply(t.Context(), []storage.Op{op("a", "2"), count("m", 10), push("2")})
			refused <- errors.Join(results[0].Err, results[1].Err, results[2].Err)
		}()
		synctest.Wait() // it is sent
		release(errFull)
		if err := <-refused; !unavailable(err) {
			t.Fatalf("answer is %v", err)
		}
		r.apply(op("a", "3"), count("m", 100), push("3"))
		second := r.next(crash(t, dir))
		defer second.end()
		settle()
		second.want("a", "1", "3")
		if n := second.counted(second.f.inner, "m"); n != 101 {
			t.Fatalf("%d counted", n)
		}
		if got := second.takes(second.f.inner); !slices.Equal(got, []string{"1", "3"}) {
			t.Fatalf("items are %v", got)
		}
		if s := second.Status(); s.Degraded || s.Pending != 0 {
			t.Fatalf("status is %+v", s)
		}
		if n := second.f.count(); n > 20 {
			t.Fatalf("%d batches", n)
		}
	})
}

// An entry whose record in the file is damaged is given up, and holds up nothing.
func TestDamagedRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, inDir(t.TempDir()))
		defer r.end()
		f := watching(r)
		r.mu.Lock()
		r.journal.hotBytes = 1
		r.mu.Unlock()
		r.apply(bookmark("stored", "u"))
		r.trip()
		r.put("a", "pending")
		f.damaged.Store(true)
		r.f.set(none)
		settle()
		tried := r.f.count()
		r.auditEverything() // looks for the last document, which it cannot read
		settle()
		if n := r.f.count() - tried; n > 5 {
			t.Fatalf("%d batches", n)
		}
		f.damaged.Store(false)
		r.put("a", "next")
		r.want("a", "next")
		r.mu.Lock()
		busy, bytes := len(r.lanes[0].queue), r.journal.pendingBytes
		r.mu.Unlock()
		if busy != 0 || bytes != 0 {
			t.Fatalf("%d chains are queued, %d bytes pending", busy, bytes)
		}
	})
}

// A number that may have been taken is not given again.
func TestNumberOfADamagedRecordIsNotGivenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, inDir(t.TempDir()))
		defer r.end()
		f := watching(r)
		r.mu.Lock()
		r.journal.hotBytes = 1
		r.mu.Unlock()
		r.f.set(loses)
		r.put("a", "1")
		f.damaged.Store(true)
		r.f.set(none)
		settle()
		if res := r.put("a", "2"); res.Duplicate {
			t.Fatalf("answer is %+v", res)
		}
		r.want("a", "1", "2")
	})
}

// What was kept long enough is let go of a little at a time: nobody waits for the
// file to delete the work of an hour.
func TestJournalLetsGoLittleByLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, inDir(t.TempDir()), func(c *JournaledConfig) { c.Retain = time.Minute })
		defer r.end()
		f := watching(r)
		var ops []storage.Op
		for i := range lazyAtOnce + 4*dropAtOnce {
			ops = append(ops, op("a", fmt.Sprint(i)))
		}
		r.apply(ops...)
		settle()
		time.Sleep(time.Minute)
		r.apply(op("a", "next"))
		r.mu.Lock()
		kept := r.journal.shipped.count
		r.mu.Unlock()
		if n := len(ops) - kept; n < dropAtOnce || n > 3*dropAtOnce {
			t.Fatalf("%d entries were let go of at once", n)
		}
		res, err := r.Apply(t.Context(), []storage.Op{&storage.Drop{Scope: "a"}}) // needs all deletions
		if err != nil || !res[0].Exists {
			t.Fatalf("answer is %+v, %v", res, err)
		}
		r.mu.Lock()
		left := len(r.journal.deletes)
		r.mu.Unlock()
		if left > 10 {
			t.Fatalf("%d deletions are left behind a drop", left)
		}
		for _, b := range f.all() {
			if len(b.Delete) > lazyAtOnce || len(b.Records) > commitEntries+2 {
				t.Fatalf("%d deletions, %d records in a commit", len(b.Delete), len(b.Records))
			}
		}
	})
}

// Where entries were stored is written when enough of it has gathered, also when
// nothing is published.
func TestPlacesAreWrittenWithoutTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, inDir(t.TempDir()))
		defer r.end()
		r.trip()
		var ops []storage.Op
		for i := range 2 * lazyRecords {
			ops = append(ops, op("a", fmt.Sprint(i)))
		}
		r.apply(ops...)
		r.f.set(none)
		settle()
		r.mu.Lock()
		left := len(r.journal.placed)
		r.mu.Unlock()
		if left >= lazyRecords {
			t.Fatalf("%d places are not written", left)
		}
	})
}

// A commit that fails on the way out leaves nobody waiting.
func TestLastCommitFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, inDir(t.TempDir()))
		f := failing(r)
		r.trip()
		r.apply(push("1"))
		var ops []storage.Op
		for i := range commitEntries + 10 {
			ops = append(ops, op("a", fmt.Sprint(i)))
		}
		w := watching(r)
		release := w.hold()
		first := r.putLater("a", "first")
		go func() { _, _ = r.Apply(t.Context(), ops) }()
		synctest.Wait()
		taken := make(chan error, 1)
		go func() {
			_, err := r.Take(t.Context(), "q", 1)
			taken <- err
		}()
		synctest.Wait()
		go r.end()
		settle()
		f.fail(errFull)
		release(errFull)
		select {
		case <-taken:
		case <-time.After(time.Minute):
			t.Fatal("a caller waits for ever")
		}
		<-first
		synctest.Wait()
	})
}

// A broken file is mended however much there is to write meanwhile.
func TestBrokenFileIsMendedUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, inDir(t.TempDir()))
		defer r.end()
		f := failing(r)
		f.broken.Store(true)
		f.fail(errFull)
		_ = r.putErr("a", "1")
		for range 100 {
			_ = r.barrier(nil)
			time.Sleep(100 * time.Millisecond)
		}
		if n := f.mended.Load(); n < 8 {
			t.Fatalf("%d attempts to mend in 10 s", n)
		}
		f.broken.Store(false)
		f.fail(nil)
		time.Sleep(2 * time.Second)
		r.put("a", "1")
	})
}
