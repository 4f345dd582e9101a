package resilient

import (
	"sync"

	"github.com/actionflows/lifeline/storage"
)

// aheadStamps is how many documents are remembered whose stamp lies ahead of the
// clock. Beyond that all documents are taken to have the highest of their stamps.
const aheadStamps = 10_000

type documentKey struct{ collection, id string }

// stamps gives writes of documents their place among all writers: the time, or just
// above the highest stamp that was seen of the document where that is later. It is
// safe for concurrent use.
type stamps struct {
	mu    sync.Mutex
	ahead map[documentKey]int64 // µs, at or above the clock when it was seen
	floor int64                 // µs, of all documents
}

// next answers a stamp for a write at the time now, in µs.
func (s *stamps) next(k documentKey, now int64, p storage.Producer) storage.Stamp {
	s.mu.Lock()
	defer s.mu.Unlock()
	micros := max(now, s.floor+1, s.ahead[k]+1)
	s.note(k, micros, now)
	return storage.Stamp{Micros: micros, Producer: p}
}

// saw notes the stamp of a write or of what was read.
func (s *stamps) saw(k documentKey, stamp storage.Stamp, now int64) {
	if stamp.Micros < now {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(k, stamp.Micros, now)
}

func (s *stamps) note(k documentKey, micros, now int64) {
	if s.ahead == nil {
		s.ahead = make(map[documentKey]int64)
	}
	s.ahead[k] = max(s.ahead[k], micros)
	if len(s.ahead) <= aheadStamps {
		return
	}
	highest := int64(0)
	for other, m := range s.ahead {
		if m < now {
			delete(s.ahead, other)
		}
		highest = max(highest, m)
	}
	if len(s.ahead) > aheadStamps/2 {
		clear(s.ahead)
		s.floor = max(s.floor, highest)
	}
}
