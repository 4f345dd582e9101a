package resilient

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
)

// A backend that comes back empty is filled again in order, by the next append.
func TestWipeIsRefilledByGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		for i := range 5 {
			r.put("a", fmt.Sprint(i))
		}
		r.put("idle", "x")
		r.f.wipe()
		if res := r.put("a", "5"); res.Pending {
			t.Fatalf("result is %+v", res)
		}
		settle()
		r.want("a", "0", "1", "2", "3", "4", "5")
		r.want("idle", "x") // the gap has all logs compared
		if s := r.Status(); s.Degraded || s.Pending != 0 {
			t.Fatalf("status is %+v", s)
		}
	})
}

// Sessions without new events are refilled after an outage too.
func TestWipeDuringOutageRefillsIdleLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		const logs = 3 * auditTurn
		for i := range logs {
			r.put(fmt.Sprint("idle", i), "x")
			r.put(fmt.Sprint("idle", i), "y")
		}
		r.f.set(fails)
		r.put("new", "1")
		r.f.wipe()
		r.f.set(none)
		settle()
		for i := range logs {
			r.want(fmt.Sprint("idle", i), "x", "y")
		}
		r.want("new", "1")
	})
}

// An idle node learns of a restart by its subscription.
func TestLostSubscriptionCausesAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		var seen []storage.Message
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = r.Subscribe(r.ctx, storage.NoticeChannel, func(m storage.Message) { seen = append(seen, m) })
		}()
		r.put("a", "1")
		synctest.Wait()
		r.f.wipe()
		other := storage.Notice{Producer: storage.NewProducer(), Log: "a"}
		r.f.subs[0](storage.Message{Data: storage.Notice{Producer: r.Producer(), Log: "a"}.Encode()})
		r.f.subs[0](storage.Message{Data: other.Encode()})
		r.f.subs[0](storage.Message{Lost: true})
		synctest.Wait()
		r.want("a", "1")
		if len(seen) != 2 || string(seen[0].Data) != string(other.Encode()) || !seen[1].Lost {
			t.Fatalf("seen %+v", seen)
		}
		r.end()
		<-done
	})
}

// A read that shows the loss starts the refill, and is answered by the journal.
func TestReadNoticesLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		res := r.put("a", "1")
		r.put("a", "2")
		r.f.wipe()
		page := r.read("a", storage.LogQuery{After: &res.Cursor})
		if !page.Degraded || page.Gap || len(page.Entries) != 1 || page.Entries[0].ID != "2" {
			t.Fatalf("page is %+v", page)
		}
		synctest.Wait()
		r.want("a", "1", "2")
		if page := r.read("a", storage.LogQuery{After: &res.Cursor}); page.Degraded || !page.Gap {
			t.Fatalf("page is %+v", page)
		}
	})
}

// An old snapshot keeps its epoch: the refill must begin another one, or cursors
// would point to other entries than before.
func TestOldSnapshotBeginsNewEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		for i := range 5 {
			r.put("a", fmt.Sprint(i))
		}
		// The snapshot is from before the last three.
		snapshot := memory.New(memory.Options{})
		for i := range uint64(2) {
			a := op("a", fmt.Sprint(i))
			a.Link = storage.Link{Producer: r.Producer(), Number: i + 1}
			if _, err := snapshot.Apply(t.Context(), []storage.Op{a}); err != nil {
				t.Fatal(err)
			}
		}
		page, _ := snapshot.ReadLog(t.Context(), "a", storage.LogQuery{})
		before := page.State.Epoch
		r.mu.Lock()
		var reader storage.Cursor
		for _, e := range r.journal.chains[logOf("a")].entries { // as if it had been so from the start
			e.result.Cursor.Epoch = before
			reader = e.result.Cursor
		}
		r.mu.Unlock()
		r.f.swap(snapshot)
		r.put("a", "5")
		r.want("a", "0", "1", "2", "3", "4", "5")
		page, _ = snapshot.ReadLog(t.Context(), "a", storage.LogQuery{})
		if page.State.Epoch == before {
			t.Fatal("the epoch has not changed")
		}
		// Whoever has all of the old one gets nothing of it again, unless he is told.
		r.trip()
		r.f.setReads(fails)
		page = r.read("a", storage.LogQuery{After: &reader})
		if got := idsOfEntries(page); !page.Gap && slices.Contains(got, "4") {
			t.Fatalf("page has %v, and no gap is told", got)
		}
	})
}

// What the journal no longer holds is given up: a new epoch goes on behind it.
func TestRebaseWhenTheJournalHasForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *JournaledConfig) { c.Retain = time.Minute })
		defer r.end()
		r.put("a", "1")
		r.put("a", "2")
		time.Sleep(2 * time.Minute)
		r.put("a", "3")
		r.f.wipe()
		if res := r.put("a", "4"); res.Pending || res.Link.Number != 4 {
			t.Fatalf("result is %+v", res)
		}
		r.want("a", "3", "4")
		time.Sleep(2 * time.Minute)
		r.put("b", "drops all of a")
		r.f.wipe()
		if page := r.read("a", storage.LogQuery{}); len(page.Entries) != 0 {
			t.Fatalf("page is %+v", page)
		}
		settle()
		if page := r.read("a", storage.LogQuery{}); page.Degraded {
			t.Fatalf("what is lost for good keeps the log degraded: %+v", page)
		}
		r.put("a", "5")
		r.want("a", "5")
	})
}

// Forgotten numbers are never given again.
func TestSweepBeginsAnotherProducer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *JournaledConfig) { c.Retain = time.Minute })
		defer r.end()
		first := r.Producer()
		r.put("a", "1")
		time.Sleep(2 * time.Minute)
		r.put("b", "1")
		r.mu.Lock()
		r.journal.sweepAt = 1
		r.mu.Unlock()
		r.put("c", "1")
		if r.Producer() == first || !r.Own(first) || !r.Own(r.Producer()) {
			t.Fatal("no other producer")
		}
		time.Sleep(2 * time.Minute)
		for i := range 5 {
			r.mu.Lock()
			r.journal.sweepAt = 1
			r.mu.Unlock()
			r.put(fmt.Sprint("d", i), "1")
			time.Sleep(2 * time.Minute)
		}
		r.put("a", "2")
		r.want("a", "1", "2")
	})
}

// Of several entries whose ids another node has stored before, each is known to be its:
// else whoever has that node's would be taken to have what stands before them here.
func TestDuplicatesOfAnotherNodeInARow(t *testing.T) {
	epoch := storage.NewEpoch()
	at := func(micros int64) storage.Result {
		return storage.Result{Duplicate: true, Cursor: storage.Cursor{Epoch: epoch, Pos: storage.Position{Micros: micros}}}
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.mu.Lock()
		defer r.mu.Unlock()
		c := r.journal.chain(logOf("a"))
		confirm := func(n uint64, micros int64) *entry {
			e := &entry{chain: c, unsure: true, link: storage.Link{Producer: 1, Number: n}}
			c.entries = append(c.entries, e)
			r.journal.confirm(e, at(micros), time.Now())
			return e
		}
		own, first, second, last := confirm(1, 100), confirm(2, 7), confirm(3, 8), confirm(4, 101)
		if own.foreign || last.foreign || !first.foreign || !second.foreign {
			t.Fatalf("another's: %v %v %v %v", own.foreign, first.foreign, second.foreign, last.foreign)
		}
	})
}

// The write by which an audit tells whether a collection has lost something may be there
// again although the audit had no answer: that it is says nothing of the others.
func TestAuditWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		for _, id := range []string{"1", "2", "3"} {
			r.apply(&storage.Put{Collection: "c", ID: id, Body: []byte(`{}`)})
		}
		r.f.wipe()
		lost := false
		r.f.setFunc(func([]storage.Op) fault {
			if lost {
				return none
			}
			lost = true
			return loses
		})
		r.auditEverything()
		settle()
		for _, id := range []string{"1", "2", "3"} {
			if _, err := r.f.Get(t.Context(), "c", id); err != nil {
				t.Errorf("document %s: %v", id, err)
			}
		}
	})
}

// A collection in which everything ends by itself is found to have lost it, too.
func TestAuditOfWhatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.apply(&storage.Put{Collection: "c", ID: "1", Body: []byte(`{}`), TTL: time.Hour})
		r.apply(&storage.Put{Collection: "c", ID: "2", Body: []byte(`{}`), TTL: time.Second})
		settle()
		r.f.wipe()
		r.auditEverything()
		settle()
		if _, err := r.f.Get(t.Context(), "c", "1"); err != nil {
			t.Error(err)
		}
	})
}
