package resilient

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/actionflows/lifeline/storage"
)

// A reader that knows only times, cut to milliseconds, gets past what stands in one
// of them: in the mirror, in the journal and, after the outage, in the backend.
func TestTimesCutShort(t *testing.T) {
	const limit, stored, pending = 50, 200, 700
	for _, mirrored := range []bool{true, false} {
		t.Run(fmt.Sprintf("mirrored %v", mirrored), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // time stands still: one millisecond
				r := newRig(t)
				defer r.end()
				put := func(from, to int) {
					for i := from; i < to; i++ {
						r.put("e:s", fmt.Sprint(i))
					}
				}
				put(0, stored)
				if mirrored {
					r.read("e:s", storage.LogQuery{Limit: storage.MaxPage})
				}
				r.trip()
				put(stored, stored+pending)
				if got := r.readCutShort("s", limit); got != stored+pending {
					t.Errorf("%d of %d events in the outage", got, stored+pending)
				}
				r.f.set(none)
				settle()
				if got := r.readCutShort("s", limit); got != stored+pending {
					t.Errorf("%d of %d events after it", got, stored+pending)
				}
			})
		})
	}
}

// readCutShort reads a session until it does not get on any more, and answers how
// many events it has seen.
func (r *rig) readCutShort(session string, limit int) int {
	r.Helper()
	store := &storage.Store{Driver: r.Journaled}
	seen := map[string]bool{}
	for since := "1970-01-01T00:00:00.000Z"; ; {
		c, err := storage.ParseCursor(since)
		if err != nil {
			r.Fatal(err)
		}
		page, err := store.ReadEvents(r.Context(), session, storage.LogQuery{After: &c, Limit: limit})
		if err != nil {
			r.Fatal(err)
		}
		known := len(seen)
		for _, e := range page.Entries {
			seen[e.ID] = true
		}
		whole, fraction, _ := strings.Cut(page.Cursor.Timestamp(), ".")
		next := whole + "." + fraction[:3] + "Z"
		if next == since && len(seen) == known {
			return known
		}
		since = next
	}
}
