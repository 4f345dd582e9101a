package disk

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/actionflows/lifeline/storage"
)

const (
	// maxData is how many bytes an entry, a document or an item may have.
	maxData = 1 << 30
	// maxNames is how many bytes the names of one operation may have together:
	// the longest key is made of all of them, and of some numbers.
	maxNames = 32<<10 - 64
)

var errTooLong = errors.New("it is too long")

// check refuses what can never be stored, whatever the file holds.
func check(op storage.Op) error {
	if err := storage.Check(op); err != nil {
		return fmt.Errorf("write to disk: %w", err)
	}
	if size(op) > maxData || longest(op) > maxNames {
		return fmt.Errorf("write %T to disk: %w: %w", op, storage.ErrPoison, errTooLong)
	}
	return nil
}

// longest is how many bytes the names in the longest key of an operation have.
func longest(op storage.Op) (n int) {
	switch op := op.(type) {
	case *storage.Append:
		return max(len(op.Log), len(op.ID))
	case *storage.Put:
		for name, value := range op.Indexes {
			n = max(n, len(name)+len(value))
		}
		return n + len(op.Collection) + len(op.ID)
	case *storage.Del:
		return len(op.Collection) + len(op.ID)
	case *storage.Push:
		return max(len(op.Queue), len(op.ID))
	case *storage.Add:
		return max(len(op.Collection), len(op.Scope)+len(op.Member))
	case *storage.Drop:
		return len(op.Scope)
	}
	return 0
}

// size is how many bytes of data an operation brings.
func size(op storage.Op) (n int) {
	switch op := op.(type) {
	case *storage.Append:
		return len(op.Data)
	case *storage.Put:
		n = len(op.Body)
		for name, value := range op.Indexes {
			n += len(name) + len(value)
		}
	case *storage.Push:
		return len(op.Data)
	case *storage.Add:
		for _, fields := range []map[string]int64{op.Deltas, op.Low, op.High} {
			for name := range fields {
				n += len(name) + 8
			}
		}
	}
	return n
}

// deadline is when something ends that lives for d from now, in µs; 0: never.
func deadline(now time.Time, d time.Duration) int64 {
	if d == 0 {
		return 0
	}
	// What would end after all that can be written lives for ever.
	if end := now.UnixMicro() + d.Microseconds(); end < math.MaxInt64/2 {
		return max(end, 1)
	}
	return 0
}

// over reports whether a deadline has passed.
func over(end int64, now time.Time) bool { return end != 0 && end <= now.UnixMicro() }
