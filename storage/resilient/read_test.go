package resilient

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// follower reads a log by cursors alone, in their text form.
type follower struct {
	r      *rig
	log    string
	cursor string
	seen   []string
	all    []string // every cursor it ever got
	at     []int    // how many entries it had seen with each
}

func follow(r *rig, log string) *follower {
	return &follower{r: r, log: log, cursor: storage.MicrosCursor(0).String()}
}

func (f *follower) got(cursor storage.Cursor) {
	f.cursor = cursor.String()
	f.all, f.at = append(f.all, f.cursor), append(f.at, len(f.seen))
}

// poll reads what is there, limit entries a page.
func (f *follower) poll(limit int) {
	f.r.Helper()
	for {
		c, err := storage.ParseCursor(f.cursor)
		if err != nil {
			f.r.Fatal(err)
		}
		page := f.r.read(f.log, storage.LogQuery{After: &c, Limit: limit})
		if page.Gap {
			f.r.Fatalf("a gap behind %s", f.cursor)
		}
		for _, e := range page.Entries {
			f.seen = append(f.seen, e.ID)
			f.got(e.Cursor)
		}
		f.got(page.Cursor)
		if !page.HasMore {
			return
		}
	}
}

// wantOnce wants the ids 0 to n-1, each once, in order.
func (f *follower) wantOnce(n int) {
	f.r.Helper()
	for i, id := range f.seen {
		if id != fmt.Sprint(i) {
			f.r.Fatalf("seen %v", f.seen)
		}
	}
	if len(f.seen) != n {
		f.r.Fatalf("seen %d of %d: %v", len(f.seen), n, f.seen)
	}
}

// A reader that follows cursors through an outage sees each event once and in
// order; so does one that starts again from any cursor it ever got.
func TestFollowThroughOutage(t *testing.T) {
	for _, limit := range []int{1, 2, 100} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				defer r.end()
				f, late := follow(r, "a"), follow(r, "a")
				n := 0
				put := func(k int) {
					for range k {
						r.put("a", fmt.Sprint(n))
						n++
					}
				}
				put(3)
				f.poll(limit)
				put(2) // stored, but not read yet
				r.trip()
				f.poll(limit)
				for range 3 {
					put(2)
					f.poll(limit)
				}
				put(1)
				late.poll(limit) // begins while degraded
				late.wantOnce(n)
				r.f.set(none)
				settle()
				f.poll(limit)
				put(2)
				f.poll(limit)
				f.wantOnce(n)
				late.poll(limit)
				late.wantOnce(n)
				for i, c := range f.all {
					again := &follower{r: r, log: "a", cursor: c, seen: append([]string(nil), f.seen[:f.at[i]]...)}
					again.poll(limit)
					again.wantOnce(n)
				}
			})
		})
	}
}

// What other nodes wrote in between is seen after the outage.
func TestDegradedCursorDoesNotPassOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.put("a", "own1")
		tail := r.read("a", storage.LogQuery{Limit: 10})
		other, err := r.f.inner.Apply(t.Context(), []storage.Op{op("a", "other1")})
		if err != nil {
			t.Fatal(err, other)
		}
		r.put("a", "own2")
		_, _ = r.f.inner.Apply(t.Context(), []storage.Op{op("a", "other2")})
		r.trip()
		r.put("a", "own3")
		page := r.read("a", storage.LogQuery{After: &tail.Cursor})
		if got := pageIDs(page); got != "[own2 own3]" || !page.Degraded || page.Entries[0].Pending || !page.Entries[1].Pending {
			t.Fatalf("page is %+v", page)
		}
		degradedTail := r.read("a", storage.LogQuery{Limit: 2})
		if got := pageIDs(degradedTail); got != "[own2 own3]" {
			t.Fatalf("tail is %s", got)
		}
		if empty := r.read("a", storage.LogQuery{After: &page.Cursor}); len(empty.Entries) != 0 || empty.Gap {
			t.Fatalf("page is %+v", empty)
		}
		r.f.set(none)
		settle()
		for _, c := range []storage.Cursor{page.Cursor, degradedTail.Cursor} {
			got := pageIDs(r.read("a", storage.LogQuery{After: &c}))
			if c.String() == page.Cursor.String() && got != "[other1 other2]" || got != "[other1 other2]" && got != "[other2]" {
				t.Fatalf("after %s: %s", c, got)
			}
		}
		old := page.Entries[0].Cursor
		if got := pageIDs(r.read("a", storage.LogQuery{After: &old})); got != "[other1 other2 own3]" {
			t.Fatalf("after %s: %s", old, got)
		}
	})
}

func pageIDs(p storage.LogPage) string {
	var ids []string
	for _, e := range p.Entries {
		ids = append(ids, e.ID)
	}
	return fmt.Sprint(ids)
}

// A cursor older than what the journal holds gets no part: it may see entries
// again, and loses none.
func TestDegradedWithoutOldEntriesLeavesPartAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *JournaledConfig) { c.Retain = time.Minute })
		defer r.end()
		r.put("a", "0")
		time.Sleep(2 * time.Minute)
		r.put("a", "1")
		r.trip()
		r.put("a", "2")
		start := storage.MicrosCursor(0)
		page := r.read("a", storage.LogQuery{After: &start})
		if pageIDs(page) != "[1 2]" || len(page.Cursor.Parts) != 0 || page.HasMore {
			t.Fatalf("page is %+v", page)
		}
		r.f.set(none)
		settle()
		if got := pageIDs(r.read("a", storage.LogQuery{After: &page.Cursor})); got != "[0 1 2]" {
			t.Fatalf("after the outage: %s", got)
		}
	})
}

func TestPendingEntriesAreShownWhileBackendReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.put("a", "0")
		r.f.set(fails)
		r.put("a", "1")
		r.b.Reset() // writes fail still, and the breaker is closed
		page := r.read("a", storage.LogQuery{})
		if pageIDs(page) != "[0 1]" || page.Degraded || !page.Entries[1].Pending || page.Entries[0].Pending {
			t.Fatalf("page is %+v", page)
		}
		if page := r.read("a", storage.LogQuery{Limit: 1}); pageIDs(page) != "[1]" || !page.HasMore {
			t.Fatalf("page is %+v", page)
		}
		if page := r.read("a", storage.LogQuery{Before: &page.Cursor}); pageIDs(page) == "[0 1]" {
			t.Fatalf("page is %+v", page)
		}
	})
}

func TestReadDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		first := r.put("a", "0")
		r.put("a", "1")
		r.f.setReads(hangs)
		start := time.Now()
		page := r.read("a", storage.LogQuery{After: &first.Cursor})
		if d := time.Since(start); d != 300*time.Millisecond || pageIDs(page) != "[1]" || !page.Degraded {
			t.Fatalf("after %v: %+v", d, page)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := r.ReadLog(ctx, "a", storage.LogQuery{}); err == nil {
			t.Fatal("the caller's deadline was not answered")
		}
		r.f.setReads(fails)
		if page := r.read("unknown", storage.LogQuery{}); !page.Degraded || len(page.Entries) != 0 || page.Cursor.Pos.Micros != time.Now().UnixMicro() {
			t.Fatalf("page is %+v", page)
		}
		before := storage.MicrosCursor(time.Now().UnixMicro())
		if page := r.read("a", storage.LogQuery{Before: &before, Limit: 1}); pageIDs(page) != "[1]" {
			t.Fatalf("page is %+v", page)
		}
	})
}

// A reader who has been given what the journal has let go of gets what is pending
// once, wherever he stands.
func TestPendingBehindWhatTheJournalHasForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *JournaledConfig) { c.Retain = time.Minute })
		defer r.end()
		for i := range 3 {
			r.put("a", fmt.Sprint(i))
		}
		page := r.read("a", storage.LogQuery{})
		other := op("a", "of another node")
		if _, err := r.f.inner.Apply(t.Context(), []storage.Op{other}); err != nil {
			t.Fatal(err)
		}
		r.read("a", storage.LogQuery{}) // the head is known to be further on
		r.mu.Lock()
		r.mirror = newMirror(defaultMirrorBounds)
		r.mu.Unlock()
		time.Sleep(2 * time.Minute)
		r.put("b", "drops all of a")
		r.trip()
		r.f.setReads(fails)
		r.put("a", "3")
		cursor := page.Cursor
		var seen []string
		for range 3 {
			page := r.read("a", storage.LogQuery{After: &cursor})
			for _, e := range page.Entries {
				seen = append(seen, e.ID)
			}
			cursor = page.Cursor
		}
		if fmt.Sprint(seen) != "[3]" {
			t.Fatalf("he was given %v", seen)
		}
	})
}
