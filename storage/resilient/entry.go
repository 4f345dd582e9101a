package resilient

import (
	"time"

	"github.com/actionflows/lifeline/storage"
)

// entryOverhead is what an entry costs beside its data and id, in bytes: itself,
// its place in the maps and lists, its channel.
const entryOverhead = 512

// entry is one operation that the journal holds.
type entry struct {
	chain *chain
	seq   uint64 // its place in the journal
	// op is the operation as it was accepted; nil: it is to be read from the file.
	op    storage.Op
	id    string        // see idOf
	link  storage.Link  // its place in its producer's chain; zero: in none
	epoch storage.Epoch // under which an append was accepted or stored last
	size  int64         // bytes, with overhead
	at    time.Time     // when it was accepted, by this node's clock

	in         *list // pending, aside or shipped; nil: dropped or discarded
	prev, next *entry

	// result is the backend's outcome. placed says that there is one, be it of
	// an earlier life of the backend; foreign that the id stood there already as
	// another entry, so that this number has no entry of its own.
	result   storage.Result
	placed   bool
	foreign  bool
	storedAt time.Time

	noted     *notes // the record of the journal file that says where it is stored
	takenNote *notes // the one that says that it was taken

	doc     string        // the document that it writes; "": none
	first   moment        // when it was sent for the first time
	earlier *entry        // writes the same document; it was not in the backend either
	ends    time.Time     // when what it wrote ends by itself; zero: never
	durable bool          // the journal file has it, or there is none
	hurried bool          // a caller waits for that only
	sent    bool          // it may be in the backend
	unsure  bool          // it was sent, and what became of it is unknown
	acked   bool          // a caller has been told that it is taken
	taken   bool          // the item was handed out from here
	taking  bool          // that is being noted, and may fail: not to be sent meanwhile
	err     error         // discarded, or refused
	done    chan struct{} // closed when the outcome changes; nil: nobody waits
}

// notes is a record of the journal file about entries; it is needed as long as one
// of them is.
type notes struct {
	seq  uint64
	live int
}

// replace has an entry hold on to another record, or with nil to none.
func (j *journal) replace(held **notes, by *notes) {
	old := *held
	*held = by
	if by != nil {
		by.live++
	}
	if old != nil {
		old.live--
		j.finish(old)
	}
}

// finish has a record deleted that nothing holds on to.
func (j *journal) finish(n *notes) {
	if n != nil && n.live == 0 {
		j.deletes = append(j.deletes, n.seq)
	}
}

// settled wakes whoever waits for the entry.
func (e *entry) settled() {
	if e.done != nil {
		close(e.done)
		e.done = nil
	}
}

// changes answers what the next change of the entry closes.
func (e *entry) changes() <-chan struct{} {
	if e.done == nil {
		e.done = make(chan struct{})
	}
	return e.done
}

// lasts notes when what the entry writes ends by itself; 0 is never.
func (e *entry) lasts(d time.Duration) {
	if d > 0 {
		e.ends = e.at.Add(d)
	}
}

// over reports whether that time has come.
func (e *entry) over(now time.Time) bool { return !e.ends.IsZero() && !now.Before(e.ends) }

// inBackend reports whether the entry is stored, as far as is known.
func (e *entry) inBackend() bool { return e.placed && e.in == &e.chain.owner.shipped }

// hidden reports whether the entry was refused after it was sent: nobody sees it
// unless the backend turns out to have it.
func (e *entry) hidden() bool { return e.err != nil && !e.inBackend() }

// waits reports whether the entry is to be sent.
func (e *entry) waits() bool { return e.in == &e.chain.lane.pending }

// toSend is the operation as it goes to the backend now: what was accepted, less
// the time that has passed. An operation is never changed in place, for readers
// and a slow driver may look at it.
func (e *entry) toSend(op storage.Op, now time.Time) storage.Op {
	waited := max(now.Sub(e.at), 0)
	switch op := op.(type) {
	case *storage.Append:
		a := *op
		a.Link, a.Epoch = e.link, e.epoch
		a.Floor = max(a.Floor, e.chain.floor)
		a.Rebase = e.chain.rebase == e
		return &a
	case *storage.Push:
		p := *op
		p.Link, p.Rebase, p.Taken = e.link, e.chain.rebase == e, e.taken
		if p.Remaining > 0 {
			if p.Remaining -= waited; p.Remaining <= 0 { // nobody shall have it any more
				p.Remaining, p.Taken = time.Millisecond, true
			}
		}
		if e.acked { // it is too late to refuse it
			p.MaxLen = 0
		}
		return &p
	case *storage.Add:
		a := *op
		// To rebase it once more would count it twice, should it be there.
		a.Link, a.Rebase = e.link, e.chain.rebase == e && !e.unsure
		return &a
	case *storage.Put:
		if op.TTL == 0 {
			return op
		}
		p := *op
		p.TTL = max(p.TTL-waited, time.Millisecond)
		return &p
	default:
		return op
	}
}
