package resilient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient/internal/journalfile"
)

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
				for range 20 {
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

// meanwhile is a driver in which something happens before counters are read.
type meanwhile struct {
	*faulty
	before atomic.Pointer[func()]
}

func (d *meanwhile) Counters(ctx context.Context, collection, scope string, q storage.CounterQuery) ([]storage.Counter, error) {
	if before := d.before.Swap(nil); before != nil {
		(*before)()
	}
	return d.faulty.Counters(context.WithoutCancel(ctx), collection, scope, q)
}

// What is stored while counters are read is not counted twice.
func TestCountersThatAreStoredMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d *meanwhile
		r := newRig(t, func(c *JournaledConfig) {
			d = &meanwhile{faulty: c.Driver.(*faulty)}
			c.Driver, c.BatchOps = d, 1
		})
		defer r.end()
		r.f.set(hangs)
		front := r.putLater("a", "in front")
		r.apply(count("m", 7)) // is not sent, for it is behind
		before := func() {
			r.f.set(none)
			for r.Status().Pending > 0 {
				time.Sleep(time.Millisecond)
			}
		}
		d.before.Store(&before)
		if n := r.counted(r, "m"); n != 7 {
			t.Fatalf("%d counted", n)
		}
		wantAnswer(t, "what is in front", front)
	})
}

// A reader of an epoch that has ended is told of it as soon as he may be given
// something for a second time: also while the backend is away.
func TestDegradedReadOfAnEndedEpoch(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		readAnEndedEpoch(t, func(c storage.Cursor) storage.Cursor { return c })
	})
	t.Run("with a part of another process", func(t *testing.T) {
		readAnEndedEpoch(t, func(c storage.Cursor) storage.Cursor {
			return c.With(storage.Link{Producer: storage.NewProducer(), Number: 1})
		})
	})
}

func readAnEndedEpoch(t *testing.T, cursor func(storage.Cursor) storage.Cursor) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, inDir(t.TempDir()))
		defer r.end()
		r.put("a", "1")
		from := cursor(r.read("a", storage.LogQuery{}).Cursor)
		seen := map[string]bool{"1": true}
		r.f.wipe()
		r.auditEverything()
		settle()
		r.trip()
		r.f.setReads(fails)
		r.put("a", "2")
		for range 3 {
			page := r.read("a", storage.LogQuery{After: &from})
			for _, id := range idsOfEntries(page) {
				if seen[id] && !page.Gap {
					t.Fatalf("%s is given twice, and no gap is told", id)
				}
				seen[id] = true
			}
			from = page.Cursor
		}
		if !seen["2"] {
			t.Fatalf("seen are %v", seen)
		}
	})
}
