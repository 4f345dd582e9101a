package resilient

import (
	"context"
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
	r.file = f
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

// What was sent and then refused does not wait for ever, and is not shown beside the
// same id again.
func TestRefusedEntryThatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, inDir(t.TempDir()))
		defer r.end()
		f := watching(r)
		r.put("a", "1")
		r.put("b", "1")
		r.f.set(fails)
		r.f.setReads(fails)
		for _, log := range []string{"a", "b"} {
			release := f.hold()
			answer := r.putLater(log, "2") // it is sent
			release(errFull)
			if err := <-answer; !unavailable(err) {
				t.Fatalf("answer is %v", err)
			}
		}
		r.put("a", "2")
		r.put("a", "3")
		page := r.read("a", storage.LogQuery{})
		if !slices.Equal(idsOfEntries(page), []string{"1", "2", "3"}) {
			t.Fatalf("page is %v", idsOfEntries(page))
		}
		from := storage.MicrosCursor(1)
		page = r.read("a", storage.LogQuery{After: &from})
		again := r.read("a", storage.LogQuery{After: &page.Cursor})
		if !slices.Equal(idsOfEntries(page), []string{"1", "2", "3"}) || len(again.Entries) != 0 {
			t.Fatalf("page is %v, then %v", idsOfEntries(page), idsOfEntries(again))
		}
		r.f.setReads(none)
		page = r.read("a", storage.LogQuery{})
		if !slices.Equal(idsOfEntries(page), []string{"1", "2", "3"}) {
			t.Fatalf("page over the backend's is %v", idsOfEntries(page))
		}
		r.f.set(none)
		settle()
		r.want("a", "1", "2", "3")
		if s := r.Status(); s.Degraded {
			t.Fatalf("status is %+v", s)
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

// telling is a driver that loses everything behind its first batch, and tells so
// before it answers.
type telling struct {
	*sharded
	told atomic.Bool
}

func (d *telling) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	results, err := d.sharded.Apply(ctx, ops)
	if d.told.CompareAndSwap(false, true) {
		d.wipe()
		d.lost("p00")
	}
	return results, err
}

// What is stored by the very call that tells of a loss is compared as well.
func TestLossToldByTheFirstBatchOfALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *JournaledConfig) { c.Driver = &telling{sharded: &sharded{faulty: c.Driver.(*faulty)}} })
		defer r.end()
		r.put("a", "1")
		settle()
		r.want("a", "1")
	})
}

// With one breaker for all lanes, the partitions of each are looked at.
func TestOneBreakerBeatsInEveryLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *sharded
		var beats [3]int
		r := newRig(t, func(c *JournaledConfig) {
			s = &sharded{faulty: c.Driver.(*faulty)}
			s.beat = func(lane int) error { beats[lane]++; return nil }
			c.Driver = s
		})
		time.Sleep(11 * time.Second)
		r.end()
		if beats[0] == 0 || beats != [3]int{beats[0], beats[0], beats[0]} {
			t.Fatalf("beats are %v", beats)
		}
	})
}

// Items whose time is over leave room for others while the backend is away.
func TestExpiredItemsLeaveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.trip()
		item := func(id string) *storage.Push {
			return &storage.Push{Queue: "q", ID: id, Data: []byte(id), MaxLen: 1, Remaining: time.Minute}
		}
		r.apply(item("1"))
		if res, _ := r.Apply(t.Context(), []storage.Op{item("2")}); !errors.Is(res[0].Err, storage.ErrFull) {
			t.Fatalf("answer is %+v", res[0])
		}
		time.Sleep(time.Minute)
		r.apply(item("2"))
	})
}

// A run whose clock is behind that of the run before writes what readers see.
func TestStampsOutliveARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, inDir(dir))
		defer r.end()
		r.trip()
		ahead := bookmark("d", "before")
		ahead.Stamp = storage.Stamp{Micros: time.Now().Add(time.Hour).UnixMicro(), Producer: 1}
		r.apply(ahead)
		second := r.next(crash(t, dir))
		defer second.end()
		second.apply(bookmark("d", "now"))
		settle()
		if d, err := second.f.inner.Get(t.Context(), "c", "d"); err != nil || string(d.Body) != "of now" {
			t.Fatalf("document is %v, %v", d, err)
		}
	})
}

// A document that is deleted together with a log stays so when the backend is
// refilled, and one that is written so is given back.
func TestDocumentsBesideADrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, inDir(t.TempDir()))
		defer r.end()
		r.apply(bookmark("1", "u"), bookmark("2", "u"))
		res := r.apply(&storage.Del{Collection: "c", ID: "1"}, &storage.Drop{Scope: "h1"}, bookmark("3", "u"))
		if !res[0].Exists || res[2].Exists {
			t.Fatalf("answers are %+v", res)
		}
		r.f.wipe()
		r.auditEverything()
		settle()
		docs, err := r.f.inner.Scan(t.Context(), "c", "user", storage.ScanQuery{Value: "u"})
		if got := idsOfDocuments(docs); err != nil || !slices.Equal(got, []string{"2 of u", "3 of u"}) {
			t.Fatalf("documents are %v, %v", got, err)
		}
	})
}

// While a log is dropped nothing of it is on its way, whatever lane it is in.
func TestDropsInSeveralLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := shardedRig(t)
		defer r.end()
		r.put("b", "1")
		s.fail("p01", hangs)
		answer := r.putLater("b", "2")
		s.fail("p01", none)
		dropped := make(chan error, 1)
		go func() {
			_, err := r.Apply(t.Context(), []storage.Op{&storage.Drop{Scope: "a"}, &storage.Drop{Scope: "b"}})
			dropped <- err
		}()
		synctest.Wait()
		select {
		case err := <-dropped:
			t.Fatalf("dropped while a batch was on its way: %v", err)
		default:
		}
		wantAnswer(t, "the drop", dropped)
		wantAnswer(t, "the append", answer)
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

// A page does not pass an entry that was stored and let go of while it was made.
func TestEntryLetGoOfDuringARead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, away := range []bool{false, true} {
			r := newRig(t, inDir(t.TempDir()), func(c *JournaledConfig) { c.MaxBytes = 2000 })
			f := &vanishing{journalFile: r.file}
			r.file = f
			r.mu.Lock()
			r.journal.hotBytes = 1
			r.mu.Unlock()
			r.put("a", "1")
			from := r.read("a", storage.LogQuery{}).Cursor
			r.f.set(hangs)
			if away {
				r.f.setReads(fails)
			}
			r.put("a", "2")
			r.put("a", "3")
			before := func() { // between a reader's look at the journal and at the file
				r.f.set(none)
				settle()
				r.put("b", "1") // takes the room of the first
				r.put("b", "2")
				r.put("b", "3")
			}
			f.before.Store(&before)
			var got []string
			for more := true; more; {
				page := r.read("a", storage.LogQuery{After: &from})
				got = append(got, idsOfEntries(page)...)
				from, more = page.Cursor, page.HasMore
				r.f.setReads(none)
			}
			got = append(got, idsOfEntries(r.read("a", storage.LogQuery{After: &from}))...)
			if !slices.Equal(got, []string{"2", "3"}) {
				t.Fatalf("away %v: read are %v", away, got)
			}
			r.end()
		}
	})
}

// vanishing is a journal in which something happens before the first read.
type vanishing struct {
	journalFile
	before atomic.Pointer[func()]
}

func (f *vanishing) Load(seqs []uint64) ([]journalfile.Record, error) {
	if before := f.before.Swap(nil); before != nil {
		(*before)()
	}
	return f.journalFile.Load(seqs)
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

// slowTake is a driver whose queues do not answer.
type slowTake struct{ storage.Driver }

func (slowTake) Take(ctx context.Context, _ string, _ int) ([]storage.Item, error) {
	<-ctx.Done()
	return nil, ctx.Err()
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

// An item whose taking the journal could not note is handed out later, although the
// backend came back meanwhile.
func TestTakeThatFailsLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, inDir(t.TempDir()))
		defer r.end()
		f := watching(r)
		r.trip()
		r.apply(push("1"))
		release := f.hold()
		taken := make(chan error)
		go func() {
			_, err := r.Take(t.Context(), "q", 1)
			taken <- err
		}()
		synctest.Wait()
		r.f.set(none)
		settle()
		release(errFull)
		if err := <-taken; !unavailable(err) {
			t.Fatalf("answer is %v", err)
		}
		settle()
		if got := r.takes(r.f.inner); !slices.Equal(got, []string{"1"}) {
			t.Fatalf("items are %v", got)
		}
	})
}

// A queue that does not answer in time counts as a failure.
func TestHangingTakeCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *JournaledConfig) { c.Driver = slowTake{c.Driver} })
		defer r.end()
		if _, err := r.Take(t.Context(), "q", 1); !unavailable(err) {
			t.Fatalf("answer is %v", err)
		}
		if s := r.b.Stats(); s.Failures == 0 {
			t.Fatalf("stats are %+v", s)
		}
	})
}

// Readers see what several runs have left pending, in pages of any size, and what was
// refused holds up none of them.
func TestPagesOverSeveralRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, inDir(dir))
		defer r.end()
		r.put("a", "1")
		var want []string
		for run := range 3 {
			r.f.set(fails)
			for i := range 3 {
				id := fmt.Sprint(run, " ", i)
				r.put("a", id)
				want = append(want, id)
			}
			r = r.next(crash(t, dir), fails)
			defer r.end()
			dir = r.cfg.Dir
		}
		f := watching(r)
		release := f.hold()
		refused := r.putLater("a", "refused")
		release(errFull)
		if err := <-refused; !unavailable(err) {
			t.Fatalf("answer is %v", err)
		}
		r.put("a", "last")
		want = append(want, "last")
		from, err := r.f.inner.ReadLog(t.Context(), "a", storage.LogQuery{})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []fault{none, fails} {
			r.f.setReads(x)
			for limit := range 5 {
				q := storage.LogQuery{After: &from.Cursor, Limit: limit + 1}
				var got []string
				for pages := 0; pages < 20; pages++ {
					page := r.read("a", q)
					got = append(got, idsOfEntries(page)...)
					q.After = &page.Cursor
					if !page.HasMore {
						break
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%v, pages of %d: %v", x, q.Limit, got)
				}
				if page := r.read("a", q); len(page.Entries) > 0 {
					t.Fatalf("%v: behind all is %v", x, idsOfEntries(page))
				}
				tail := r.read("a", storage.LogQuery{Limit: limit + 1})
				if got := idsOfEntries(tail); !slices.Equal(got, want[len(want)-limit-1:]) {
					t.Fatalf("%v: a tail of %d is %v", x, limit+1, got)
				}
			}
		}
	})
}

// silent is a driver that fails without saying what became of each operation.
type silent struct {
	*faulty
	said atomic.Bool
}

func (d *silent) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	results, err := d.faulty.Apply(ctx, ops)
	if d.said.CompareAndSwap(false, true) {
		return make([]storage.Result, len(ops)), errFault
	}
	return results, err
}

// What a driver did not tell the outcome of may be there as it is, not as another's.
func TestOutcomeThatIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *JournaledConfig) { c.Driver = &silent{faulty: c.Driver.(*faulty)} })
		defer r.end()
		for i, res := range r.apply(op("a", "1"), op("a", "2"), op("a", "3")) {
			if res.Duplicate {
				t.Fatalf("answer %d is %+v", i, res)
			}
		}
	})
}
