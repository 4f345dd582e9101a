package sequence

import (
	"fmt"
	"slices"

	"github.com/actionflows/lifeline/storage"
)

// Chain holds the last number of each producer of a queue or a collection, the
// most recent producer last. It is replaced, never changed in place.
type Chain []storage.Link

// Number is a producer's last number, 0 if it has none.
func (c Chain) Number(p storage.Producer) uint64 {
	for _, l := range c {
		if l.Producer == p {
			return l.Number
		}
	}
	return 0
}

// Order answers whether a number was taken already, or an error when the one
// before it was not.
func (c Chain) Order(l storage.Link, rebase bool) (duplicate bool, err error) {
	if l.Producer == 0 || rebase {
		return false, nil
	}
	last := c.Number(l.Producer)
	if l.Number > last+1 {
		return false, fmt.Errorf("number %d after %d: %w", l.Number, last, storage.ErrGap)
	}
	return l.Number <= last, nil
}

// Take answers the chain with l as its producer's last number. Beyond MaxProducers
// the producer that wrote longest ago is forgotten.
func (c Chain) Take(l storage.Link) Chain {
	if l.Producer == 0 {
		return c
	}
	c = slices.DeleteFunc(slices.Clone(c), func(other storage.Link) bool { return other.Producer == l.Producer })
	if len(c) >= MaxProducers {
		c = slices.Delete(c, 0, len(c)-MaxProducers+1)
	}
	return append(c, l)
}
