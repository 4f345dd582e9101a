package faultmatrix

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/actionflows/lifeline/internal/faults"
	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

// fault is one thing that goes wrong while nodes are used.
type Fault struct {
	name string
	// strike lets it happen, and ends it.
	strike func(*run)
	// lasts is how long it lasts, with run.outage.
	lasts time.Duration
	// times is how often it happens, where it happens more than once.
	times int

	loses      bool // Redis loses data
	rollsBack  bool // and has older data instead
	killsNodes bool
	// freezesNodes: how long a node took to acknowledge says nothing.
	freezesNodes bool
	stops        bool // nothing may be acknowledged meanwhile
	idle         bool // nobody writes or reads by then
	harmless     bool // nothing goes wrong
	clones       bool // a third node is started on a copy of the first one's journal
	both         bool // every event is published through both nodes
	deletes      bool // the doomed session is there, to be deleted
	cluster      bool // Redis is a Cluster
	pends        bool // events are acknowledged as pending, or it did not happen

	args     []string // of redis-server
	spare    string   // see faults.Proxy.Spare
	maxBytes int64    // of the journals
	broken   string   // see broken_test.go
}

// undoesTakes: input may be handed out again, because Redis has forgotten that it
// was handed out, and has it still, or is sent it by a node that has not heard that
// it ever had it.
func (f Fault) undoesTakes() bool { return f.rollsBack || f.loses && f.killsNodes }

// pace is how long a writer rests between two events.
func (f Fault) pace() (from, to time.Duration) { return 3 * time.Millisecond, 12 * time.Millisecond }

// The faults. Those of Redis itself and of the network come first.
var redisFaults = []Fault{
	{name: "nothing", strike: nothing, harmless: true},
	{name: "redis frozen", strike: redisFrozen, lasts: 2500 * time.Millisecond, pends: true},
	{name: "redis killed, empty", strike: redisKilled, lasts: time.Second, loses: true, pends: true},
	{name: "redis killed, old snapshot", strike: oldSnapshot, lasts: time.Second, loses: true, rollsBack: true, pends: true},
	{name: "flushed under load", strike: flushed, loses: true},
	{name: "flushed when idle", strike: flushedIdle, loses: true, idle: true},
	{name: "loading", strike: loading, lasts: 300 * time.Millisecond, loses: true, rollsBack: true, pends: true, args: slowLoading},
	{name: "read-only", strike: readOnly, lasts: 1500 * time.Millisecond, pends: true},
	{name: "out of memory", strike: outOfMemory, lasts: 1500 * time.Millisecond, pends: true},
	{name: "lagging replica promoted", strike: laggingReplica, lasts: time.Second, loses: true, rollsBack: true, pends: true},
	{name: "cluster master lost", strike: clusterMaster, lasts: 2 * time.Second, loses: true, cluster: true, pends: true},
	{name: "redis clock stepped", strike: clockStepped},
	{name: "deleted in an outage", strike: deleted, lasts: 1500 * time.Millisecond, deletes: true, pends: true},
	{name: "outage beyond max_size", strike: redisFrozen, lasts: 3 * time.Second, stops: true, maxBytes: 200 << 10, pends: true},
	{name: "one id on two nodes", strike: redisFrozen, lasts: 2 * time.Second, both: true, pends: true},
}

var networkFaults = []Fault{
	{name: "cut", strike: cut, lasts: 50 * time.Millisecond},
	{name: "cut from one node", strike: cutOne, lasts: 2 * time.Second, pends: true},
	{name: "cut, pub/sub spared", strike: cutCommands, lasts: 2 * time.Second, spare: "subscribe", pends: true},
	{name: "black hole", strike: blackhole, lasts: 2500 * time.Millisecond, pends: true},
	{name: "replies lost", strike: repliesLost, lasts: time.Second, pends: true},
	{name: "refused", strike: refused, lasts: 1500 * time.Millisecond, pends: true},
}

func nothing(r *run) { r.more(200) }

func redisFrozen(r *run) { r.frozen(r.outage) }

// frozen has Redis frozen while something happens.
func (r *run) frozen(happens func()) {
	r.redis.Freeze()
	r.during(redisAway, happens)
	r.redis.Thaw()
}

func redisKilled(r *run) {
	r.redis.Kill()
	r.during(redisAway, r.outage)
	r.redis.Restart()
}

func oldSnapshot(r *run) {
	r.redis.MustDo("SAVE")
	r.more(100)
	redisKilled(r)
}

func flushed(r *run) {
	r.redis.MustDo("FLUSHALL")
	r.more(100)
}

func flushedIdle(r *run) {
	r.calmDown()
	r.awaitNormal()
	r.redis.MustDo("FLUSHALL")
}

// slowLoading makes Redis take 1 ms for each key when it starts, and answer
// meanwhile.
var slowLoading = []string{"--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"}

func loading(r *run) {
	r.redis.MustDo("EVAL", "for i = 1, 2000 do redis.call('SET', 'filler' .. i, i) end return 1", 0)
	r.redis.MustDo("SAVE")
	r.more(50)
	r.redis.Kill()
	r.during(redisAway, r.outage)
	r.redis.Restart() // returns at its first answer, which is LOADING
	r.until(patience, func() bool {
		_, err := r.redis.Do(r.ctx, "DBSIZE")
		return err == nil
	})
}

func readOnly(r *run) {
	r.redis.MustDo("REPLICAOF", "127.0.0.1", "1") // where nobody is
	r.during(redisRefuses, r.outage)
	r.redis.MustDo("REPLICAOF", "NO", "ONE")
}

func outOfMemory(r *run) {
	r.redis.MustDo("CONFIG", "SET", "maxmemory", "1")
	r.during(redisRefuses, r.outage)
	r.redis.MustDo("CONFIG", "SET", "maxmemory", "0")
}

// laggingReplica promotes a replica that has not got the newest writes.
func laggingReplica(r *run) {
	link := faults.NewProxy(r.t, r.redis.Addr())
	replica := redistest.Start(r.t, "--replicaof", strings.Replace(link.Addr(), ":", " ", 1), "--repl-diskless-sync-delay", "0")
	replica.AwaitRole("slave")
	link.Blackhole(true)
	r.more(100)
	r.redis.Kill()
	r.during(redisAway, r.outage)
	replica.MustDo("REPLICAOF", "NO", "ONE")
	r.redis = replica
	for _, p := range r.proxies {
		p.Retarget(replica.Addr())
		p.Cut()
	}
}

// clusterMaster has the master of the first session die, and come back empty.
func clusterMaster(r *run) {
	for _, s := range r.cluster.Nodes {
		if keys, _ := s.MustDo("KEYS", "*}:e:"+sessions[0]).([]any); len(keys) > 0 {
			s.Kill()
			r.outage()
			s.Restart()
			return
		}
	}
	r.t.Errorf("no master has the session %s", sessions[0])
}

// clockStepped leaves the logs as they are after Redis' clock has gone forward by
// an hour, something was appended, and it has gone back.
func clockStepped(r *run) {
	t := r.truth()
	for _, log := range sessions {
		p := r.book.try(log, "clock-0", published{writer: "clock"})
		_, err := t.store.Driver.Apply(r.ctx, []storage.Op{&storage.Append{
			Log: "e:" + log, ID: "clock-0", Data: []byte(`{"id":"clock-0"}`), Floor: time.Now().Add(time.Hour).UnixMicro(),
		}})
		if err != nil {
			r.t.Error(err)
			continue
		}
		r.book.acknowledge(p, reply{})
	}
	r.more(100)
}

func deleted(r *run) {
	r.frozen(func() {
		r.working.Go(func() { r.deleteDoomed(r.ctx) })
		r.outage()
	})
	r.until(patience, func() bool {
		done := false
		r.book.locked(func() { done = !r.deleted.IsZero() })
		return done
	})
}

func cut(r *run) {
	for range 5 {
		for _, p := range r.proxies {
			p.Cut()
		}
		r.outage()
	}
}

func cutOne(r *run) {
	r.proxies[0].Refuse(true)
	r.proxies[0].Cut()
	r.during(redisAway, r.outage, 0)
	r.proxies[0].Refuse(false)
}

func cutCommands(r *run) { blackhole(r) }

func blackhole(r *run) {
	r.onProxies(func(p *faults.Proxy) { p.Blackhole(true) })
	r.during(redisAway, r.outage)
	r.onProxies(func(p *faults.Proxy) { p.Blackhole(false) })
}

// repliesLost lets go of the connections as well in the end: what a reply would
// answer next is no longer known.
func repliesLost(r *run) {
	for range 3 {
		r.onProxies(func(p *faults.Proxy) { p.DropReplies(true) })
		r.during(redisAway, r.outage)
		r.onProxies(func(p *faults.Proxy) {
			p.DropReplies(false)
			p.Cut()
		})
		r.more(20)
	}
}

func refused(r *run) {
	r.onProxies(func(p *faults.Proxy) {
		p.Refuse(true)
		p.Cut()
	})
	r.during(redisAway, r.outage)
	r.onProxies(func(p *faults.Proxy) { p.Refuse(false) })
}

func (r *run) onProxies(fn func(*faults.Proxy)) {
	for _, p := range r.proxies {
		fn(p)
	}
}

// files are those in a node's directory.
func files(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			found = append(found, path)
		}
		return err
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s is empty", dir)
	}
	return found, err
}
