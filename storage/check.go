package storage

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// maxExact is the largest number that every backend counts exactly.
const maxExact = 1 << 53

// Check answers an error that wraps [ErrPoison] for an operation that no driver
// carries out: one without a name that it needs, out of the range of its numbers,
// or at odds with itself. Drivers begin with it, so that all refuse the same.
func Check(op Op) error {
	if reason := flaw(op); reason != "" {
		return fmt.Errorf("%T %s: %w", op, reason, ErrPoison)
	}
	return nil
}

func flaw(op Op) string {
	switch op := op.(type) {
	case *Append:
		return cmp.Or(nameless(op.Log, op.ID), linkFlaw(op.Link))
	case *Put:
		return cmp.Or(nameless(op.Collection, op.ID), stampFlaw(op.Stamp), putFlaw(op))
	case *Del:
		return cmp.Or(nameless(op.Collection, op.ID), stampFlaw(op.Stamp))
	case *Push:
		return cmp.Or(nameless(op.Queue, op.ID), linkFlaw(op.Link))
	case *Add:
		return cmp.Or(nameless(op.Collection, op.Member), linkFlaw(op.Link), addFlaw(op))
	case *Drop:
		return nameless(op.Scope)
	}
	return "is no operation that is known"
}

func nameless(names ...string) string {
	if slices.Contains(names, "") {
		return "needs a name"
	}
	return ""
}

func linkFlaw(l Link) string {
	if l.Producer != 0 && l.Number == 0 {
		return "has the number 0, which is in no chain"
	}
	return ""
}

func stampFlaw(s Stamp) string {
	if s.Micros < 0 || s.Micros > maxExact {
		return "has a stamp out of range"
	}
	return ""
}

func putFlaw(p *Put) string {
	if p.Rank > maxExact || p.Rank < -maxExact {
		return "has a rank out of range"
	}
	if _, ok := p.Indexes[p.Within]; p.Within != "" && !ok {
		return "has no value in the index that Within names"
	}
	return nameless(slices.Collect(maps.Keys(p.Indexes))...)
}

func addFlaw(a *Add) string {
	if a.IfExists && a.Scope != "" {
		return "has a scope, where no document can be"
	}
	if a.MaxMembers > 0 && a.RankBy == "" {
		return "bounds its scope without a field to rank by"
	}
	for _, fields := range []map[string]int64{a.Deltas, a.Low, a.High} {
		if _, ok := fields[""]; ok {
			return nameless("")
		}
	}
	return ""
}
