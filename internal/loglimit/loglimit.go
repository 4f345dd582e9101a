// Package loglimit keeps a log readable when what it tells of comes and goes.
package loglimit

import "time"

// Every is how often a state that lasts is told, and the time that [Limit] looks at.
const Every = time.Minute

// Burst is how many beginnings [Limit] allows within [Every].
const Burst = 3

// Limit says which of many beginnings are worth a line: the first three within a
// minute. Its zero value is ready; its callers see to its lock.
type Limit struct {
	last [Burst]time.Time // when it allowed, the next to be overwritten first
	next int
}

// Allow reports whether a beginning at now is to be told, and takes note if it is.
func (l *Limit) Allow(now time.Time) bool {
	if t := l.last[l.next]; !t.IsZero() && now.Sub(t) < Every {
		return false
	}
	l.last[l.next] = now
	l.next = (l.next + 1) % Burst
	return true
}
