package storage

import (
	"reflect"
	"testing"
)

// state is a log of epoch 7 with entries 10-1 … 50-5, of which those from first
// on are kept.
func state(first uint64) LogState {
	s := LogState{Epoch: 7, Head: Position{50, 5}}
	if first > 0 {
		s.First = Position{int64(first) * 10, first} //nolint:gosec // small
	}
	return s
}

func TestPlan(t *testing.T) {
	at := func(epoch Epoch, seq uint64) *Cursor {
		return &Cursor{Epoch: epoch, Pos: Position{int64(seq) * 10, seq}} //nolint:gosec // small
	}
	moment := func(micros int64) *Cursor { c := MicrosCursor(micros); return &c }
	type plan struct {
		After, Before int64
		Newest, Gap   bool
	}
	for name, tt := range map[string]struct {
		q    LogQuery
		s    LogState
		want plan
	}{
		"tail":                        {LogQuery{}, state(1), plan{-1, 0, true, false}},
		"tail of an unknown log":      {LogQuery{}, LogState{}, plan{-1, 0, true, false}},
		"after":                       {LogQuery{After: at(7, 2)}, state(1), plan{20, 0, false, false}},
		"after, without epoch":        {LogQuery{After: at(0, 2)}, state(1), plan{20, 0, false, false}},
		"after the head":              {LogQuery{After: at(7, 5)}, state(1), plan{50, 0, false, false}},
		"ahead of the head":           {LogQuery{After: at(7, 6)}, state(1), plan{-1, 0, false, true}},
		"of another epoch":            {LogQuery{After: at(8, 2)}, state(1), plan{-1, 0, false, true}},
		"of an epoch, log unknown":    {LogQuery{After: at(8, 2)}, LogState{}, plan{-1, 0, false, true}},
		"directly before the first":   {LogQuery{After: at(7, 2)}, state(3), plan{20, 0, false, false}},
		"one more is trimmed":         {LogQuery{After: at(7, 1)}, state(3), plan{10, 0, false, true}},
		"nothing is kept":             {LogQuery{After: at(7, 4)}, state(0), plan{40, 0, false, true}},
		"nothing is kept, at head":    {LogQuery{After: at(7, 5)}, state(0), plan{50, 0, false, false}},
		"moment":                      {LogQuery{After: moment(25)}, state(1), plan{25, 0, false, false}},
		"moment in the future":        {LogQuery{After: moment(99)}, state(1), plan{50, 0, false, false}},
		"moment in what is trimmed":   {LogQuery{After: moment(15)}, state(3), plan{15, 0, false, true}},
		"moment behind the first":     {LogQuery{After: moment(35)}, state(3), plan{35, 0, false, false}},
		"moment before all":           {LogQuery{After: moment(0)}, state(1), plan{0, 0, false, false}},
		"moment, log unknown":         {LogQuery{After: moment(9)}, LogState{}, plan{0, 0, false, false}},
		"before":                      {LogQuery{Before: at(7, 3)}, state(1), plan{-1, 30, true, false}},
		"before, ahead of the head":   {LogQuery{Before: at(7, 9)}, state(1), plan{-1, 90, true, false}},
		"before the beginning of all": {LogQuery{Before: moment(0)}, state(1), plan{-1, 1, true, false}},
	} {
		p := tt.q.Plan(tt.s)
		if got := (plan{p.After, p.Before, p.Newest, p.gap}); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
	for limit, want := range map[int]int{-5: DefaultPage, 0: DefaultPage, 1: 1, MaxPage: MaxPage, MaxPage + 1: MaxPage} {
		if p := (LogQuery{Limit: limit}).Plan(state(1)); p.Limit != want {
			t.Errorf("limit %d became %d", limit, p.Limit)
		}
	}
}

func entriesOf(from, to uint64) (entries []LogEntry) {
	for seq := from; seq <= to; seq++ {
		e := LogEntry{ID: "e", Pos: Position{int64(seq) * 10, seq}} //nolint:gosec // small
		if seq%2 == 0 {
			e.Link = Link{Producer: 9, Number: seq / 2} // 2: 1, 4: 2
		}
		entries = append(entries, e)
	}
	return entries
}

func TestPage(t *testing.T) {
	s := state(1)
	s.Last = map[Producer]uint64{9: 2}
	cursor := func(seq uint64, parts ...Link) Cursor {
		return Cursor{Epoch: 7, Pos: Position{int64(seq) * 10, seq}, Parts: parts} //nolint:gosec // small
	}
	part := func(n uint64) Link { return Link{Producer: 9, Number: n} }
	query := func(c Cursor) LogQuery { return LogQuery{After: &c} }
	before := cursor(3)
	for name, tt := range map[string]struct {
		q       LogQuery
		entries []LogEntry
		more    bool
		seqs    []uint64
		want    Cursor
	}{
		"to the head":             {query(cursor(2)), entriesOf(3, 5), false, []uint64{3, 4, 5}, cursor(5)},
		"with more":               {query(cursor(1)), entriesOf(2, 3), true, []uint64{2, 3}, cursor(3)},
		"nothing new":             {query(cursor(5)), nil, false, nil, cursor(5)},
		"seen is left out":        {query(cursor(1, part(1))), entriesOf(2, 5), false, []uint64{3, 4, 5}, cursor(5)},
		"part dropped on the way": {query(cursor(1, part(1))), entriesOf(2, 3), true, []uint64{3}, cursor(3)},
		"part kept on the way":    {query(cursor(1, part(2))), entriesOf(2, 3), true, []uint64{3}, cursor(3, part(2))},
		"part settled at head":    {query(cursor(4, part(2))), entriesOf(5, 5), false, []uint64{5}, cursor(5)},
		"part ahead of the log":   {query(cursor(4, part(3))), entriesOf(5, 5), false, []uint64{5}, cursor(5, part(3))},
		"tail":                    {LogQuery{}, entriesOf(4, 5), true, []uint64{4, 5}, cursor(5)},
		"before":                  {LogQuery{Before: &before}, entriesOf(1, 2), false, []uint64{1, 2}, cursor(2)},
		"nothing before":          {LogQuery{Before: &before}, nil, false, nil, Cursor{Epoch: 7, Pos: Position{29, 0}}},
	} {
		page := tt.q.Plan(s).Page(tt.entries, tt.more)
		var seqs []uint64
		for _, e := range page.Entries {
			seqs = append(seqs, e.Pos.Seq)
			if !e.Received.Equal(e.Pos.Time()) || e.Cursor.Pos != e.Pos || e.Cursor.Epoch != 7 {
				t.Errorf("%s: entry is %+v", name, e)
			}
		}
		if !reflect.DeepEqual(seqs, tt.seqs) || page.HasMore != tt.more {
			t.Errorf("%s: entries %v, more %v", name, seqs, page.HasMore)
		}
		if page.Cursor.String() != tt.want.String() || page.Cursor.IsTimestamp() {
			t.Errorf("%s: cursor %s, want %s", name, page.Cursor, tt.want)
		}
	}
	unknown := LogQuery{}.Plan(LogState{}).Page(nil, false)
	if got := unknown.Cursor; !got.IsTimestamp() || got.String() != "v1.0.0-0" || unknown.Entries == nil {
		t.Errorf("an unknown log: %+v", unknown)
	}
}

// TestReach: a reader who cuts times to a unit must get out of it.
func TestReach(t *testing.T) {
	const ms, s = 1_000, 1_000_000
	time := func(micros int64) *Cursor { c := MicrosCursor(micros); return &c }
	entry := &Cursor{Epoch: 7, Pos: Position{3 * ms, 1}}
	for name, tt := range map[string]struct {
		q    LogQuery
		want int64
	}{
		"tail":           {LogQuery{}, 0},
		"before a time":  {LogQuery{Before: time(s)}, 0},
		"an entry":       {LogQuery{After: entry}, 0},
		"microseconds":   {LogQuery{After: time(2*s + 3*ms + 1)}, 0},
		"milliseconds":   {LogQuery{After: time(2*s + 3*ms)}, 2*s + 4*ms},
		"seconds":        {LogQuery{After: time(2 * s)}, 3 * s},
		"from the start": {LogQuery{After: time(0)}, s},
	} {
		if got := tt.q.reach(); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}
