package redis

import (
	"cmp"
	"fmt"

	"github.com/actionflows/lifeline/storage"
)

// exact is up to where the scripts count exactly, either way.
const exact = 1 << 53

// check answers why an operation can never be carried out: an error that wraps
// storage.ErrPoison.
func check(op storage.Op) error {
	var wrong string
	switch op := op.(type) {
	case *storage.Append:
		wrong = cmp.Or(without("log", op.Log), without("id", op.ID))
	case *storage.Push:
		wrong = cmp.Or(without("queue", op.Queue), without("id", op.ID), wrongLink(op.Link),
			when(op.Remaining < 0, "its time is over"))
	case *storage.Put:
		wrong = wrongPut(op)
	case *storage.Del:
		wrong = cmp.Or(without("collection", op.Collection), without("id", op.ID), wrongStamp(op.Stamp))
	case *storage.Add:
		wrong = wrongAdd(op)
	case *storage.Drop:
		wrong = without("scope", op.Scope)
	default:
		return fmt.Errorf("apply %T: %w", op, storage.ErrUnsupported)
	}
	if wrong == "" {
		return nil
	}
	return fmt.Errorf("apply %T: %s: %w", op, wrong, storage.ErrPoison)
}

func wrongPut(p *storage.Put) string {
	if _, ok := p.Indexes[p.Within]; p.Within != "" && !ok {
		return fmt.Sprintf("no value in index %q", p.Within)
	}
	_, nameless := p.Indexes[""]
	return cmp.Or(without("collection", p.Collection), without("id", p.ID), wrongStamp(p.Stamp),
		when(nameless, "an index without a name"),
		when(p.TTL < 0, "its time is over"),
		when(p.Rank < -exact || p.Rank > exact, "rank exceeds 2^53"))
}

func wrongAdd(a *storage.Add) string {
	for _, fields := range []map[string]int64{a.Deltas, a.Low, a.High} {
		if _, nameless := fields[""]; nameless {
			return "a field without a name"
		}
	}
	return cmp.Or(without("collection", a.Collection), without("member", a.Member), wrongLink(a.Link),
		when(a.IfExists && a.Scope != "", "IfExists outside the scope \"\""),
		when(a.MaxMembers > 0 && a.RankBy == "", "MaxMembers without RankBy"))
}

func wrongStamp(s storage.Stamp) string {
	return when(s.Micros < 0 || s.Micros > exact, "stamp is not from 0 to 2^53 µs")
}

func wrongLink(l storage.Link) string {
	return when(l.Producer != 0 && (l.Number == 0 || l.Number >= exact), "number is not from 1 to 2^53")
}

func without(what, name string) string { return when(name == "", "no "+what) }

func when(wrong bool, reason string) string {
	if wrong {
		return reason
	}
	return ""
}
