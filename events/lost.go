package events

import (
	"maps"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// lost is what a topic has given and its log has not, since that began a new epoch:
// servers bring back what they have of it, and to those who were there it is not given
// again. Who comes meanwhile has not seen it, and keeps a cursor of his own until it is
// there. The zero value has lost nothing; the topic's mu guards it.
type lost struct {
	since  time.Time
	behind map[storage.Producer]uint64 // up to these numbers
}

// begin is told, with the numbers that have been given, of a new epoch.
func (l *lost) begin(given map[storage.Producer]uint64) {
	l.since, l.behind = time.Now(), maps.Clone(given)
}

// has is told that the log has a producer's events up to a number.
func (l *lost) has(p storage.Producer, number uint64) {
	if before, ok := l.behind[p]; ok && number >= before {
		delete(l.behind, p)
	}
}

// shown reports whether a subscriber has seen all of it.
func (l *lost) shown(s *subscriber) bool {
	for p, number := range l.behind {
		if !s.saw(storage.Link{Producer: p, Number: number}) {
			return false
		}
	}
	return true
}

// giveUpLost no longer waits for what has not come for so long; if it does yet, everybody
// gets it, who was there a second time.
func (t *topic) giveUpLost() {
	if len(t.lost.behind) == 0 || time.Since(t.lost.since) < t.hub.times.lost {
		return
	}
	for p, number := range t.lost.behind {
		if t.own[p] == number && !slices.ContainsFunc(t.cursor.Parts, func(l storage.Link) bool { return l.Producer == p }) {
			delete(t.own, p)
		}
	}
	t.lost.behind = nil
}
