package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/actionflows/lifeline/internal/faults"
	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

// ledger notes the partitions of which a loss was told.
type ledger struct {
	mu    sync.Mutex
	names []string
}

func keepLosses(d *Driver) *ledger {
	l := &ledger{}
	d.OnLoss(func(partition string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.names = append(l.names, partition)
	})
	return l
}

// told fails unless there were losses of exactly these partitions since the last
// time, in one call each.
func (l *ledger) told(t *testing.T, want ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.names)
	slices.Sort(want)
	if fmt.Sprint(l.names) != fmt.Sprint(want) {
		t.Errorf("losses of %v were told, want %v", l.names, want)
	}
	l.names = nil
}

func beat(t *testing.T, d *Driver) {
	t.Helper()
	for lane := range max(len(d.Lanes()), 1) {
		if err := d.Beat(t.Context(), lane); err != nil {
			t.Fatal(err)
		}
	}
}

// writes are one operation of each kind, and the partition that it changes.
func writes() map[string]storage.Op {
	return map[string]storage.Op{
		"p02": entry("a"),
		"p05": &storage.Push{Queue: "i:other", ID: "a"},
		"p04": &storage.Drop{Scope: "e:y"},
		"c:1": &storage.Put{Collection: "1", ID: "a"},
		"c:2": &storage.Del{Collection: "2", ID: "a"},
		"c:3": &storage.Add{Collection: "3", Scope: "s", Member: "a", Deltas: map[string]int64{"n": 1}},
	}
}

func TestPartitions(t *testing.T) {
	s := redistest.Start(t)
	single := open(t, s)
	cluster := openWith(t, Options{URL: s.URL(), Cluster: &Cluster{}})
	if lanes := single.Lanes(); lanes != nil {
		t.Errorf("one server has the lanes %v", lanes)
	}
	lanes := cluster.Lanes()
	if len(lanes) != 17 || lanes[0] != "p00" || lanes[15] != "p15" || lanes[16] != "documents" {
		t.Errorf("lanes are %v", lanes)
	}
	for want, op := range writes() {
		if name, lane := single.Partition(op); name != want || lane != 0 {
			t.Errorf("%T is in partition %s, lane %d, want %s", op, name, lane, want)
		}
		wantLane := want
		if strings.HasPrefix(want, "c:") {
			wantLane = "documents"
		}
		if name, lane := cluster.Partition(op); name != want || lanes[lane] != wantLane {
			t.Errorf("%T is in partition %s, lane %s, want %s", op, name, lanes[lane], want)
		}
	}
	for _, lane := range []int{-1, 1} {
		if err := single.Beat(t.Context(), lane); err == nil {
			t.Errorf("there is a lane %d", lane)
		}
	}
}

// A flush is told by the next write of any kind, before it answers, or by a beat.
func TestFlushIsTold(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	l := keepLosses(d)
	var names []string
	for name, op := range writes() {
		do(t, d, op)
		names = append(names, name)
	}
	l.told(t)
	for range 2 {
		s.MustDo("FLUSHALL")
		beat(t, d)
		l.told(t, names...)
		beat(t, d)
		l.told(t)
		names = slices.Concat(names[:0:0], partitionNames[:], []string{"c:1", "c:2", "c:3"}) // the beats wrote there
	}
	for name, op := range writes() {
		do(t, d, op)
		s.MustDo("FLUSHALL")
		do(t, d, op)
		l.told(t, name)
		beat(t, d)
		names := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
		l.told(t, names...)
	}
	do(t, d, item("a"))
	s.MustDo("FLUSHALL")
	if _, err := d.Take(t.Context(), "i:s", 1); err != nil {
		t.Fatal(err)
	}
	l.told(t, "p02")
	healthy(t, d) // tells of the one partition where it writes
	l.told(t, "p00")
}

// One Apply tells once of each partition, however many calls it takes.
func TestOneApplyTellsOnce(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	l := keepLosses(d)
	ops := []storage.Op{entry("a"), item("a"), in("l:s", "a"), addition("a")}
	do(t, d, ops...)
	s.MustDo("FLUSHALL")
	do(t, d, ops...)
	l.told(t, "p02", collectionPartition(testCollection))
}

func TestOldSnapshotIsTold(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	l := keepLosses(d)
	for _, op := range writes() {
		do(t, d, op)
	}
	beat(t, d)
	for range 3 { // later ones are lost to the same snapshot
		s.MustDo("SAVE")
		later := writes()
		var names []string
		for _, name := range []string{"p05", "c:1", "c:3"} {
			do(t, d, later[name])
			names = append(names, name)
		}
		s.Restart()
		eventually(t, "a beat after the restart", func() bool { return d.Beat(t.Context(), 0) == nil })
		l.told(t, names...)
		beat(t, d)
		l.told(t)
	}
}

// What was written between a loss and the return of a state from before it is lost
// as well, however many writes there were.
func TestReturnOfWhatWasFlushedIsTold(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	l := keepLosses(d)
	for i := range 30 {
		apply(t, d, entry(fmt.Sprint("a", i)))
	}
	s.MustDo("SAVE")
	s.MustDo("FLUSHALL") // without save points, it leaves the snapshot alone
	apply(t, d, entry("b"))
	l.told(t, "p02")
	s.Restart()
	eventually(t, "a beat after the restart", func() bool { return d.Beat(t.Context(), 0) == nil })
	wantIDs(t, read(t, d, storage.LogQuery{Limit: 1}), "a29")
	l.told(t, "p02")
}

func TestLostRepliesHideNoLoss(t *testing.T) {
	s := redistest.Start(t)
	proxy := faults.NewProxy(t, s.Addr())
	d := open(t, s, through(proxy))
	d.checked.Store(true)
	l := keepLosses(d)
	eventually(t, "a first append", func() bool { _, err := try(t, d, entry("a")); return err == nil })
	s.MustDo("FLUSHALL")
	for i := range 2 * markWrites {
		proxy.DropReplies(true)
		before := proxy.Dropped()
		if _, err := try(t, d, entry(fmt.Sprint("b", i))); !Counts(err) {
			t.Fatalf("without a reply: %v", err)
		}
		eventually(t, "the reply is swallowed", func() bool { return proxy.Dropped() > before })
		proxy.DropReplies(false)
		proxy.Cut()
		eventually(t, "a connection", func() bool { return d.Publish(t.Context(), "x", nil) == nil })
	}
	if n := s.MustDo("XLEN", d.keys.log(testLog).stream); n != int64(2*markWrites) {
		t.Fatalf("%v of the appends without a reply were carried out", n)
	}
	l.told(t)
	eventually(t, "an append", func() bool { _, err := try(t, d, entry("c")); return err == nil })
	l.told(t, "p02")
	apply(t, d, entry("d"))
	l.told(t)
}

// TestDriversDoNotDisturbEachOther: what one has written is no loss to another, nor
// is it to a new one that all is there already.
func TestDriversDoNotDisturbEachOther(t *testing.T) {
	s := redistest.Start(t)
	a := open(t, s)
	la := keepLosses(a)
	for i := range 5 {
		apply(t, a, entry(fmt.Sprint("a", i)))
	}
	beat(t, a)
	b := open(t, s)
	lb := keepLosses(b)
	beat(t, b)
	for i := range 3 {
		apply(t, b, entry(fmt.Sprint("b", i)))
		apply(t, a, entry(fmt.Sprint("c", i)))
	}
	beat(t, a)
	beat(t, b)
	la.told(t)
	lb.told(t)
	s.MustDo("HDEL", a.keys.marks("p02"), "d:"+b.marks.driver)
	beat(t, a)
	beat(t, b)
	la.told(t)
	lb.told(t, "p02")
}

// TestLaggingReplicaIsTold: the new master lacks what its predecessor had answered
// last.
func TestLaggingReplicaIsTold(t *testing.T) {
	before := redistest.Start(t, "--repl-diskless-sync-delay", "0")
	after := redistest.Start(t)
	var master atomic.Pointer[redistest.Server]
	master.Store(before)
	d := open(t, before)
	l := keepLosses(d)
	for _, s := range []*servers{d.write, d.read} {
		s.find = func(context.Context, *servers) ([]slots, error) {
			return []slots{{0, lastSlot, master.Load().Addr()}}, nil
		}
	}
	host, port, _ := strings.Cut(before.Addr(), ":")
	after.MustDo("REPLICAOF", host, port)
	after.AwaitRole("slave")
	for _, op := range writes() {
		do(t, d, op)
	}
	if err := before.Replicate(); err != nil {
		t.Fatal(err)
	}
	after.MustDo("REPLICAOF", "NO", "ONE")
	apply(t, d, entry("b"))
	do(t, d, addition("a"))
	master.Store(after)
	eventually(t, "an append to the new master", func() bool {
		_ = d.Beat(t.Context(), 0)
		return len(after.MustDo("KEYS", d.keys.marks("p15")).([]any)) == 1
	})
	l.mu.Lock()
	names := slices.Compact(slices.Sorted(slices.Values(l.names)))
	l.mu.Unlock()
	// Until the new master was found, beats were answered by the old one.
	for _, name := range []string{"p02", collectionPartition(testCollection)} {
		if !slices.Contains(names, name) {
			t.Errorf("losses of %v were told, not of %s", names, name)
		}
	}
}

func TestBeatTellsWhatFails(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	do(t, d, addition("a"))
	s.MustDo("SET", d.keys.marks("p03"), "foreign")
	s.MustDo("DEL", d.keys.marks("c:things"))
	s.MustDo("SET", d.keys.marks("c:things"), "foreign")
	err := d.Beat(t.Context(), 0)
	if !errors.Is(err, storage.ErrPoison) || Counts(err) || !strings.Contains(err.Error(), "p03, c:things: ") {
		t.Errorf("Beat answered %v", err)
	}
	for _, name := range []string{"p00", "p04", "p15"} {
		if s.MustDo("HEXISTS", d.keys.marks(name), "us") != int64(1) {
			t.Errorf("there was no beat in %s", name)
		}
	}
	s.MustDo("CONFIG", "SET", "maxmemory", "1")
	var u *storage.UnavailableError
	if err := d.Beat(t.Context(), 0); !errors.As(err, &u) || u.Reason != replies["OOM"] {
		t.Errorf("out of memory Beat answered %v", err)
	}
	s.MustDo("CONFIG", "SET", "maxmemory", "0")
	s.MustDo("FLUSHALL")
	if err := d.Beat(t.Context(), 0); err != nil {
		t.Error(err)
	}
	s.MustDo("SET", d.keys.partitions(), "32")
	if err := d.Beat(t.Context(), 0); !errors.As(err, &u) || !strings.Contains(u.Reason, "another kind") {
		t.Errorf("with other partitions Beat answered %v", err)
	}
}

// TestBeatInACluster: a lane does not notice that the master of another one is away.
func TestBeatInACluster(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	o := inCluster(c)
	o.Timeout = DefaultTimeout
	d := openWith(t, o)
	l := keepLosses(d)
	collections := map[*redistest.Server]string{}
	for i := 0; len(collections) < len(c.Nodes); i++ {
		name := fmt.Sprint(i)
		collections[c.Owner(d.keys.collection(name).chains())] = name
	}
	eventually(t, "a write everywhere", func() bool {
		for _, name := range collections {
			if _, err := d.Apply(t.Context(), []storage.Op{&storage.Put{Collection: name, ID: "a"}}); err != nil {
				return false
			}
		}
		for lane := range d.Lanes() {
			if d.Beat(t.Context(), lane) != nil {
				return false
			}
		}
		return true
	})
	documents := partitions
	frozen := c.Owner(d.keys.partitions()) // where a driver looks first
	frozen.Freeze()
	for lane, name := range d.Lanes()[:partitions] {
		away := slotOwner(c, d.keys.marks(name)) == frozen
		if err := d.Beat(t.Context(), lane); Counts(err) != away || err != nil && !away {
			t.Errorf("lane %s, at the frozen master: %v, answered %v", name, away, err)
		}
	}
	err := d.Beat(t.Context(), documents)
	if !Counts(err) || !strings.Contains(err.Error(), "c:"+collections[frozen]+": ") {
		t.Errorf("the lane of documents answered %v", err)
	}
	frozen.Thaw()
	eventually(t, "a beat everywhere", func() bool {
		for lane := range d.Lanes() {
			if d.Beat(t.Context(), lane) != nil {
				return false
			}
		}
		return true
	})
	l.told(t)
	frozen.MustDo("FLUSHALL")
	var lost []string
	for _, name := range d.Lanes()[:partitions] {
		if slotOwner(c, d.keys.marks(name)) == frozen {
			lost = append(lost, name)
		}
	}
	beat(t, d)
	l.told(t, append(lost, "c:"+collections[frozen])...)
}

// slotOwner is the owner of a key in a cluster as it was started.
func slotOwner(c *redistest.Cluster, key string) *redistest.Server {
	for i, n := range c.Nodes {
		if slotOf(key) < (lastSlot+1)*(i+1)/len(c.Nodes) {
			return n
		}
	}
	return nil
}
