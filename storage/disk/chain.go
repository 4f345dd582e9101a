package disk

import (
	"fmt"
	"slices"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// chain holds the last number of each producer of a queue or a collection, the
// most recent producer last.
type chain []storage.Link

func (s chain) number(p storage.Producer) uint64 {
	for _, l := range s {
		if l.Producer == p {
			return l.Number
		}
	}
	return 0
}

// order answers whether a number was taken already, or an error when the one
// before it was not.
func (s chain) order(l storage.Link, rebase bool) (duplicate bool, err error) {
	if l.Producer == 0 || rebase {
		return false, nil
	}
	last := s.number(l.Producer)
	if l.Number > last+1 {
		return false, fmt.Errorf("number %d after %d: %w", l.Number, last, storage.ErrGap)
	}
	return l.Number <= last, nil
}

// take answers the chain with l as its producer's last number.
func (s chain) take(l storage.Link) chain {
	if l.Producer == 0 {
		return s
	}
	s = slices.DeleteFunc(slices.Clone(s), func(other storage.Link) bool { return other.Producer == l.Producer })
	if len(s) >= sequence.MaxProducers {
		s = slices.Delete(s, 0, len(s)-sequence.MaxProducers+1)
	}
	return append(s, l)
}
