package redis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

func TestDropLeavesAGravestoneAndNothingElse(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	k := d.keys.log(testLog)
	apply(t, d, entry("a"))
	queued := item("a")
	queued.Queue = testLog
	do(t, d, queued, &storage.Drop{Scope: testLog})
	left := append([]string{k.stream, k.ids0, k.ids1}, d.keys.queue(testLog).all()...)
	for _, key := range left {
		if s.MustDo("EXISTS", key) != int64(0) {
			t.Errorf("%s is still there", key)
		}
	}
	ttl := time.Duration(s.MustDo("PTTL", k.meta).(int64)) * time.Millisecond
	if ttl < storage.TombstoneAge-time.Minute || ttl > storage.TombstoneAge {
		t.Errorf("the gravestone stands for %v", ttl)
	}
}

func TestDeadEpochsAreBounded(t *testing.T) {
	d := open(t, redistest.Start(t))
	const remembered = 8
	var epochs []storage.Epoch
	for i := range remembered + 1 {
		r := apply(t, d, entry(fmt.Sprint("e", i)))
		epochs = append(epochs, r[0].Cursor.Epoch)
		do(t, d, &storage.Drop{Scope: testLog})
	}
	for i, epoch := range epochs {
		late := entry(fmt.Sprint("late", i))
		late.Epoch = epoch
		results, err := try(t, d, late)
		if gone := errors.Is(results[0].Err, storage.ErrGone); err != nil || gone != (i > 0) {
			t.Errorf("epoch %d: %+v, %v", i, results[0], err)
		}
	}
	page := read(t, d, storage.LogQuery{})
	wantIDs(t, page, "late0") // the ninth last
	if page.State.Head.Seq != remembered+2 {
		t.Errorf("head is %s", page.State.Head)
	}
}

// TestGoneAloneBeginsNothing: the numbers of what is discarded are noted in the
// gravestone, and the log stays dropped.
func TestGoneAloneBeginsNothing(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	k := d.keys.log(testLog)
	p := storage.NewProducer()
	epoch := apply(t, d, linked("a", p, 1))[0].Cursor.Epoch
	do(t, d, &storage.Drop{Scope: testLog})
	late := linked("b", p, 2)
	late.Epoch = epoch
	if results, err := try(t, d, late); err != nil || !errors.Is(results[0].Err, storage.ErrGone) {
		t.Fatalf("%+v, %v", results, err)
	}
	if s.MustDo("HEXISTS", k.meta, "epoch") != int64(0) || s.MustDo("PTTL", k.meta).(int64) < 0 {
		t.Error("the gravestone has become a log")
	}
	results, err := try(t, d, late, linked("c", p, 3))
	if err != nil || !errors.Is(results[0].Err, storage.ErrGone) || results[1].Err != nil || results[1].Exists {
		t.Fatalf("%+v, %v", results, err)
	}
	wantIDs(t, read(t, d, storage.LogQuery{}), "c")
}

func TestDropOfALogWithoutMetadata(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	last := apply(t, d, entry("a"), entry("b"))[1].Cursor.Pos
	s.MustDo("DEL", d.keys.log(testLog).meta)
	if r := do(t, d, &storage.Drop{Scope: testLog})[0]; !r.Exists {
		t.Errorf("answer is %+v", r)
	}
	r := apply(t, d, entry("a"))[0]
	if r.Duplicate || r.Exists || r.Cursor.Pos.Seq != 3 || r.Cursor.Pos.Micros <= last.Micros {
		t.Errorf("%+v follows %s", r, last)
	}
}

func TestForeignIDsAfterADropWriteNothing(t *testing.T) {
	s := debuggable(t)
	d := open(t, s)
	k := d.keys.log(testLog)
	apply(t, d, entry("a"))
	do(t, d, &storage.Drop{Scope: testLog})
	for _, key := range []string{k.stream, k.ids0, k.ids1} {
		s.MustDo("SET", key, "foreign")
		before := s.MustDo("DEBUG", "DIGEST")
		if results, err := try(t, d, entry("b")); err != nil || !errors.Is(results[0].Err, storage.ErrPoison) {
			t.Errorf("%s: %+v, %v", key, results, err)
		}
		if s.MustDo("DEBUG", "DIGEST") != before {
			t.Errorf("%s: something was written", key)
		}
		s.MustDo("DEL", key)
	}
}

func TestStagesKeepTheOrderAroundADrop(t *testing.T) {
	queued := item("a")
	queued.Queue = testLog
	drop := &storage.Drop{Scope: testLog}
	ops := []storage.Op{entry("a"), document("x", 1), drop, entry("b"), queued, drop, drop, entry("c"), in("e:other", "d"), &storage.Drop{Scope: "e:first"}}
	stages, results := plan(ops)
	if len(results) != len(ops) {
		t.Fatalf("%d results", len(results))
	}
	var got [][]int
	for _, stage := range stages {
		var places []int
		for _, b := range stage {
			places = append(places, b.place...)
		}
		got = append(got, places)
	}
	if want := [][]int{{0, 1, 8, 9}, {2}, {3, 4}, {5}, {6}, {7}}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("stages are %v, want %v", got, want)
	}
	d := open(t, redistest.Start(t))
	do(t, d, ops...)
	wantIDs(t, read(t, d, storage.LogQuery{}), "c")
}
