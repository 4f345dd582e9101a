// Package durations counts how long things took, for metrics. It knows nothing of
// who reads them.
package durations

import (
	"sync/atomic"
	"time"
)

// bounds are the upper ends of the classes of a histogram but for the last, which has
// none.
var bounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 10 * time.Second,
}

// Histogram counts durations by classes from 0.5 ms to 10 s. The zero value is ready;
// it is safe for concurrent use and takes no lock.
type Histogram struct {
	classes [len(bounds) + 1]atomic.Uint64
	sum     atomic.Int64 // ns
}

// Observe counts d; a negative one counts as 0.
func (h *Histogram) Observe(d time.Duration) {
	class := 0
	for class < len(bounds) && d > bounds[class] {
		class++
	}
	h.classes[class].Add(1)
	h.sum.Add(int64(max(d, 0)))
}

// Sum is what histograms have together.
type Sum struct {
	Count   uint64
	Sum     float64            // seconds
	Buckets map[float64]uint64 // upper bound in seconds → how many were not above it
}

// Add answers the sum with what h has.
func (s Sum) Add(h *Histogram) Sum {
	if s.Buckets == nil {
		s.Buckets = make(map[float64]uint64, len(bounds))
	}
	below := uint64(0)
	for class := range h.classes {
		below += h.classes[class].Load()
		if class < len(bounds) {
			s.Buckets[bounds[class].Seconds()] += below
		}
	}
	s.Count += below
	s.Sum += time.Duration(h.sum.Load()).Seconds()
	return s
}

// Quantile estimates, in seconds, what the share q of the durations were not above
// that have been added since the sum was before; false: none were. Within a class they
// are taken to be spread evenly, and above the last bound to be at it.
func (s Sum) Quantile(q float64, before Sum) (seconds float64, ok bool) {
	n := s.Count - before.Count
	if n == 0 {
		return 0, false
	}
	rank, lower, below := q*float64(n), 0.0, 0.0
	for _, upper := range bounds {
		bound := upper.Seconds()
		upTo := float64(s.Buckets[bound] - before.Buckets[bound])
		if upTo >= rank {
			return lower + (bound-lower)*(rank-below)/(upTo-below), true
		}
		lower, below = bound, upTo
	}
	return lower, true
}
