package redis

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

func TestBatchOverManyLogsIsOneRoundTrip(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	apply(t, d, entry("warm up"))
	s.MustDo("CONFIG", "RESETSTAT")
	var appends []*storage.Append
	for i := range 100 {
		for _, id := range []string{"a", "b"} {
			appends = append(appends, in("e:"+strconv.Itoa(i), id))
		}
	}
	for i, r := range apply(t, d, appends...) {
		if want := uint64(i%2) + 1; r.Cursor.Pos.Seq != want || r.Exists != (i%2 == 1) {
			t.Fatalf("result %d is %+v", i, r)
		}
	}
	stats := s.MustDo("INFO", "commandstats").(string)
	if !strings.Contains(stats, "cmdstat_evalsha:calls=100,") || strings.Contains(stats, "cmdstat_eval:") {
		t.Errorf("want one script call for each log: %s", stats)
	}
}

func TestWrongTypeOfAnyKeyPoisonsOneLog(t *testing.T) {
	for _, fresh := range []bool{true, false} {
		for i, what := range []string{"stream", "metadata", "ids 0", "ids 1"} {
			t.Run(fmt.Sprintf("%s, fresh %v", what, fresh), func(t *testing.T) {
				s := redistest.Start(t)
				d := open(t, s)
				if !fresh {
					apply(t, d, entry("before"))
				}
				k := d.keys.log(testLog)
				key := []string{k.stream, k.meta, k.ids0, k.ids1}[i]
				s.MustDo("SET", key, "foreign")
				// Metadata lost at the same time would begin a new epoch.
				s.MustDo("DEL", d.keys.partitions())
				keys := s.MustDo("KEYS", "*")

				results, err := try(t, d, entry("a"), in("e:other", "b"))
				if err != nil {
					t.Fatalf("one log failed them all: %v", err)
				}
				if !errors.Is(results[0].Err, storage.ErrPoison) || Counts(results[0].Err) {
					t.Errorf("result is %+v, want ErrPoison", results[0])
				}
				if results[1].Err != nil {
					t.Errorf("the other log: %v", results[1].Err)
				}
				if s.MustDo("GET", key) != "foreign" {
					t.Error("the foreign key was changed")
				}
				s.MustDo("DEL", d.keys.log("e:other").stream, d.keys.log("e:other").meta,
					d.keys.log("e:other").ids0, d.keys.log("e:other").index, d.keys.partitions(), d.keys.marks(partitionName("e:other")))
				if now := s.MustDo("KEYS", "*"); len(now.([]any)) != len(keys.([]any)) {
					t.Errorf("keys were %v, are %v", keys, now)
				}
			})
		}
	}
}

func TestReadOfAForeignKeyIsPoison(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	k := d.keys.log(testLog)
	for _, command := range [][]any{
		{"SET", k.stream, "x"},
		{"SET", k.meta, "x"},
		{"XADD", k.stream, "1-1", "other", "field"},
		{"HSET", k.meta, "epoch", "none"},
		{"HSET", k.meta, "epoch", storage.NewEpoch().String(), "us", "x", "seq", "1"},
		{"HSET", k.meta, "epoch", storage.NewEpoch().String(), "us", "1", "seq", "1", "p:x", "1 1"},
	} {
		s.MustDo("FLUSHALL")
		s.MustDo(command...)
		if _, err := d.ReadLog(t.Context(), testLog, storage.LogQuery{}); !errors.Is(err, storage.ErrPoison) {
			t.Errorf("%v: read answered %v", command, err)
		}
	}
}

func TestWhatCannotBeCountedIsPoison(t *testing.T) {
	d := open(t, redistest.Start(t))
	for name, change := range map[string]func(*storage.Append){
		"floor":  func(a *storage.Append) { a.Floor = 1<<63 - 1 },
		"number": func(a *storage.Append) { a.Link = storage.Link{Producer: 1, Number: 1 << 60}; a.Rebase = true },
	} {
		a := entry(name)
		change(a)
		results, err := try(t, d, a)
		if err != nil || !errors.Is(results[0].Err, storage.ErrPoison) {
			t.Errorf("%s: %+v, %v", name, results[0], err)
		}
	}
	if page := read(t, d, storage.LogQuery{}); page.State.Epoch != 0 {
		t.Errorf("something was written: %+v", page.State)
	}
	large := storage.Link{Producer: 1, Number: 1 << 53}
	push, add := item("a"), addition("a")
	push.Link, push.Rebase, add.Link, add.Rebase = large, true, large, true
	results, err := d.Apply(t.Context(), []storage.Op{push, add, item("b"), addition("b")})
	if err != nil || results[2].Err != nil || results[3].Err != nil {
		t.Errorf("%+v, %v", results, err)
	}
	for _, r := range results[:2] {
		if !errors.Is(r.Err, storage.ErrPoison) {
			t.Errorf("a number that cannot be counted was answered %+v", r)
		}
	}
}

func TestScriptsForgottenInBetween(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	apply(t, d, entry("a"))
	s.MustDo("SCRIPT", "FLUSH")
	results := apply(t, d, entry("b"), in("e:other", "c"))
	if results[0].Cursor.Pos.Seq != 2 {
		t.Errorf("result is %+v", results[0])
	}
	s.MustDo("SCRIPT", "FLUSH")
	if err := d.Health(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLifetimes(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	k := d.keys.log(testLog)
	const age = 2 * time.Hour
	ttl := func(key string) time.Duration {
		return time.Duration(s.MustDo("PTTL", key).(int64)) * time.Millisecond
	}
	aged := func(id string, age time.Duration) {
		a := entry(id)
		a.MaxAge = age
		apply(t, d, a)
	}
	within := func(key string, least time.Duration) {
		t.Helper()
		if got := ttl(key); got < least-time.Minute || got > least+time.Minute {
			t.Errorf("%s lives for %v, want %v", key, got, least)
		}
	}
	aged("a", age)
	within(k.stream, age)
	within(k.meta, age+7*24*time.Hour)
	within(k.ids0, storage.DedupAge)
	// Another age takes effect with the next write.
	aged("b", 2*age)
	within(k.stream, 2*age)
	apply(t, d, entry("c"))
	if got := ttl(k.stream); got >= 0 {
		t.Errorf("without an age the stream still ends in %v", got)
	}
	within(k.ids0, storage.DedupAge)
	// A log whose entries have expired goes on in its epoch.
	s.MustDo("DEL", k.stream)
	page := read(t, d, storage.LogQuery{})
	aged("d", age)
	within(k.stream, age)
	if after := read(t, d, storage.LogQuery{}); after.State.Epoch != page.State.Epoch || after.State.Head.Seq != 4 {
		t.Errorf("state was %+v, is %+v", page.State, after.State)
	}
}

func TestLostMetadataIsRebuiltFromTheStream(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	k := d.keys.log(testLog)
	p := storage.NewProducer()
	first := apply(t, d, linked("a", p, 1), linked("b", p, 2), entry("c"))
	for _, lose := range []func(){
		func() { s.MustDo("DEL", k.meta, k.ids0, k.ids1) },
		func() { s.MustDo("HSET", k.meta, "us", "1", "seq", "1") }, // behind the stream
	} {
		before := read(t, d, storage.LogQuery{}).State.Epoch
		lose()
		again := apply(t, d, entry("b"), linked("b", p, 2), entry("new "+before.String()))
		for _, r := range again[:2] {
			if !r.Duplicate || r.Cursor.Pos != first[1].Cursor.Pos {
				t.Errorf("b is stored again: %+v", r)
			}
		}
		if again[2].Cursor.Epoch == before || again[2].Duplicate || !again[2].Exists {
			t.Errorf("result is %+v, epoch was %s", again[2], before)
		}
	}
	page := read(t, d, storage.LogQuery{})
	if n := len(page.Entries); n != 5 || page.State.Head.Seq != 5 || page.State.Last[p] != 2 {
		t.Errorf("%d entries, state %+v", n, page.State)
	}
	if !read(t, d, storage.LogQuery{After: &first[0].Cursor}).Gap {
		t.Error("a reader of the lost epoch was not told")
	}
}

func TestRestartedEmptyBeginsAnEpoch(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	before := apply(t, d, entry("a"), entry("b"))[1].Cursor
	s.Restart()
	var r storage.Result
	eventually(t, "an append after the restart", func() bool {
		results, err := try(t, d, entry("c"))
		r = results[0]
		return err == nil && r.Err == nil
	})
	if r.Cursor.Epoch == before.Epoch || r.Cursor.Pos.Seq != 1 {
		t.Errorf("cursor is %s, was %s", r.Cursor, before)
	}
	page := read(t, d, storage.LogQuery{After: &before})
	wantIDs(t, page, "c")
	if !page.Gap {
		t.Error("the reader was not told")
	}
}
