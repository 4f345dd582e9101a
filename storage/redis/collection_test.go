package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

const testCollection = "things"

func document(id string, micros int64) *storage.Put {
	return &storage.Put{
		Collection: testCollection, ID: id, Body: []byte("body of " + id), Stamp: storage.Stamp{Micros: micros},
		Indexes: map[string]string{"color": "red"},
	}
}

func addition(member string) *storage.Add {
	return &storage.Add{Collection: testCollection, Member: member, Deltas: map[string]int64{"n": 1}, RankBy: "n"}
}

func item(id string) *storage.Push {
	return &storage.Push{Queue: "i:s", ID: id, Data: []byte("data of " + id)}
}

// do carries out operations that must all succeed.
func do(t *testing.T, d *Driver, ops ...storage.Op) []storage.Result {
	t.Helper()
	results, err := d.Apply(t.Context(), ops)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("operation %d, %T: %v", i, ops[i], r.Err)
		}
	}
	return results
}

func scanned(t *testing.T, d *Driver, q storage.ScanQuery) []string {
	t.Helper()
	documents, err := d.Scan(t.Context(), testCollection, "", q)
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	var ids []string
	for _, doc := range documents {
		ids = append(ids, doc.ID)
	}
	return ids
}

func count(t *testing.T, d *Driver, member string) int64 {
	t.Helper()
	c, err := d.Counters(t.Context(), testCollection, "", storage.CounterQuery{Member: member})
	if err != nil {
		t.Fatalf("counters: %v", err)
	}
	if len(c) == 0 {
		return 0
	}
	return c[0].Fields["n"]
}

func TestOneApplyIsOneScriptCallForEachTarget(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	do(t, d, entry("warm up"))
	s.MustDo("CONFIG", "RESETSTAT")
	var ops []storage.Op
	for i := range 10 {
		id := fmt.Sprint("i", i)
		ops = append(ops, document(id, 1), addition(id), entry(id), item(id))
	}
	other := document("a", 1)
	other.Collection = "others"
	ops = append(ops, other, &storage.Drop{Scope: "e:unknown"}, &storage.Del{Collection: testCollection, ID: "i3"})
	do(t, d, ops...)
	stats := s.MustDo("INFO", "commandstats").(string)
	// Two collections, a log, a queue, a Drop.
	if !strings.Contains(stats, "cmdstat_evalsha:calls=5,") || strings.Contains(stats, "cmdstat_eval:") {
		t.Errorf("want five script calls: %s", stats)
	}
	if want := 9; len(scanned(t, d, storage.ScanQuery{})) != want {
		t.Errorf("want %d documents", want)
	}
}

func TestAddSeesThePutBeforeIt(t *testing.T) {
	d := open(t, redistest.Start(t))
	add := addition("a")
	add.IfExists = true
	r := do(t, d, add, document("a", 1), add, &storage.Del{Collection: testCollection, ID: "a"}, add)
	if r[0].Exists || !r[2].Exists || r[4].Exists {
		t.Errorf("results are %+v", r)
	}
}

// debuggable is a server that tells a digest of all its data.
func debuggable(t *testing.T) *redistest.Server {
	t.Helper()
	return redistest.Start(t, "--enable-debug-command", "yes")
}

// digest is that of all data but the marks, which an operation that is refused
// leaves too. The driver begins new ones, so that it misses nothing.
func digest(s *redistest.Server, d *Driver) any {
	for _, partition := range append(d.marks.known(), partitionNames[:]...) {
		_, _ = s.Do(context.Background(), "HDEL", d.keys.marks(partition), "d:"+d.marks.driver)
	}
	d.marks = newMarks(d.keys)
	return s.MustDo("DEBUG", "DIGEST")
}

func healthy(t *testing.T, d *Driver) {
	t.Helper()
	if err := d.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestWrongTypeOfAKeyWritesNothing(t *testing.T) {
	c := keyspace{prefix: DefaultKeyPrefix}.collection(testCollection)
	l, q := keyspace{prefix: DefaultKeyPrefix}.log("i:s"), keyspace{prefix: DefaultKeyPrefix}.queue("i:s")
	mortal := document("a", 5)
	mortal.TTL = time.Hour
	counted := addition("a")
	counted.IfExists = true
	scoped := addition("a")
	scoped.Scope = "scope"
	for name, tt := range map[string]struct {
		op   storage.Op
		keys []string
	}{
		"Put":          {mortal, []string{c.members(), c.ends(), c.chains(), c.ranking(""), c.document("a"), c.counters("") + "a"}},
		"Del":          {&storage.Del{Collection: testCollection, ID: "a"}, []string{c.members(), c.ends(), c.chains(), c.ranking(""), c.document("a"), c.counters("") + "a"}},
		"Add":          {scoped, []string{c.members(), c.ends(), c.chains(), c.ranking("scope"), c.counters("scope") + "a"}},
		"Add IfExists": {counted, []string{c.ranking(""), c.document("a"), c.counters("") + "a"}},
		"Push":         {item("a"), q.all()},
		"Drop":         {&storage.Drop{Scope: "i:s"}, append([]string{l.stream, l.meta, l.ids0, l.ids1}, q.all()...)},
	} {
		for _, key := range tt.keys {
			for _, fresh := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, %s, fresh %v", name, key, fresh), func(t *testing.T) {
					s := debuggable(t)
					d := open(t, s)
					if !fresh {
						do(t, d, document("a", 1), addition("a"), scoped, item("before"), in("i:s", "before"))
					}
					healthy(t, d) // what a driver writes at first
					s.MustDo("SET", key, "foreign")
					before := digest(s, d)
					results, err := d.Apply(t.Context(), []storage.Op{tt.op})
					if err != nil || !errors.Is(results[0].Err, storage.ErrPoison) || Counts(results[0].Err) {
						t.Errorf("answer is %+v, %v, want ErrPoison", results, err)
					}
					if after := digest(s, d); after != before {
						t.Errorf("something was written: %v", s.MustDo("KEYS", "*"))
					}
				})
			}
		}
	}
}

func TestForeignKeyOfOneOperationLeavesTheOthers(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	k := d.keys.collection(testCollection)
	s.MustDo("SET", k.document("bad"), "foreign")
	s.MustDo("HSET", k.document("worse"), "us", "1", "by", "0", "x", "not packed")
	s.MustDo("HSET", k.counters("")+"odd", "n", "1.5")
	ops := []storage.Op{document("a", 1), document("bad", 1), addition("a"), document("worse", 1), addition("odd"), document("b", 1)}
	results, err := d.Apply(t.Context(), ops)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		bad := i == 1 || i == 3 || i == 4
		if errors.Is(r.Err, storage.ErrPoison) != bad {
			t.Errorf("operation %d: %+v", i, r)
		}
	}
	if got := scanned(t, d, storage.ScanQuery{}); !slices.Equal(got, []string{"a", "b"}) || count(t, d, "a") != 1 {
		t.Errorf("documents are %v", got)
	}
}

func TestReadsOfForeignKeysArePoison(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	k := d.keys.collection(testCollection)
	get := func() error { _, err := d.Get(t.Context(), testCollection, "a"); return err }
	scan := func() error { _, err := d.Scan(t.Context(), testCollection, "", storage.ScanQuery{}); return err }
	one := func() error {
		_, err := d.Counters(t.Context(), testCollection, "s", storage.CounterQuery{Member: "a"})
		return err
	}
	top := func() error {
		_, err := d.Counters(t.Context(), testCollection, "s", storage.CounterQuery{Top: 3})
		return err
	}
	take := func() error { _, err := d.Take(t.Context(), "i:s", 0); return err }
	for i, tt := range []struct {
		commands [][]any
		read     func() error
	}{
		{[][]any{{"SET", k.document("a"), "x"}}, get},
		{[][]any{{"HSET", k.document("a"), "x", "y"}}, get},
		{[][]any{{"HSET", k.document("a"), "x", "y", "us", "z", "by", "0", "b", ""}}, get},
		{[][]any{{"SET", k.members(), "x"}}, scan},
		{[][]any{{"ZADD", k.members(), "0", "a:a"}, {"SET", k.document("a"), "x"}}, scan},
		{[][]any{{"SET", k.counters("s") + "a", "x"}}, one},
		{[][]any{{"HSET", k.counters("s") + "a", "n", "1.5"}}, one},
		{[][]any{{"SET", k.ranking("s"), "x"}}, top},
		{[][]any{{"ZADD", k.ranking("s"), "0", "a"}, {"SET", k.counters("s") + "a", "x"}}, top},
		{[][]any{{"SET", d.keys.queue("i:s").waiting, "x"}}, take},
		{[][]any{{"SET", d.keys.queue("i:s").meta, "x"}}, take},
		{[][]any{{"ZADD", d.keys.queue("i:s").waiting, "1", "a"}, {"HSET", d.keys.queue("i:s").data, "a", "no time"}}, take},
	} {
		s.MustDo("FLUSHALL")
		for _, c := range tt.commands {
			s.MustDo(c...)
		}
		if err := tt.read(); !errors.Is(err, storage.ErrPoison) || Counts(err) {
			t.Errorf("case %d, %v: read answered %v", i, tt.commands, err)
		}
	}
}

func TestWhatExpiredLeavesNothingBehind(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	k := d.keys.collection(testCollection)
	var ops []storage.Op
	for i := range 50 {
		p := document(fmt.Sprint("d", i), 1)
		p.TTL = 20 * time.Millisecond
		ops = append(ops, p, addition(p.ID))
	}
	do(t, d, ops...)
	eventually(t, "all have expired", func() bool { return len(scanned(t, d, storage.ScanQuery{})) == 0 })
	do(t, d, document("last", 1))
	if got := scanned(t, d, storage.ScanQuery{}); !slices.Equal(got, []string{"last"}) {
		t.Errorf("documents are %v", got)
	}
	keys := s.MustDo("KEYS", k.base+"*").([]any)
	slices.SortFunc(keys, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	if want := []any{k.document("last"), k.chains(), k.members()}; !slices.Equal(keys, want) {
		t.Errorf("keys are %v, want %v", keys, want)
	}
	if n := s.MustDo("ZCARD", k.members()); n != int64(3) { // of all, of an index, of a group
		t.Errorf("%v members are left", n)
	}
}

func TestScanPassesOverWhatIsNotThere(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	k := d.keys.collection(testCollection)
	do(t, d, document("a", 1), document("m", 1), document("z", 1))
	// More than one call looks at.
	const stale = 25_000
	for from := 0; from < stale; from += 5000 {
		args := []any{"ZADD", k.members()}
		for i := range 5000 {
			args = append(args, "0", fmt.Sprintf("a:b%06d", from+i))
		}
		s.MustDo(args...)
	}
	// Where nothing can be written the answer is the same.
	s.MustDo("REPLICAOF", "127.0.0.1", "1")
	if got := scanned(t, d, storage.ScanQuery{Limit: 2}); !slices.Equal(got, []string{"a", "m"}) {
		t.Errorf("documents are %v", got)
	}
	s.MustDo("REPLICAOF", "NO", "ONE")
	if n := s.MustDo("ZCARD", k.members()); n != int64(stale+9) {
		t.Errorf("%v members on a replica", n)
	}
	if got := scanned(t, d, storage.ScanQuery{Limit: 2}); !slices.Equal(got, []string{"a", "m"}) {
		t.Errorf("documents are %v", got)
	}
	if n := s.MustDo("ZCARD", k.members()); n != int64(9) {
		t.Errorf("%v members are left", n)
	}
}

func TestExpiredIDWrittenAgainIsNotFoundByItsOldIndex(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	k := d.keys.collection(testCollection)
	do(t, d, document("a", 1))
	s.MustDo("ZADD", k.members(), "0", indexMembers("color", "green")+"a")
	documents, err := d.Scan(t.Context(), testCollection, "color", storage.ScanQuery{Value: "green"})
	if err != nil || len(documents) != 0 {
		t.Errorf("answer is %+v, %v", documents, err)
	}
}

func TestLifetimesOfCollectionsAndQueues(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	k := d.keys.collection(testCollection)
	within := func(key string, least time.Duration) {
		t.Helper()
		got := time.Duration(s.MustDo("PTTL", key).(int64)) * time.Millisecond
		if got < least-time.Minute || got > least+time.Minute {
			t.Errorf("%s lives for %v, want %v", key, got, least)
		}
	}
	ever := func(keys ...string) {
		t.Helper()
		for _, key := range keys {
			if got := s.MustDo("PTTL", key); got != int64(-1) {
				t.Errorf("%s ends in %v ms", key, got)
			}
		}
	}
	mortal := document("mortal", 1)
	mortal.TTL = time.Hour
	do(t, d, mortal, document("a", 1), addition("a"), &storage.Del{Collection: testCollection, ID: "b"})
	within(k.document("mortal"), time.Hour)
	within(k.document("b"), storage.TombstoneAge)
	ever(k.document("a"), k.members(), k.ends(), k.chains(), k.ranking(""), k.counters("")+"a")
	mortal.TTL, mortal.Stamp.Micros = 0, 2
	do(t, d, mortal)
	ever(k.document("mortal"))

	q := d.keys.queue("i:s")
	brief, long := item("brief"), item("long")
	brief.Remaining, long.Remaining = time.Hour, 48*time.Hour
	do(t, d, brief)
	within(q.waiting, time.Hour)
	within(q.ends, time.Hour)
	within(q.meta, storage.DedupAge)
	do(t, d, item("ever"))
	within(q.waiting, storage.DedupAge)
	do(t, d, long)
	for _, key := range q.all() {
		within(key, 48*time.Hour)
	}
	if items, err := d.Take(t.Context(), "i:s", 0); err != nil || len(items) != 3 {
		t.Errorf("took %+v, %v", items, err)
	}
	within(q.ends, 48*time.Hour) // taken ids are remembered
}

func TestProducersOfCollectionsAndQueuesAreBounded(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	const remembered = 32
	var ops []storage.Op
	for i := range remembered + 8 {
		link := storage.Link{Producer: storage.Producer(i + 1), Number: 1}
		a, p := addition("a"), item(fmt.Sprint("i", i))
		a.Link, p.Link = link, link
		ops = append(ops, a, p)
	}
	do(t, d, ops...)
	for key, fixed := range map[string]int64{d.keys.collection(testCollection).chains(): 2, d.keys.queue("i:s").meta: 2} {
		if n := s.MustDo("HLEN", key); n != remembered+fixed {
			t.Errorf("%s has %v fields", key, n)
		}
		for p, want := range map[storage.Producer]int64{8: 0, 9: 1, remembered + 8: 1} {
			if got := s.MustDo("HEXISTS", key, "p:"+p.String()); got != want {
				t.Errorf("%s: producer %d is there: %v, want %v", key, p, got, want)
			}
		}
	}
}

func TestCountersOfSixtyFourBits(t *testing.T) {
	d := open(t, redistest.Start(t))
	const big = 1<<62 + 1
	a := addition("a")
	a.Deltas = map[string]int64{"n": big}
	a.Low, a.High = map[string]int64{"low": -big}, map[string]int64{"high": big}
	do(t, d, a)
	b := addition("a")
	b.Deltas = map[string]int64{"n": -1}
	b.Low, b.High = map[string]int64{"low": -big + 1}, map[string]int64{"high": big - 1}
	do(t, d, b)
	c, err := d.Counters(t.Context(), testCollection, "", storage.CounterQuery{Member: "a"})
	if err != nil || c[0].Fields["n"] != big-1 || c[0].Fields["low"] != -big || c[0].Fields["high"] != big {
		t.Errorf("counters are %+v, %v", c, err)
	}
	results, err := d.Apply(t.Context(), []storage.Op{a, addition("b")})
	if err != nil || !errors.Is(results[0].Err, storage.ErrPoison) || results[1].Err != nil {
		t.Errorf("an overflow was answered %+v, %v", results, err)
	}
}
