package resilient

import (
	"cmp"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// idleChains is how many targets without entries are remembered at most, for the
// number, head and floor of each.
const idleChains = 1 << 16

// hotBytes is how much of the journal's operations is kept in memory when there is
// a file to read the others from; those that are stored take half of it at most.
const hotBytes = 64 << 20

// journal holds entries by target and in the order of shipping. It has no lock:
// [Journaled].mu guards it.
type journal struct {
	maxBytes int64
	hotBytes int64
	retain   time.Duration
	durable  bool                                          // there is a file
	place    func(storage.Op) (partition string, lane int) // see storage.Partitioned
	lanes    []*lane

	producer storage.Producer // of targets first seen from now on
	own      map[storage.Producer]struct{}
	chains   map[target]*chain
	sweepAt  int // forget idle chains when there are so many
	clock    uint64
	ids      map[idKey]*entry
	seq      uint64 // the last place given

	careful bool // the file has not taken what it was told last

	// What the file does not have yet.
	fresh   []*entry  // accepted, in order
	notices []*notice // other records that somebody waits for
	placed  []*entry  // stored since it was last written
	deletes []uint64  // records no longer needed

	shipped list // in the backend, kept for refilling
	asides  int  // chains that are set aside

	bytes        int64 // of all entries
	pendingBytes int64 // of those that are not in the backend
	hot          int64 // of those whose operation is in memory
	waiting      int   // entries not in the backend that were acknowledged

	recovered uint64 // acknowledged as pending and stored since
	refilled  uint64 // stored again
	discarded uint64 // the log was deleted
}

type idKey struct {
	target
	id string
}

// notice is something else that the file is to be told, and who waits for it.
type notice struct {
	taken []*entry   // items that were handed out; none: only that deletions are done
	notes *notes     // the record that says so
	done  chan error // takes one answer
}

func newJournal(cfg *JournaledConfig, place func(storage.Op) (string, int), lanes []*lane) *journal {
	j := &journal{
		maxBytes: cfg.MaxBytes, hotBytes: hotBytes, retain: cfg.Retain, durable: cfg.Dir != "", place: place, lanes: lanes,
		own:    map[storage.Producer]struct{}{},
		chains: make(map[target]*chain), sweepAt: idleChains,
		ids: make(map[idKey]*entry),
	}
	j.newProducer()
	return j
}

func (j *journal) newProducer() {
	j.producer = storage.NewProducer()
	j.own[j.producer] = struct{}{}
}

// chain is the target's chain, made if there is none.
func (j *journal) chain(t target) *chain {
	c := j.chains[t]
	if c == nil {
		if len(j.chains) >= j.sweepAt {
			j.sweep()
		}
		c = j.detached(t)
		j.chains[t] = c
	}
	j.clock++
	c.used = j.clock
	return c
}

// detached is a chain that the journal does not remember.
func (j *journal) detached(t target) *chain {
	partition, lane := j.place(t.probeOf())
	return &chain{target: t, owner: j, lane: j.lanes[lane], partition: partition, producer: j.producer}
}

// sweep forgets the half of the idle chains that was not used for longest. Their
// last numbers are forgotten with them, so targets first seen from now on are in
// the chain of a new producer: a number is never given twice.
func (j *journal) sweep() {
	var idle []*chain
	for _, c := range j.chains {
		if len(c.entries) == 0 && !c.auditing && !c.aside {
			idle = append(idle, c)
		}
	}
	slices.SortFunc(idle, func(a, b *chain) int { return cmp.Compare(a.used, b.used) })
	for _, c := range idle[:len(idle)/2] {
		delete(j.chains, c.target)
	}
	j.sweepAt = max(idleChains, len(j.chains)+idleChains/2)
	j.newProducer()
}

// maySend reports whether an entry may go to the backend: while it is on its way to
// the file, but not when the file has failed to take what it was told last. One that
// was sent and then refused is sent until its fate is known.
func (j *journal) maySend(e *entry) bool {
	return !e.taking && (e.durable || e.err != nil || !j.careful)
}

// add numbers op and queues it for the backend and for the file. The caller has
// seen to it that there is room.
func (j *journal) add(op storage.Op, now time.Time) *entry {
	c := j.chain(targetOf(op))
	j.seq++
	e := &entry{chain: c, seq: j.seq, op: op, id: idOf(op), size: opSize(op), at: now, done: make(chan struct{})}
	if a, ok := op.(*storage.Append); ok {
		e.epoch = cmp.Or(a.Epoch, c.head.Epoch)
	}
	if linked(op) {
		c.last++
		e.link = storage.Link{Producer: c.producer, Number: c.last}
	}
	j.hold(e)
	if e.durable = !j.durable; j.durable {
		j.fresh = append(j.fresh, e)
	}
	c.lane.enqueue(c)
	c.lane.hurry(c)
	j.drop(now)
	return e
}

// hold puts an entry, which is not in the backend, behind the others of its chain.
func (j *journal) hold(e *entry) {
	c := e.chain
	switch op := e.op.(type) {
	case *storage.Put:
		e.doc = op.ID
		e.lasts(op.TTL)
	case *storage.Del:
		e.doc = op.ID
	case *storage.Push:
		e.lasts(op.Remaining)
	}
	c.entries = append(c.entries, e)
	c.writing(e)
	if e.id != "" {
		j.ids[idKey{c.target, e.id}] = e
	}
	j.bytes += e.size
	j.hot += e.size
	j.pendingBytes += e.size
	if c.aside {
		c.lane.aside.pushBack(e)
	} else {
		c.lane.pending.pushBack(e)
	}
}

// secured notes that e is in the file.
func (j *journal) secured(e *entry) {
	e.durable = true
	if j.hot > j.hotBytes || e.inBackend() && j.hot > j.hotBytes/2 {
		j.cool(e)
	}
	e.chain.lane.enqueue(e.chain)
	if e.hurried || e.placed {
		e.settled()
	}
}

// cool has the operation read from the file when it is needed.
func (j *journal) cool(e *entry) {
	if j.durable && e.durable && e.op != nil {
		e.op = nil
		j.hot -= e.size
	}
}

// confirm notes that the backend has e, which is its chain's next to ship.
func (j *journal) confirm(e *entry, r storage.Result, now time.Time) {
	c := e.chain
	e.foreign = foreign(e, r)
	if c.kind == aLog && r.Cursor.Pos.Micros == 0 { // taken long ago, its place is forgotten
		r.Cursor = c.headCursor(now).With(e.link)
		r.ReceivedAt = e.at.UTC().Truncate(time.Microsecond)
	}
	e.result, e.placed, e.storedAt, e.unsure = r, true, now, false
	j.ship(e)
	if e.acked {
		j.recovered++
	}
	if e.foreign && c.kind == aQueue { // how long its id is remembered, another item says
		j.forgetID(e)
	}
	c.poisoned = 0
	if e.link.Number > 0 {
		c.gaps = 0
	}
	if j.durable {
		j.placed = append(j.placed, e)
	}
	// Should it have to be stored again, then not into a log that was dropped since.
	e.epoch = cmp.Or(r.Cursor.Epoch, e.epoch)
	if j.hot > j.hotBytes/2 {
		j.cool(e)
	}
	if e.durable {
		e.settled()
	}
}

// ship moves e, its chain's next, to those that are in the backend.
func (j *journal) ship(e *entry) {
	c := e.chain
	j.pendingBytes -= e.size
	if e.acked {
		j.waiting--
	}
	j.shipped.pushBack(e)
	c.wrote(e)
	c.ship++
	if e.link.Number > c.storedOf(e.link.Producer) {
		c.setStored(e.link)
	}
	if c.rebase == e {
		c.rebase = nil
	}
	if !e.foreign {
		c.own = e.result.Cursor
	}
	c.saw(e.result.Cursor.Epoch, e.result.Cursor.Pos)
}

// foreign reports whether a duplicate is that of another entry, rather than of
// e itself, sent before and taken although the reply was lost. Not every driver
// knows whose the first entry is; but the positions of a chain increase.
func foreign(e *entry, r storage.Result) bool {
	if !r.Duplicate {
		return false
	}
	if !e.unsure && !e.placed || r.Link.Number != 0 && r.Link != e.link {
		return true
	}
	pos, own := r.Cursor.Pos.Micros, e.chain.own
	return pos > 0 && own.Epoch == r.Cursor.Epoch && own.Pos.Micros >= pos
}

// acknowledge notes that a caller is told that e is taken while it is pending:
// from now on readers see it.
func (j *journal) acknowledge(e *entry) {
	if !e.acked {
		e.acked = true
		j.waiting++
	}
	e.chain.visible = max(e.chain.visible, e.seq)
}

// fits reports whether pending entries of so many bytes more stay within the
// bound.
func (j *journal) fits(size int64) bool { return j.pendingBytes+size <= j.maxBytes }

// setAside stops sending a log, which cannot be written.
func (j *journal) setAside(c *chain, now time.Time) {
	if !c.aside {
		j.asides++
	}
	c.aside, c.asideAt, c.gapped = true, now, false
	for _, e := range c.unshipped() {
		c.lane.aside.pushBack(e)
		e.settled()
	}
}

// revive has a log that was set aside tried once more.
func (j *journal) revive(c *chain) {
	c.aside = false
	j.asides--
	for _, e := range c.unshipped() {
		c.lane.pending.pushBack(e)
	}
	c.lane.enqueue(c)
}
