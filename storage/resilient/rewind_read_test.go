package resilient

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// Who has all of a log that has lost entries of ours is still to be given these, also
// while the backend is away: they are not in front of him because they once were there.
func TestDegradedReadOfALogThatLostOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		for _, id := range []string{"1", "2", "3"} {
			r.put("a", id)
		}
		r.f.wipe()
		time.Sleep(time.Second)
		if _, err := r.f.Apply(t.Context(), []storage.Op{op("a", "another node's")}); err != nil {
			t.Fatal(err)
		}
		r.f.set(fails)
		r.auditEverything()
		synctest.Wait()
		log, err := r.f.ReadLog(t.Context(), "a", storage.LogQuery{})
		if err != nil {
			t.Fatal(err)
		}
		r.trip()
		r.f.setReads(fails)
		page := r.read("a", storage.LogQuery{After: &log.Cursor})
		if got := idsOfEntries(page); !page.Degraded || !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Fatalf("page has %v: %+v", got, page)
		}
	})
}

// A degraded page passes by none of our entries whose ids another node had stored before:
// should the log lose those, ours take their place, and the reader would never see them.
func TestDegradedReadGivesWhatAnotherNodeStoredFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		from := r.put("a", "0").Cursor
		for _, id := range []string{"1", "2"} {
			if _, err := r.f.Apply(t.Context(), []storage.Op{op("a", id)}); err != nil {
				t.Fatal(err)
			}
			if res := r.put("a", id); !res.Duplicate {
				t.Fatalf("%s: %+v", id, res)
			}
		}
		r.put("a", "3")
		r.trip()
		r.f.setReads(fails)
		seen := map[string]int{}
		note := func(page storage.LogPage) {
			for _, id := range idsOfEntries(page) {
				seen[id]++
			}
			from = page.Cursor
		}
		note(r.read("a", storage.LogQuery{After: &from}))
		r.f.wipe()
		r.f.setReads(none)
		r.f.set(none)
		r.b.Reset()
		r.auditEverything()
		settle()
		r.want("a", "0", "1", "2", "3")
		note(r.read("a", storage.LogQuery{After: &from}))
		for _, id := range []string{"1", "2", "3"} {
			if seen[id] == 0 {
				t.Errorf("%s was not given", id)
			}
		}
	})
}

// duringRead is a driver that has something happen while a log is read.
type duringRead struct {
	storage.Driver
	happens func()
}

func (d *duringRead) ReadLog(ctx context.Context, log string, q storage.LogQuery) (storage.LogPage, error) {
	if happens := d.happens; happens != nil {
		d.happens = nil
		happens()
	}
	return d.Driver.ReadLog(ctx, log, q)
}

// Entries that a log has lost, and has again without that this node knows it, are not
// given to a reader a second time when the backend is away after that.
func TestDegradedReadOfWhatIsThereAgain(t *testing.T) {
	for _, while := range []bool{false, true} {
		t.Run(fmt.Sprintf("while it is read: %v", while), func(t *testing.T) { readWhatIsThereAgain(t, while) })
	}
}

func readWhatIsThereAgain(t *testing.T, while bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &duringRead{}
		r := newRig(t, func(c *JournaledConfig) {
			d.Driver = c.Driver
			c.Driver = d
		})
		defer r.end()
		r.put("a", "1")
		r.put("a", "2")
		again := func() {
			r.f.wipe()
			r.f.set(loses)
			r.auditEverything()
			synctest.Wait()
		}
		if while {
			d.happens = again
		} else {
			again()
		}
		start := storage.MicrosCursor(0)
		page := r.read("a", storage.LogQuery{After: &start})
		if got := idsOfEntries(page); page.Degraded || !slices.Equal(got, []string{"1", "2"}) {
			t.Fatalf("page has %v: %+v", got, page)
		}
		r.trip()
		r.f.setReads(fails)
		if again := r.read("a", storage.LogQuery{After: &page.Cursor}); len(again.Entries) > 0 {
			t.Fatalf("given again: %v", idsOfEntries(again))
		}
	})
}
