package breaker

import (
	"slices"
	"time"
)

// settleProbe counts the result of a call that was admitted while half-open, if
// it still has its slot. A transition takes all slots away.
func (b *Breaker) settleProbe(id uint64, o Outcome, err error) {
	b.mu.Lock()
	defer b.unlock()
	if !b.freeSlot(id) {
		return
	}
	w := b.load()
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

// freeSlot returns false if the slot is no longer there. The caller holds mu
// and takes the probe out of the word.
func (b *Breaker) freeSlot(id uint64) bool {
	i := slices.IndexFunc(b.slots, func(s slot) bool { return s.id == id })
	if i < 0 {
		return false
	}
	b.slots = slices.Delete(b.slots, i, i+1)
	return true
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
