package storage

import "testing"

// Who goes on at the cursor of a degraded page is given what that passes, and nothing
// that he would be given again.
func TestOnward(t *testing.T) {
	e := LogEntry{Pos: Position{Micros: 5, Seq: 2}, Link: Link{Producer: 1, Number: 2}}
	reader := Cursor{Epoch: 7, Pos: Position{Micros: 1, Seq: 1}}
	pending := LogEntry{Link: e.Link, Pending: true}
	for name, c := range map[string]struct {
		entry  LogEntry
		cursor Cursor
		given  bool
	}{
		"in place":                {e, Cursor{Epoch: 7, Pos: e.Pos}, true},
		"by its part":             {e, reader.With(e.Link), true},
		"neither":                 {e, reader, false},
		"pending, by its part":    {pending, reader.With(e.Link), true},
		"pending, unaccounted":    {pending, reader, false},
		"pending, from the start": {pending, MicrosCursor(0), false},
	} {
		c.entry.Cursor = c.cursor
		page := LogPage{Entries: []LogEntry{c.entry}, Gap: true, Degraded: true}
		if on := page.Onward(); (len(on.Entries) == 1) != c.given || on.Gap || len(page.Entries) != 1 {
			t.Errorf("%s: %+v", name, on)
		}
		page.Degraded = false
		if on := page.Onward(); len(on.Entries) != 1 || !on.Gap {
			t.Errorf("%s: left out of a complete page", name)
		}
	}
}
