package resilient

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func (r *rig) dropBy(d storage.Driver, log string) storage.Result {
	r.Helper()
	res, err := d.Apply(context.Background(), []storage.Op{&storage.Drop{Scope: log}})
	if err != nil || res[0].Err != nil {
		r.Fatalf("drop %s: %v %v", log, res, err)
	}
	return res[0]
}

// What was dropped here does not come back, whatever the backend loses.
func TestDroppedLogIsNotRefilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.put("a", "1")
		r.put("b", "1")
		if res := r.dropBy(r, "a"); !res.Exists {
			t.Fatalf("answer is %+v", res)
		}
		r.want("a")
		r.f.wipe()
		r.put("c", "1") // the loss of b is noticed
		r.auditEverything()
		settle()
		r.want("a")
		r.want("b", "1")
		if res := r.put("a", "1"); res.Duplicate || res.Pending {
			t.Fatalf("the id of a dropped entry was answered %+v", res)
		}
		r.want("a", "1")
		if s := r.Status(); s.Degraded {
			t.Fatalf("status is %+v", s)
		}
	})
}

// Another node has dropped the log: what this one still holds is not stored again.
func TestLogDroppedByAnotherNodeIsNotRefilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.put("a", "1")
		r.put("a", "2")
		r.dropBy(r.f.inner, "a")
		r.read("a", storage.LogQuery{}) // looks like a loss
		settle()
		r.want("a")
		if page := r.read("a", storage.LogQuery{}); page.Degraded || len(page.Entries) != 0 {
			t.Fatalf("page is %+v", page)
		}
		r.put("a", "3")
		r.want("a", "3")
	})
}

// An event that is posted after another node has dropped the log is a new log's
// first, though this node did not know of the drop.
func TestAppendAfterAnotherNodesDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		first := r.put("a", "1")
		r.dropBy(r.f.inner, "a")
		res := r.put("a", "2")
		if res.Pending || res.Duplicate || res.Cursor.Epoch == first.Cursor.Epoch {
			t.Fatalf("answer is %+v", res)
		}
		r.want("a", "2")
	})
}

// What was acknowledged as pending before another node dropped the log goes with it:
// the one exception to what is promised.
func TestPendingEntriesOfADroppedLogAreDiscarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.put("a", "1")
		r.trip()
		if res := r.put("a", "2"); !res.Pending {
			t.Fatalf("answer is %+v", res)
		}
		r.dropBy(r.f.inner, "a")
		r.f.set(none)
		settle()
		r.want("a")
		r.mu.Lock()
		discarded, waiting := r.journal.discarded, r.journal.waiting
		r.mu.Unlock()
		if discarded != 1 || waiting != 0 {
			t.Fatalf("%d discarded, %d waiting", discarded, waiting)
		}
	})
}

// A caller who named the epoch is told that it is gone.
func TestAppendForANamedDeadEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		dead := r.put("a", "1").Cursor.Epoch
		r.dropBy(r, "a")
		named := op("a", "2")
		named.Epoch = dead
		res, err := r.Apply(context.Background(), []storage.Op{named})
		if err != nil || !errors.Is(res[0].Err, storage.ErrGone) {
			t.Fatalf("answer is %+v %v", res, err)
		}
		r.want("a")
	})
}

// A drop waits for what is on its way, and entries pending here go with the log.
func TestDropDiscardsWhatIsPendingHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.f.setFunc(func(ops []storage.Op) fault {
			if len(ops) > 0 {
				if _, ok := ops[0].(*storage.Append); ok {
					return fails
				}
			}
			return none
		})
		if res := r.put("a", "1"); !res.Pending {
			t.Fatalf("answer is %+v", res)
		}
		time.Sleep(time.Second)
		r.b.Reset()
		if res := r.dropBy(r, "a"); !res.Exists {
			t.Fatalf("answer is %+v", res)
		}
		r.f.set(none)
		settle()
		r.want("a")
		if s := r.Status(); s.Degraded || s.Pending != 0 {
			t.Fatalf("status is %+v", s)
		}
		r.put("a", "2")
		r.want("a", "2")
	})
}
