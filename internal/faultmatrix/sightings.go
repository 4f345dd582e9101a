package faultmatrix

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// sighting is how a reader saw an event.
type sighting struct {
	visit
	// pending: it was marked so. maybe: it was, or is not known not to have been given by
	// its number, for the cursor has parts.
	pending, maybe bool
	moves          int // how often the reader had gone to another node, or life of one
	pages          []string
}

// sighting is that of an event of a page.
func (f *reader) sighting(e event, r reply) sighting {
	return sighting{
		visit: r.visit, pending: e.Pending, moves: f.moves,
		maybe: e.Pending || strings.Contains(r.Cursor, "~"),
	}
}

// again notes that an event was seen once more, as docs/protocol.md says when that may
// be. What it depends on may be known only once the event is acknowledged, see settle.
func (f *reader) again(id string, first, now sighting, full bool) {
	p := f.r.book.published(f.log, id)
	switch {
	case p == nil: // nobody has published it, says the checker
	case full && first.maybe: // the cursor has no room for another producer
	case p.twice && f.mayComeTwice(first, now):
	case f.form == Truncated, f.comesFromElsewhere(p, first, now):
		now.pages = slices.Clone(f.pages)
		f.repeated[id] = now
	default:
		f.duplicated = append(f.duplicated, id)
	}
}

// mayComeTwice: an event was posted through both nodes. Who polls or comes anew may see
// it as that of either; who stays connected only if he had it from the log when a node
// had it still to store.
func (f *reader) mayComeTwice(first, now sighting) bool {
	if f.stream != nil && first.conn == now.conn {
		return !first.pending && now.maybe
	}
	return first.maybe || now.maybe
}

// comesFromElsewhere: who comes from another node, or from an earlier life of the same
// one, where he passed an event in the log, may see it once more at the node that
// published it: as long as that has not heard from Redis that it is there, it is pending,
// and without a position nobody can tell that it lies before the cursor.
func (f *reader) comesFromElsewhere(p *published, first, now sighting) bool {
	return first.moves != now.moves && now.maybe && (now.node == p.node || p.twice)
}

// settle sees which events that were seen again should not have been, now that all is
// known of them.
func (f *reader) settle(b *book) {
	for id, now := range f.repeated {
		p := b.events[f.log][id]
		if p.pendingAt(now.visit) || f.form == Truncated && p.received > micros(now.since) {
			continue
		}
		f.duplicated = append(f.duplicated, id)
		if f.strange == nil {
			f.strange = now.pages
		}
	}
}

// pendingAt reports whether an event may have been pending at the node that took it,
// for who came to that then. A later life of it does not know what the one before was
// answered, until it has asked.
func (p *published) pendingAt(v visit) bool {
	return p.pending || p.unsure || p.acked.IsZero() || v.began.Before(p.acked) || v.life != p.life
}

// micros is the time that a reader asked for, in µs.
func micros(since string) int64 {
	t, err := time.Parse(time.RFC3339Nano, since)
	if err != nil {
		return 0
	}
	return t.UnixMicro()
}

// hear notes what a page says of the session's life, which must be true.
func (f *reader) hear(r reply) {
	if at := r.visit; at.node != f.at.node || at.life != f.at.life {
		f.moves++
	}
	f.at = r.visit
	changed := r.Epoch != "" && f.epoch != "" && r.Epoch != f.epoch
	if r.Gap || changed {
		f.seen, f.last = make(map[string]sighting), make(map[string]int)
		if !f.r.fault.loses && f.log != doomed {
			f.untold = append(f.untold, fmt.Sprintf("was told of a gap or another epoch, and nothing was lost: gap %v, epoch %s after %s", r.Gap, r.Epoch, f.epoch))
		}
	}
	if changed && !r.Gap && f.form == Canonical {
		f.untold = append(f.untold, fmt.Sprintf("was not told that epoch %s follows %s", r.Epoch, f.epoch))
	}
	if r.Epoch != "" || r.Gap { // a log that is gone has no epoch
		f.epoch = r.Epoch
	}
}
