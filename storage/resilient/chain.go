package resilient

import (
	"iter"
	"slices"
	"sort"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// chain is what the journal knows of one target. Its entries are in the order in
// which they were accepted, those before ship are in the backend. Entries of an
// earlier run of this node have another producer, and come first.
type chain struct {
	target
	owner     *journal
	lane      *lane
	partition string // of the backend; "" if it tells of none

	entries []*entry
	ship    int
	writes  map[string]*entry // by document, the last one that is not in the backend

	producer storage.Producer // of entries to come
	last     uint64           // the last number given
	stored   []storage.Link   // by producer, the highest number that was ever in the backend
	own      storage.Cursor   // where the last one stands that is in the backend, foreign ones aside
	dropped  []dropped        // by producer, the last entry that the journal let go of
	visible  uint64           // entries up to this place in the journal are shown while pending
	rebase   *entry           // to be sent with Rebase; nil: none

	head  storage.Cursor // the last known head, if known
	known bool
	floor int64 // the highest position known of, µs

	queued   bool   // in lane.queue
	auditing bool   // in lane.audit
	urgent   bool   // in lane.urgent
	lost     bool   // the backend has told that it does not have all of it any more
	probed   uint64 // the place of the write that an audit has sent and had no answer to; 0: none
	gapped   bool   // to be audited before anything more is sent
	gaps     int    // ErrGap in a row
	poisoned int    // ErrPoison in a row
	aside    bool   // nothing is sent any more
	asideAt  time.Time
	used     uint64 // journal.clock when it was last used
}

// shippable reports whether the shipper has work here.
func (c *chain) shippable() bool {
	return c.ship < len(c.entries) && !c.gapped && !c.aside && c.owner.maySend(c.entries[c.ship])
}

// unshipped are the entries that are not in the backend.
func (c *chain) unshipped() []*entry { return c.entries[c.ship:] }

// writing notes that e, which writes a document, is not in the backend.
func (c *chain) writing(e *entry) {
	if e.doc == "" {
		return
	}
	last := c.writes[e.doc]
	if last != nil && last.seq > e.seq { // e was there, and is lost
		return
	}
	if c.writes == nil {
		c.writes = make(map[string]*entry)
	}
	e.earlier = last
	c.writes[e.doc] = e
}

// wrote notes that e is in the backend, or never will be.
func (c *chain) wrote(e *entry) {
	if e.doc == "" {
		return
	}
	if c.writes[e.doc] == e {
		delete(c.writes, e.doc)
		if e.earlier != nil && e.earlier.waits() {
			c.writes[e.doc] = e.earlier
		}
	}
	e.earlier = nil
}

// pending are the entries that readers see although they are not in the backend.
func (c *chain) pending() []*entry {
	end := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].seq > c.visible })
	return c.entries[c.ship:max(c.ship, end)]
}

// shown are the entries that readers may see.
func (c *chain) shown() []*entry { return c.entries[:c.ship+len(c.pending())] }

// runs divides entries of a log by their producer: a target has another one after a
// start, or once its chain was forgotten, so those of each stand side by side.
func runs(entries []*entry) iter.Seq[[]*entry] {
	return func(yield func([]*entry) bool) {
		for len(entries) > 0 {
			p := entries[0].link.Producer
			n := sort.Search(len(entries), func(i int) bool { return entries[i].link.Producer != p })
			if !yield(entries[:n]) {
				return
			}
			entries = entries[n:]
		}
	}
}

// above is the part of a run whose numbers are above n.
func above(run []*entry, n uint64) []*entry {
	return run[sort.Search(len(run), func(i int) bool { return run[i].link.Number > n }):]
}

// find answers the entry of a log that has a place in its chain; nil: there is none.
func find(entries []*entry, l storage.Link) *entry {
	for run := range runs(entries) {
		if run[0].link.Producer != l.Producer {
			continue
		}
		if rest := above(run, l.Number-1); len(rest) > 0 && rest[0].link == l {
			return rest[0]
		}
	}
	return nil
}

// storedOf is the highest number of a producer that was ever in the backend.
func (c *chain) storedOf(p storage.Producer) uint64 {
	for _, l := range c.stored {
		if l.Producer == p {
			return l.Number
		}
	}
	return 0
}

// standing is, by producer, the highest number that is in the backend as far as is known:
// what was there, and is to be stored again, is not.
func (c *chain) standing() map[storage.Producer]uint64 {
	standing := make(map[storage.Producer]uint64, len(c.stored))
	for _, l := range c.stored {
		standing[l.Producer] = l.Number
	}
	for run := range runs(c.unshipped()) {
		first := run[0].link
		standing[first.Producer] = min(standing[first.Producer], first.Number-1)
	}
	return standing
}

// setStored notes what storedOf answers; 0 forgets the producer.
func (c *chain) setStored(l storage.Link) {
	for i := range c.stored {
		if c.stored[i].Producer != l.Producer {
			continue
		}
		if l.Number == 0 {
			c.stored = append(c.stored[:i:i], c.stored[i+1:]...)
		} else {
			c.stored[i].Number = l.Number
		}
		return
	}
	if l.Producer != 0 && l.Number > 0 {
		c.stored = append(c.stored, l)
	}
}

// behind reports whether a log's state lacks entries that were stored in it.
func (c *chain) behind(last map[storage.Producer]uint64) bool {
	for _, l := range c.stored {
		if last[l.Producer] < l.Number {
			return true
		}
	}
	return false
}

// dropped is an entry of a log that the journal no longer has, and where it stands.
type dropped struct {
	storage.Link
	at storage.Cursor
}

// letGo notes the place of an entry that the journal lets go of, so that whoever
// stands behind it is known to have been given it.
func (c *chain) letGo(e *entry) {
	if c.kind != aLog || !e.placed || e.foreign || e.result.Cursor.Pos.Micros == 0 {
		return
	}
	c.dropped = slices.DeleteFunc(c.dropped, func(d dropped) bool { return d.Producer == e.link.Producer })
	c.dropped = append(c.dropped, dropped{e.link, e.result.Cursor})
	if len(c.dropped) > storage.MaxParts { // no cursor names more
		c.dropped = c.dropped[1:]
	}
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

// removeAt takes the entry at i out of the chain.
func (c *chain) removeAt(i int) {
	if i == 0 {
		c.entries[0] = nil
		c.entries = c.entries[1:]
	} else {
		c.entries = append(c.entries[:i], c.entries[i+1:]...)
	}
	if i < c.ship {
		c.ship--
	}
	if len(c.entries) == 0 {
		c.entries = nil
	}
}
