package breaker

import (
	"slices"
	"time"
)

// settleProbe counts the result of a call that was admitted while half-open, if
// it still has its slot. A transition takes all slots away.
func (b *Breaker) settleProbe(id uint32, o Outcome, err error) {
	b.mu.Lock()
	defer b.unlock()
	s, ok := b.freeSlot(id)
	if !ok {
		return
	}
	w := b.load()
	if o == Success && b.rules.tooSlow(time.Since(s.deadline.Add(-b.cfg.ProbeTimeout))) {
		o, err = Failure, ErrSlow
	}
	switch o {
	case Success:
		b.noteSuccess()
		if w.successes()+1 < b.cfg.ProbeSuccesses {
			b.swap(w, w-oneProbe+oneSuccess)
			return
		}
		b.apply(w, change{to: closed, reason: ReasonRecovered, at: time.Now()})
	case Ignore:
		b.ignored.Add(1)
		b.swap(w, w-oneProbe)
	default:
		b.trip(w, change{
			reason: ReasonProbeFailed, at: time.Now(),
			cause: err, failures: 1, source: SourceCall,
		})
	}
}

// freeSlot takes a slot out, and returns false if it is no longer there. The
// caller holds mu and takes the probe out of the word.
func (b *Breaker) freeSlot(id uint32) (slot, bool) {
	i := slices.IndexFunc(b.slots, func(s slot) bool { return s.id == id })
	if i < 0 {
		return slot{}, false
	}
	s := b.slots[i]
	b.slots = slices.Delete(b.slots, i, i+1)
	return s, true
}

// expireSlots frees the slots of probes that have been silent for too long, and
// sets the timer to the next. The caller holds mu; w is half-open.
func (b *Breaker) expireSlots(w word, now time.Time) {
	due := 0
	for due < len(b.slots) && !now.Before(b.slots[due].deadline) {
		due++
	}
	b.slots = slices.Delete(b.slots, 0, due)
	b.swap(w, w-word(due)*oneProbe)
	if len(b.slots) > 0 {
		b.schedule(b.slots[0].deadline, now)
	}
}
