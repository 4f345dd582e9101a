package faultmatrix

import (
	"fmt"
	"os"
	"time"
)

// The faults of nodes and of their disks.
var nodeFaults = []Fault{
	{name: "node killed", strike: nodeKilled, lasts: 300 * time.Millisecond, killsNodes: true},
	{
		name: "node killed in an outage", strike: nodeKilledInOutage, lasts: 1500 * time.Millisecond,
		killsNodes: true, pends: true,
	},
	{
		name: "node restarted in an outage", strike: nodeRestartedInOutage, lasts: 1500 * time.Millisecond,
		killsNodes: true, pends: true,
	},
	{name: "node frozen", strike: nodeFrozen, lasts: 3 * time.Second, freezesNodes: true},
	{
		name: "nodes and redis killed", strike: allKilled, times: 3,
		loses: true, killsNodes: true,
	},
	{
		name: "torn journal", strike: tornJournal, lasts: 1500 * time.Millisecond,
		killsNodes: true, pends: true,
	},
	{
		name: "cloned journal", strike: clonedJournal, lasts: 1500 * time.Millisecond,
		killsNodes: true, clones: true, pends: true,
	},
	{name: "disk full", strike: fullDisk, lasts: time.Second},
	{name: "disk full in an outage", strike: fullDiskInOutage, lasts: time.Second, pends: true},
	{
		name: "killed with a full disk", strike: killedWithFullDisk, lasts: 500 * time.Millisecond,
		killsNodes: true, pends: true,
	},
	{name: "fsync error", strike: fsyncError, lasts: time.Second},
	{
		name: "fsync error in an outage", strike: fsyncErrorInOutage, lasts: 1500 * time.Millisecond,
		killsNodes: true, pends: true,
	},
}

func nodeKilled(r *run) {
	r.nodes[0].kill()
	r.outage()
	r.nodes[0].start()
}

// nodeKilledInOutage kills a node that has pending events, and starts it before
// Redis is back.
func nodeKilledInOutage(r *run) {
	r.frozen(func() {
		r.outage()
		r.nodes[0].kill()
		r.nodes[0].start()
		r.more(20)
	})
}

func nodeRestartedInOutage(r *run) {
	r.frozen(func() {
		r.outage()
		r.nodes[0].close()
		r.nodes[0].start()
		r.more(20)
	})
}

func nodeFrozen(r *run) {
	r.nodes[0].freeze()
	r.outage()
	r.nodes[0].thaw()
}

// allKilled kills everything at once, at random moments, several times; nothing but
// the journals is left.
func allKilled(r *run) {
	a := r.actor("killer", r.calm)
	for range r.fault.times {
		a.pause(0, 300*time.Millisecond)
		killAll(r)
	}
}

func killAll(r *run) {
	r.redis.Kill()
	for _, n := range r.nodes {
		n.kill()
	}
	r.redis.Restart()
	for _, n := range r.nodes {
		n.start()
	}
}

// tornJournal leaves behind what a crash of the machine may: a beginning of what
// was about to be written.
func tornJournal(r *run) { r.frozen(func() { tearJournal(r) }) }

func tearJournal(r *run) {
	r.outage()
	n := r.nodes[0]
	n.kill()
	a := r.actor("scribbler", r.calm)
	garbage := make([]byte, 1+a.rand.IntN(5000))
	for i := range garbage {
		garbage[i] = byte(a.rand.Uint32())
	}
	if err := appendTo(n.config.Dir, garbage); err != nil {
		r.t.Error(err)
	}
	n.start()
}

// appendTo writes behind the end of every file in a directory.
func appendTo(dir string, garbage []byte) error {
	names, err := files(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		if _, err := file.Write(garbage); err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
}

// clonedJournal starts a third node on a copy of the directory of one that had
// something pending; both publish from then on.
func clonedJournal(r *run) { r.frozen(func() { cloneJournal(r) }) }

func cloneJournal(r *run) {
	r.outage()
	n := r.nodes[0]
	n.kill()
	clone := r.nodes[nodeCount]
	if err := os.CopyFS(clone.config.Dir, os.DirFS(n.config.Dir)); err != nil {
		r.t.Error(err)
		return
	}
	clone.start()
	n.start()
	for i, log := range sessions {
		w := writer{r.actor(fmt.Sprint("c", i), r.calm), log, nodeCount, false}
		r.working.Go(w.write)
	}
	r.more(20)
}

func fullDisk(r *run) {
	r.nodes[0].must(r.ctx, request{Do: DoDisk, Name: diskFull})
	r.during(journalFull, r.outage, 0)
	r.nodes[0].must(r.ctx, request{Do: DoDisk, Name: diskHeal})
}

func fullDiskInOutage(r *run) {
	r.frozen(func() {
		r.outage()
		fullDisk(r)
	})
}

// killedWithFullDisk kills a node whose disk has no room while nobody else has what it
// was given: whatever it acknowledges after that is lost.
func killedWithFullDisk(r *run) {
	r.frozen(func() {
		r.outage()
		r.nodes[0].must(r.ctx, request{Do: DoDisk, Name: diskFull})
		r.during(journalFull, r.outage, 0)
		r.nodes[0].kill()
		r.nodes[0].start()
		r.more(20)
	})
}

// fsyncError has the journal's next fsync fail, once: it must open the file anew.
func fsyncError(r *run) {
	r.nodes[0].must(r.ctx, request{Do: DoDisk, Name: diskFsync})
	r.outage()
}

// fsyncErrorInOutage kills a node whose disk takes nothing any more while nobody
// else has what it was given: whatever it acknowledges after that is lost.
func fsyncErrorInOutage(r *run) {
	r.frozen(func() {
		r.outage()
		r.nodes[0].must(r.ctx, request{Do: DoDisk, Name: diskFsync})
		a := r.actor("killer", r.calm)
		a.pause(0, 100*time.Millisecond)
		r.nodes[0].kill()
		r.nodes[0].start()
		r.more(20)
	})
}
