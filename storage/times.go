package storage

import (
	"cmp"
	"time"
)

// now is the time as records have it: UTC and no finer than µs, which is what
// stamps and positions have.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func milliseconds(d time.Duration) float64 { return float64(d.Milliseconds()) }

// rankOf is a time as a rank: below 2^52, which lasts until 2112, and not negative.
func rankOf(t time.Time) int64 { return min(max(t.UnixMicro(), 0), 1<<52-1) }

// date is a day in UTC, as it is written.
func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// firstTime is the first of two times that is not zero.
func firstTime(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}

// byTime orders records by time and then by id.
func byTime(a, b time.Time, aID, bID string) int {
	return cmp.Or(a.Compare(b), cmp.Compare(aID, bID))
}
