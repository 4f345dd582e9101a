package breaker

import (
	"time"
)

// buckets is in how many steps a window moves on.
const buckets = 10

// window counts the calls of the last so many seconds, and those of them that
// are bad. Its maker guards it against concurrent use.
type window struct {
	share float64 // of bad calls that is too much
	least int     // calls, for the share to mean anything
	width time.Duration

	sum    tally // of all buckets
	each   [buckets]tally
	newest int64 // number of the youngest bucket since time 0
}

type tally struct{ calls, bad int }

func newWindow(share float64, length time.Duration, least int) *window {
	return &window{share: share, least: least, width: max(length/buckets, 1)}
}

// add counts a call that ended at now, on a clock that never goes back, and
// reports whether too many are bad.
func (w *window) add(now time.Duration, bad bool) (tooMany bool) {
	w.moveTo(int64(now / w.width))
	t := &w.each[w.newest%buckets]
	t.calls++
	w.sum.calls++
	if bad {
		t.bad++
		w.sum.bad++
	}
	return w.sum.calls >= w.least && float64(w.sum.bad)/float64(w.sum.calls) >= w.share
}

// moveTo forgets what is too old once bucket number n is the youngest.
func (w *window) moveTo(n int64) {
	if n-w.newest >= buckets {
		w.clear()
		w.newest = n
	}
	for w.newest < n {
		w.newest++
		t := &w.each[w.newest%buckets]
		w.sum.calls -= t.calls
		w.sum.bad -= t.bad
		*t = tally{}
	}
}

// clear forgets all calls.
func (w *window) clear() {
	w.sum = tally{}
	w.each = [buckets]tally{}
}
