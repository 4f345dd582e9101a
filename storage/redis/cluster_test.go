package redis

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

// oneEach answers the name of a log in each partition.
func oneEach(t *testing.T) []string {
	t.Helper()
	logs := make([]string, partitions)
	for i, found := 0, 0; found < partitions; i++ {
		name := "e:" + strconv.Itoa(i)
		if p := partitionOf(name); logs[p] == "" {
			logs[p] = name
			found++
		}
	}
	return logs
}

func TestClusterLosesAMaster(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	o := inCluster(c)
	o.Timeout = 2 * time.Second
	d := openWith(t, o)
	b := subscribe(t, d, storage.NoticeChannel)
	ready(t, d, storage.NoticeChannel, b)

	logs := oneEach(t)
	batch := func(id string) []*storage.Append {
		var all []*storage.Append
		for _, log := range logs {
			all = append(all, in(log, id))
		}
		return all
	}
	apply(t, d, batch("a")...)
	for _, log := range logs { // by whatever node, all notices come through
		eventually(t, "a notice of "+log, func() bool { return b.has(string(storage.Notice{Log: log}.Encode())) })
	}
	// One script call for each log, at the node that has it.
	owned := map[*redistest.Server]int{}
	for _, log := range logs {
		owned[c.Owner(d.keys.log(log).stream)]++
	}
	if len(owned) != 3 {
		t.Fatalf("the partitions are on %d of 3 nodes", len(owned))
	}
	for _, s := range c.Nodes {
		s.MustDo("CONFIG", "RESETSTAT")
	}
	apply(t, d, batch("b")...)
	for s, n := range owned {
		if calls := commandCalls(t, s, "evalsha"); calls != n {
			t.Errorf("a node with %d logs ran %d scripts", n, calls)
		}
	}

	dead := c.Nodes[1]
	dead.Kill()
	hit := map[string]bool{}
	for _, log := range logs {
		hit[log] = c.Owner(d.keys.log(log).stream) == dead
	}
	for id := range 20 { // before and after the others declare it dead
		batch := batch("c" + strconv.Itoa(id))
		results, err := try(t, d, batch...)
		if !Counts(err) {
			t.Fatalf("Apply answered %v", err)
		}
		for i, r := range results {
			if Counts(r.Err) != hit[batch[i].Log] || r.Err != nil && !hit[batch[i].Log] {
				t.Fatalf("log %s, at the dead node: %v, answered %+v", batch[i].Log, hit[batch[i].Log], r)
			}
		}
	}
	for log, dead := range hit {
		if _, err := d.ReadLog(t.Context(), log, storage.LogQuery{}); Counts(err) != dead || err != nil && !dead {
			t.Errorf("reading %s, at the dead node: %v, answered %v", log, dead, err)
		}
	}
	dead.Restart() // empty, but it remembers its slots
	var results []storage.Result
	eventually(t, "an append everywhere", func() bool {
		var err error
		results, err = try(t, d, batch("d")...)
		return err == nil
	})
	for i, r := range results {
		if r.Exists == hit[logs[i]] {
			t.Errorf("log %s, at the node that lost all: %v, answered %+v", logs[i], hit[logs[i]], r)
		}
	}
	ready(t, d, storage.NoticeChannel, b)
}

// TestSubscriptionMovesElsewhere: it does not wait for the node that it was at,
// and its own messages take the way of others' messages.
func TestSubscriptionMovesElsewhere(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	o := inCluster(c)
	o.Timeout = 2 * time.Second
	d := openWith(t, o)
	d.liveEvery = 100 * time.Millisecond
	b := subscribe(t, d, "x")
	ready(t, d, "x", b)
	at := func() *redistest.Server {
		for _, s := range c.Nodes {
			if list, err := s.Do(t.Context(), "CLIENT", "LIST", "TYPE", "pubsub"); err == nil && list != "" {
				return s
			}
		}
		return nil
	}
	first := at()
	if first == nil {
		t.Fatal("there is no subscription")
	}
	before := 0
	for _, s := range c.Nodes {
		if s != first {
			before += commandCalls(t, s, "publish")
		}
	}
	eventually(t, "messages to itself, by another node", func() bool {
		now := 0
		for _, s := range c.Nodes {
			if s != first {
				now += commandCalls(t, s, "publish")
			}
		}
		return now >= before+2*liveMissed
	})
	if b.lost() != 0 {
		t.Error("a subscription that works was reopened")
	}
	first.Kill()
	eventually(t, "Lost, while the node is dead", func() bool { return b.lost() > 0 })
	if second := at(); second == nil || second == first {
		t.Errorf("the subscription is at %v", second)
	}
	alive := c.Nodes[0]
	if alive == first {
		alive = c.Nodes[1]
	}
	alive.MustDo("PUBLISH", d.keys.channel("x"), "still heard")
	eventually(t, "a message by a node that lives", func() bool { return b.has("still heard") })
}

// TestKeysThatMove moves a partition from one node to another under the driver.
func TestKeysThatMove(t *testing.T) {
	c := redistest.StartCluster(t, 2)
	o := inCluster(c)
	o.Timeout = 5 * time.Second
	d := openWith(t, o)
	apply(t, d, entry("a"), entry("b"))
	k := d.keys.log(testLog)
	from := c.Owner(k.stream)
	to := c.Nodes[0]
	if to == from {
		to = c.Nodes[1]
	}
	slot := from.MustDo("CLUSTER", "KEYSLOT", k.stream)
	if int64(slotOf(k.stream)) != slot {
		t.Fatalf("slot of %s is %v, not %d", k.stream, slot, slotOf(k.stream))
	}
	to.MustDo("CLUSTER", "SETSLOT", slot, "IMPORTING", from.ID())
	from.MustDo("CLUSTER", "SETSLOT", slot, "MIGRATING", to.ID())
	host, port, _ := strings.Cut(to.Addr(), ":")
	for _, key := range from.MustDo("CLUSTER", "GETKEYSINSLOT", slot, 100).([]any) {
		from.MustDo("MIGRATE", host, port, key, 0, 5000)
	}
	// ASK: all that a read needs is there, its script is not.
	wantIDs(t, read(t, d, storage.LogQuery{}), "a", "b")
	// TRYAGAIN: an append also has keys that are nowhere yet.
	_, err := try(t, d, entry("c"))
	var u *storage.UnavailableError
	if !errors.As(err, &u) || u.Reason != replies["TRYAGAIN"] {
		t.Errorf("Apply answered %v", err)
	}
	for _, s := range []*redistest.Server{to, from} {
		s.MustDo("CLUSTER", "SETSLOT", slot, "NODE", to.ID())
	}
	// MOVED: no attempt is wasted.
	if r := apply(t, d, entry("b"), entry("c")); !r[0].Duplicate || r[1].Duplicate || r[1].Cursor.Pos.Seq != 3 {
		t.Errorf("results are %+v", r)
	}
	wantIDs(t, read(t, d, storage.LogQuery{}), "a", "b", "c")
	eventually(t, "the new owner is known", func() bool {
		_ = d.Health(t.Context())
		n, err := d.write.of(t.Context(), k.stream)
		return err == nil && n.addr == to.Addr()
	})
	before := commandCalls(t, from, "evalsha")
	apply(t, d, entry("d"))
	if commandCalls(t, from, "evalsha") != before {
		t.Error("the former owner is asked still")
	}

	// Two that send each other the calls: it has an end.
	other := "e:other"
	slot = from.MustDo("CLUSTER", "KEYSLOT", d.keys.log(other).stream)
	from.MustDo("CLUSTER", "SETSLOT", slot, "NODE", to.ID())
	to.MustDo("CLUSTER", "SETSLOT", slot, "NODE", from.ID())
	for _, s := range c.Nodes {
		s.MustDo("CONFIG", "RESETSTAT")
	}
	if _, err := try(t, d, in(other, "a")); !errors.As(err, &u) || u.Reason != replies["MOVED"] {
		t.Errorf("Apply answered %v", err)
	}
	sent := 0
	for _, s := range c.Nodes {
		_, rest, _ := strings.Cut(s.MustDo("INFO", "commandstats").(string), "cmdstat_evalsha:")
		_, rest, _ = strings.Cut(rest, "rejected_calls=")
		n, _, _ := strings.Cut(rest, ",")
		calls, _ := strconv.Atoi(n)
		sent += calls
	}
	if sent != rounds {
		t.Errorf("the call was sent %d times, want %d", sent, rounds)
	}
}

// TestLostReplyIsNotRepeated: what may have been carried out is not sent again.
func TestLostReplyIsNotRepeated(t *testing.T) {
	c := redistest.StartCluster(t, 1)
	o := inCluster(c)
	o.Timeout = time.Second
	d := openWith(t, o)
	apply(t, d, entry("a"))
	eventually(t, "the connection is idle", func() bool {
		nodes, err := d.write.all(t.Context())
		return err == nil && nodes[0].checked.Load()
	})
	s := c.Nodes[0]
	s.MustDo("CONFIG", "RESETSTAT")
	s.Freeze()
	_, err := d.Apply(t.Context(), []storage.Op{entry("b")})
	s.Thaw()
	if !Counts(err) {
		t.Fatalf("Apply answered %v", err)
	}
	if results := apply(t, d, entry("b")); !results[0].Duplicate {
		t.Errorf("repeated by the caller: %+v", results[0])
	}
	if calls := commandCalls(t, s, "evalsha"); calls != 2 {
		t.Errorf("%d script calls, want the first and the caller's second", calls)
	}
}

func TestClusterThatIsNone(t *testing.T) {
	single := redistest.Start(t)
	d := openWith(t, Options{URL: single.URL(), Cluster: &Cluster{}, Timeout: 5 * time.Second})
	refused(t, d, "Redis is not a cluster, though the option cluster says so")

	c := redistest.StartCluster(t, 2)
	d = openWith(t, Options{URL: c.Nodes[0].URL(), Timeout: 5 * time.Second})
	eventually(t, "a log of the other node is refused", func() bool {
		_, err := try(t, d, entry("a"), in("e:1", "a"), in("e:2", "a"), in("e:3", "a"), in("e:4", "a"))
		var u *storage.UnavailableError
		return errors.As(err, &u) && strings.Contains(u.Reason, "option cluster is missing")
	})
}
