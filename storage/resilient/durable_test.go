package resilient

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
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
