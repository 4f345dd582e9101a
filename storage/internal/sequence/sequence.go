// Package sequence decides what an append to a log does: it gives the next
// position, or recognises a duplicate, a gap in a producer's chain or a log that
// is gone; and likewise what a producer's number, a stamp and an Add come to. It is
// written once for the drivers that are their own sequencer: storage/memory,
// storage/disk and those built on storage/model.
//
// It promises that the operations of one batch succeed or fail together, and
// that placing changes nothing: the caller stores what a [Batch] holds. It knows
// neither how entries are kept nor when they are trimmed, and takes no locks.
package sequence

import (
	"fmt"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// MaxProducers is how many producers' last numbers a log remembers: those that
// appended most recently.
const MaxProducers = 32

// MaxGraves is how many dropped epochs a log remembers.
const MaxGraves = 32

// State is what a driver remembers of a log besides its entries. The zero value
// is an unknown log.
type State struct {
	Epoch storage.Epoch
	Head  storage.Position // the newest entry ever taken
	// Last holds each producer's last number, the most recent producer last. It
	// is replaced, never changed in place.
	Last Chain
	// MaxAge is that of the last append; 0 is unbounded.
	MaxAge time.Duration
	// Graves are the epochs that were dropped, the oldest first. It is replaced,
	// never changed in place.
	Graves []Grave
}

// Grave is an epoch that was dropped.
type Grave struct {
	Epoch storage.Epoch
	End   int64 // µs; until then it is remembered
}

// Drop answers the state of a log after it was dropped: its positions and
// numbers go on, its epoch is dead.
func (s State) Drop(now time.Time) State {
	graves := s.graves(now.UnixMicro())
	if s.Known() {
		graves = append(graves, Grave{s.Epoch, now.Add(storage.TombstoneAge).UnixMicro()})
	}
	if len(graves) > MaxGraves {
		graves = slices.Delete(graves, 0, len(graves)-MaxGraves)
	}
	return State{Head: s.Head, Last: s.Last, Graves: graves}
}

// Forgotten reports whether nothing needs to be remembered of the log any more.
func (s State) Forgotten(now time.Time) bool {
	return !s.Known() && len(s.graves(now.UnixMicro())) == 0
}

func (s State) graves(now int64) (left []Grave) {
	for _, g := range s.Graves {
		if g.End > now {
			left = append(left, g)
		}
	}
	return left
}

func (s State) dead(e storage.Epoch, now int64) bool {
	return slices.ContainsFunc(s.Graves, func(g Grave) bool { return g.Epoch == e && g.End > now })
}

// Known reports whether the log exists.
func (s State) Known() bool { return s.Epoch != 0 }

// Numbers is Last as a map; nil when there is none.
func (s State) Numbers() map[storage.Producer]uint64 {
	if len(s.Last) == 0 {
		return nil
	}
	m := make(map[storage.Producer]uint64, len(s.Last))
	for _, l := range s.Last {
		m[l.Producer] = l.Number
	}
	return m
}

// Oldest is the lowest position, in µs, that is young enough to be answered at
// the time now.
func (s State) Oldest(now time.Time) int64 {
	if s.MaxAge <= 0 {
		return 0
	}
	return now.Add(-s.MaxAge).UnixMicro()
}

// Index finds entries that the log has taken, kept or trimmed, as far as it
// remembers them; ID, Pos and Link of the answer are set.
type Index interface {
	ByID(id string) (storage.LogEntry, bool)
	ByLink(l storage.Link) (storage.LogEntry, bool)
}

// Batch is what a number of appends to one log come to.
type Batch struct {
	State   State              // the log's state afterwards
	Entries []storage.LogEntry // to be stored: ID, Data, Pos and Link
	Results []storage.Result   // one for each append
}

// Place decides what appends to one log do, in order, at the time clock in µs.
// When one of them is refused the others are too, and Batch is only results.
func Place(s State, index Index, clock int64, appends []*storage.Append) Batch {
	b := Batch{State: s, Results: make([]storage.Result, 0, len(appends))}
	for _, a := range appends {
		r, err := b.place(index, clock, a)
		if err != nil {
			return refused(s, appends, err)
		}
		b.Results = append(b.Results, r)
	}
	return b
}

func refused(s State, appends []*storage.Append, err error) Batch {
	b := Batch{State: s, Results: make([]storage.Result, len(appends))}
	for i := range appends {
		b.Results[i] = storage.Result{Exists: s.Known(), Err: err}
	}
	return b
}

// place decides one append. The order of the questions matters: what the log has
// taken already is a duplicate whatever else has changed since, so that a retry
// always gets its first answer.
func (b *Batch) place(index Index, clock int64, a *storage.Append) (storage.Result, error) {
	if a.IfExists && !b.State.Known() {
		return storage.Result{}, nil
	}
	if a.Link.Producer != 0 && a.Link.Number == 0 {
		return storage.Result{}, fmt.Errorf("append %q: number 0 is in no chain: %w", a.ID, storage.ErrPoison)
	}
	last := b.State.Last.Number(a.Link.Producer)
	gap := a.Link.Producer != 0 && a.Link.Number > last+1
	if e, ok := b.byID(index, a.ID); ok {
		if gap && !a.Rebase {
			return storage.Result{}, gapError(a, last)
		}
		b.link(a.Link, last, gap)
		return b.duplicate(e), nil
	}
	if gap && !a.Rebase {
		return storage.Result{}, gapError(a, last)
	}
	if a.Epoch != 0 && b.State.dead(a.Epoch, clock) {
		if a.Link.Number > last {
			b.State.Last = b.State.Last.Take(a.Link)
		}
		return storage.Result{
			Link: a.Link, Exists: b.State.Known(),
			Err: fmt.Errorf("append %q of epoch %s: %w", a.ID, a.Epoch, storage.ErrGone),
		}, nil
	}
	if a.Link.Producer != 0 && a.Link.Number <= last && !a.Rebase {
		return b.duplicate(b.byLink(index, a.Link)), nil
	}
	return b.add(clock, a), nil
}

func gapError(a *storage.Append, last uint64) error {
	return fmt.Errorf("append %q: number %d after %d: %w", a.ID, a.Link.Number, last, storage.ErrGap)
}

// link notes the number of an entry whose id the log has from elsewhere: the
// chain goes on behind it. Skipping numbers is a loss, hence a new epoch.
func (b *Batch) link(l storage.Link, last uint64, gap bool) {
	if l.Producer == 0 || l.Number <= last {
		return
	}
	b.State.Last = b.State.Last.Take(l)
	if gap {
		b.State.Epoch = storage.NewEpoch()
	}
}

func (b *Batch) add(clock int64, a *storage.Append) storage.Result {
	existed := b.State.Known()
	s := &b.State
	if !existed || a.Rebase {
		s.Epoch = storage.NewEpoch()
	}
	// The sequence number goes on in a new epoch of a living log. Its older
	// entries are read under the new epoch too, and only one count over all of
	// them tells which were trimmed.
	s.Head = storage.Position{
		Micros: storage.NextMicros(clock, s.Head.Micros, a.Floor),
		Seq:    s.Head.Seq + 1,
	}
	s.Last = s.Last.Take(a.Link)
	s.MaxAge = a.MaxAge
	b.Entries = append(b.Entries, storage.LogEntry{ID: a.ID, Data: a.Data, Pos: s.Head, Link: a.Link})
	return storage.Result{
		Cursor:     storage.Cursor{Epoch: s.Epoch, Pos: s.Head},
		ReceivedAt: s.Head.Time(),
		Link:       a.Link,
		Exists:     existed,
	}
}

// duplicate answers with the first entry's place. One that is no longer
// remembered has the zero position: the cursor before everything, which claims
// nothing that its holder has not seen.
func (b *Batch) duplicate(e storage.LogEntry) storage.Result {
	r := storage.Result{
		Cursor:    storage.Cursor{Epoch: b.State.Epoch, Pos: e.Pos},
		Link:      e.Link,
		Duplicate: true,
		Exists:    true,
	}
	if e.Pos.Seq != 0 {
		r.ReceivedAt = e.Pos.Time()
	}
	return r
}

func (b *Batch) byID(index Index, id string) (storage.LogEntry, bool) {
	for _, e := range b.Entries {
		if e.ID == id {
			return e, true
		}
	}
	return index.ByID(id)
}

func (b *Batch) byLink(index Index, l storage.Link) storage.LogEntry {
	for _, e := range b.Entries {
		if e.Link == l {
			return e
		}
	}
	if e, ok := index.ByLink(l); ok {
		return e
	}
	return storage.LogEntry{Link: l}
}

// Group sorts appends by log, keeping their order within each. Places that are
// nil are left out.
func Group(appends []*storage.Append) []Grouped {
	if len(appends) == 1 && appends[0] != nil { // as most are
		return []Grouped{{Log: appends[0].Log, Appends: appends, Places: []int{0}}}
	}
	var groups []Grouped
	at := make(map[string]int, 1)
	for i, a := range appends {
		if a == nil {
			continue
		}
		g, ok := at[a.Log]
		if !ok {
			g = len(groups)
			at[a.Log] = g
			groups = append(groups, Grouped{Log: a.Log})
		}
		groups[g].Appends = append(groups[g].Appends, a)
		groups[g].Places = append(groups[g].Places, i)
	}
	return groups
}

// Grouped is the appends to one log, and the place of each in the whole.
type Grouped struct {
	Log     string
	Appends []*storage.Append
	Places  []int
}
