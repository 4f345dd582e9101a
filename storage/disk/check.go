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
	// maxExact bounds stamps and ranks either way.
	maxExact = 1 << 53
)

var (
	errNameless = errors.New("a name or id is missing")
	errRange    = errors.New("a stamp or rank is out of range")
	errTooLong  = errors.New("it is too long")
)

// check refuses what can never be stored, whatever the file holds.
func check(op storage.Op) error {
	var err error
	switch op := op.(type) {
	case *storage.Append:
		err = errors.Join(named(op.Log, op.ID), link(op.Link))
	case *storage.Put:
		err = checkPut(op)
	case *storage.Del:
		err = errors.Join(named(op.Collection, op.ID), stamp(op.Stamp))
	case *storage.Push:
		err = errors.Join(named(op.Queue, op.ID), link(op.Link))
	case *storage.Add:
		err = checkAdd(op)
	case *storage.Drop:
		err = named(op.Scope)
	default:
		return fmt.Errorf("apply %T: %w", op, storage.ErrUnsupported)
	}
	if err == nil && size(op) > maxData {
		err = errTooLong
	}
	if err != nil {
		return fmt.Errorf("apply %T: %w: %w", op, storage.ErrPoison, err)
	}
	return nil
}

func checkPut(op *storage.Put) error {
	err := errors.Join(named(op.Collection, op.ID), stamp(op.Stamp), rank(op.Rank))
	for name, value := range op.Indexes {
		err = errors.Join(err, named(name), fits(op.Collection, op.ID, name, value))
	}
	if _, ok := op.Indexes[op.Within]; op.Within != "" && !ok {
		err = errors.Join(err, fmt.Errorf("it has no value in %q, within which it is bounded", op.Within))
	}
	return err
}

func checkAdd(op *storage.Add) error {
	err := errors.Join(named(op.Collection, op.Member), fits(op.Collection, op.Scope, op.Member), link(op.Link))
	for _, fields := range []map[string]int64{op.Deltas, op.Low, op.High} {
		for name := range fields {
			err = errors.Join(err, named(name))
		}
	}
	if op.IfExists && op.Scope != "" {
		err = errors.Join(err, errors.New("IfExists is for the scope \"\" only"))
	}
	if op.MaxMembers > 0 && op.RankBy == "" {
		err = errors.Join(err, errors.New("MaxMembers needs RankBy"))
	}
	return err
}

func named(names ...string) error {
	for _, name := range names {
		if name == "" {
			return errNameless
		}
	}
	return fits(names...)
}

func fits(names ...string) error {
	n := 0
	for _, name := range names {
		n += len(name)
	}
	if n > maxNames {
		return fmt.Errorf("%w: %d bytes of names", errTooLong, n)
	}
	return nil
}

func link(l storage.Link) error {
	if l.Producer != 0 && l.Number == 0 {
		return errors.New("number 0 is in no chain")
	}
	return nil
}

func stamp(s storage.Stamp) error {
	if s.Micros < 0 || s.Micros > maxExact {
		return errRange
	}
	return nil
}

func rank(r int64) error {
	if r < -maxExact || r > maxExact {
		return errRange
	}
	return nil
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
