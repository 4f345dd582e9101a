package events

import (
	"slices"

	"github.com/actionflows/lifeline/storage"
)

// maxGiven bounds how many events a topic knows by id. Of more in one outage, the
// oldest may come twice if they were also posted elsewhere.
const maxGiven = 1024

// given are the events that a topic's subscribers got by their number and not in their
// place, by id: while they were pending, or while nobody could read what lies before
// them. One that was posted to two servers, of which the first was cut off, comes back
// from the log as the second one's: only its id tells that it is the same. Whether a
// subscriber has it, the link under which he got it tells. The zero value is empty.
type given struct {
	links map[string]storage.Link
	ids   []string // oldest first
}

func (g *given) add(id string, l storage.Link) {
	if l.Number == 0 {
		return
	}
	if _, ok := g.links[id]; !ok {
		if len(g.ids) == maxGiven {
			delete(g.links, g.ids[0])
			g.ids = slices.Delete(g.ids, 0, 1)
		}
		g.ids = append(g.ids, id)
	}
	if g.links == nil {
		g.links = make(map[string]storage.Link)
	}
	g.links[id] = l
}

// twin is the link under which an event was pending that now comes under another,
// or the zero Link.
func (g *given) twin(id string, l storage.Link) storage.Link {
	if twin := g.links[id]; twin != l {
		return twin
	}
	return storage.Link{}
}

// forgetGiven lets go of what was pending once the log has all of it, in the places
// that all subscribers have reached. mu is held.
func (t *topic) forgetGiven() {
	if t.given.links == nil || len(t.cursor.Parts) > 0 ||
		slices.ContainsFunc(t.subs, func(s *subscriber) bool { return s.mode != modeShared }) {
		return
	}
	t.given = given{}
}
