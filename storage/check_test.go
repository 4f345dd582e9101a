package storage

import (
	"errors"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	n := map[string]int64{"n": 1}
	good := []Op{
		&Append{Log: "l", ID: "a"},
		&Put{Collection: "c", ID: "a", Stamp: Stamp{Micros: 1 << 53}, Rank: -1 << 53},
		&Put{Collection: "c", ID: "a", Within: "i", Indexes: map[string]string{"i": ""}},
		&Del{Collection: "c", ID: "a"},
		&Push{Queue: "q", ID: "a", Link: Link{1, 1}},
		&Add{Collection: "c", Member: "a", Deltas: n, RankBy: "n", MaxMembers: 1, IfExists: true},
		&Drop{Scope: "l"},
	}
	for _, op := range good {
		if err := Check(op); err != nil {
			t.Errorf("%+v: %v", op, err)
		}
	}
	bad := []Op{
		nil,
		&Append{ID: "a"},
		&Append{Log: "l", ID: "a", Link: Link{Producer: 1}},
		&Put{Collection: "c"},
		&Put{Collection: "c", ID: "a", Stamp: Stamp{Micros: 1<<53 + 1}},
		&Put{Collection: "c", ID: "a", Stamp: Stamp{Micros: -1}},
		&Put{Collection: "c", ID: "a", Rank: 1<<53 + 1},
		&Put{Collection: "c", ID: "a", Rank: -1<<53 - 1},
		&Put{Collection: "c", ID: "a", Within: "i"},
		&Put{Collection: "c", ID: "a", Indexes: map[string]string{"": "x"}},
		&Del{ID: "a"},
		&Del{Collection: "c", ID: "a", Stamp: Stamp{Micros: -1}},
		&Push{ID: "a"},
		&Push{Queue: "q", ID: "a", Link: Link{Producer: 1}},
		&Add{Collection: "c", Deltas: n},
		&Add{Collection: "c", Member: "a", Low: map[string]int64{"": 1}},
		&Add{Collection: "c", Member: "a", Scope: "s", IfExists: true},
		&Add{Collection: "c", Member: "a", MaxMembers: 1},
		&Add{Collection: "c", Member: "a", Link: Link{Producer: 1}},
		&Drop{},
	}
	for _, op := range bad {
		if err := Check(op); !errors.Is(err, ErrPoison) {
			t.Errorf("%T %+v: %v", op, op, err)
		}
	}
}
