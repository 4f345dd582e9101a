package resilient

import (
	"sort"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// entryOverhead is what an entry costs beside its data and id, in bytes: itself,
// its place in the maps and lists, its channel.
const entryOverhead = 512

// entry is one append that the journal holds.
type entry struct {
	chain *chain
	op    storage.Append // as it was accepted, with its Link
	size  int64          // bytes, with overhead
	at    time.Time      // when it was accepted, by this node's clock

	in         *list // pending, aside or shipped; nil: dropped or discarded
	prev, next *entry

	// result is the backend's outcome. placed says that there is one, be it of
	// an earlier life of the backend; foreign that the id stood there already as
	// another entry, so that this number has no entry of its own.
	result   storage.Result
	placed   bool
	foreign  bool
	storedAt time.Time

	unsure bool          // it was sent, and what became of it is unknown
	acked  bool          // a caller has been told that it is taken
	err    error         // discarded
	done   chan struct{} // closed when the outcome changes; nil: nobody waits
}

// settled wakes whoever waits for the entry.
func (e *entry) settled() {
	if e.done != nil {
		close(e.done)
		e.done = nil
	}
}

func (e *entry) number() uint64 { return e.op.Link.Number }

// chain is what the journal knows of one log. Its entries are in the order of
// their numbers: those before ship are in the backend, the others are not.
type chain struct {
	owner    *journal
	log      string
	producer storage.Producer
	entries  []*entry
	ship     int

	last    uint64 // the last number given
	stored  uint64 // the highest number that was ever in the backend
	visible uint64 // entries up to it are shown to readers while pending
	rebase  uint64 // the number to be sent with Rebase; 0: none

	head  storage.Cursor // the last known head, if known
	known bool
	floor int64 // the highest position known of, µs

	queued   bool // in journal.queue
	auditing bool // in journal.audit
	gapped   bool // to be audited before anything more is sent
	gaps     int  // ErrGap in a row
	poisoned int  // ErrPoison in a row
	aside    bool // nothing is sent any more
	asideAt  time.Time
	used     uint64 // journal.clock when it was last used
}

// shippable reports whether the shipper has work here.
func (c *chain) shippable() bool {
	return c.ship < len(c.entries) && !c.gapped && !c.aside
}

// at is the index of the first entry with at least this number.
func (c *chain) at(number uint64) int {
	return sort.Search(len(c.entries), func(i int) bool { return c.entries[i].number() >= number })
}

// saw notes a head and a floor from what a driver answered.
func (c *chain) saw(epoch storage.Epoch, head storage.Position) {
	if epoch == 0 || head.Micros == 0 {
		return
	}
	if !c.known || head.Micros >= c.head.Pos.Micros {
		c.head, c.known = storage.Cursor{Epoch: epoch, Pos: head}, true
	}
	c.floor = max(c.floor, head.Micros)
}

// unknown forgets the head: its epoch has ended.
func (c *chain) unknown() { c.head, c.known = storage.Cursor{}, false }

// headCursor is the last known head. Of a log that this node has never seen it
// is the present, and what this node appends from then on lies behind it.
func (c *chain) headCursor(now time.Time) storage.Cursor {
	if c.known {
		return c.head
	}
	c.floor = max(c.floor, now.UnixMicro())
	return storage.MicrosCursor(now.UnixMicro())
}

// pending are the entries that readers see although they are not in the backend.
func (c *chain) pending() []*entry {
	return c.entries[c.ship:max(c.ship, c.at(c.visible+1))]
}
