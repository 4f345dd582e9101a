package redis

import (
	"errors"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

func TestRepliesThatCannotBeRead(t *testing.T) {
	items := func(v any) error { _, err := parseItems(v); return err }
	scan := func(v any) error { _, _, err := parseScan(v); return err }
	counters := func(v any) error { _, err := parseCounters(v); return err }
	for i, tt := range []struct {
		parse func(any) error
		reply any
	}{
		{items, nil},
		{items, "x"},
		{items, []any{"a"}},
		{items, []any{"a", int64(1)}},
		{items, []any{"a", "1x"}},
		{scan, nil},
		{scan, []any{}},
		{scan, []any{"", "a"}},
		{scan, []any{"", "a", "x", "0", ""}},
		{scan, []any{"", "a", "1", "x", ""}},
		{scan, []any{"", "a", "1", "0", nil}},
		{counters, nil},
		{counters, []any{"a"}},
		{counters, []any{int64(1), []any{}}},
		{counters, []any{"a", "x"}},
		{counters, []any{"a", []any{"n"}}},
		{counters, []any{"a", []any{"n", "x"}}},
	} {
		if err := tt.parse(tt.reply); !errors.Is(err, storage.ErrPoison) && !Counts(err) {
			t.Errorf("case %d, %v: %v", i, tt.reply, err)
		}
	}
	b := &batch{about: aboutCollection, ops: []storage.Op{document("a", 1)}}
	for _, reply := range []any{nil, int64(1), "GONE", []any{}, []any{"a0", "a0"}, []any{""}, []any{"a"}, []any{"a2"}, []any{"z0"}, []any{"a0 "}, []any{int64(1)}} {
		if a := parseAnswer(&call{reply: reply}, b); !Counts(a.err) {
			t.Errorf("%v was read as %+v", reply, a)
		}
	}
}

func FuzzReplies(f *testing.F) {
	f.Add("a", "1700000000000000 data", "0123456789ab", "a0")
	f.Add("", "-1 ", "0", "x1")
	f.Add("\x00", "99999999999999999999 ", "xyz", "")
	f.Add("id", "5", "FFFFFFFFFFFF", "g01")
	f.Fuzz(func(t *testing.T, id, value, producer, outcome string) {
		sort := func(what string, err error) {
			if err != nil && !errors.Is(err, storage.ErrPoison) && !Counts(err) {
				t.Errorf("%s: error of no kind: %v", what, err)
			}
		}
		items, err := parseItems([]any{id, value})
		sort("item", err)
		if err == nil && (len(items) != 1 || items[0].ID != id) {
			t.Errorf("items are %+v", items)
		}
		next, documents, err := parseScan([]any{id, id, value, producer, value})
		sort("document", err)
		if err == nil && (next != id || len(documents) != 1 || string(documents[0].Body) != value) {
			t.Errorf("documents are %+v", documents)
		}
		counters, err := parseCounters([]any{id, []any{id, value}})
		sort("counter", err)
		if err == nil && len(counters) != 1 {
			t.Errorf("counters are %+v", counters)
		}
		if a, err := parseOutcomes([]any{outcome}, 1); err == nil {
			if _, known := kinds[a.outcomes[0].kind]; !known || len(outcome) != 2 {
				t.Errorf("%q was read as %+v", outcome, a)
			}
		}
	})
}
