//go:build linux

package hub

import (
	"testing"
	"time"
)

func TestSeenTellsWhatIsMissingComesTwiceOrOutOfOrder(t *testing.T) {
	for name, c := range map[string]struct {
		numbers                 []int
		lost, twice, disordered int
	}{
		"all":          {numbers: []int{1, 2, 3, 4}},
		"none":         {lost: 4},
		"first":        {numbers: []int{2, 3, 4}, lost: 1},
		"last":         {numbers: []int{1, 2, 3}, lost: 1},
		"twice":        {numbers: []int{1, 2, 2, 3, 4}, twice: 1},
		"twice, later": {numbers: []int{1, 2, 3, 4, 2}, twice: 1},
		"out of order": {numbers: []int{1, 3, 2, 4}, disordered: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var s seen
			for _, n := range c.numbers {
				s.take(n)
			}
			if got := s.lost(4); got != c.lost || s.twice != c.twice || s.disordered != c.disordered {
				t.Errorf("lost %d, twice %d, disordered %d; want %d, %d, %d", got, s.twice, s.disordered, c.lost, c.twice, c.disordered)
			}
		})
	}
}

func TestMarksAreFoundInAMessage(t *testing.T) {
	message := append([]byte(`{"id":"`), appendMark(nil, 7, 123, 1_700_000_000_000_000_000)...)
	message = append(append(message, `"},{"id":"`...), appendMark(nil, 999, 45_678_901, 1_700_000_000_000_000_001)...)
	type mark struct {
		stream, number int
		sent           int64
	}
	var found []mark
	marks(append(message, `"}~12`...), func(stream, number int, sent int64) { found = append(found, mark{stream, number, sent}) })
	want := []mark{{7, 123, 1_700_000_000_000_000_000}, {999, 45_678_901, 1_700_000_000_000_000_001}}
	if len(found) != 2 || found[0] != want[0] || found[1] != want[1] {
		t.Errorf("found %v, want %v", found, want)
	}
}

func TestQuantilesOfDelays(t *testing.T) {
	d := new(delays)
	if d.quantile(0.5) != 0 {
		t.Error("there is a median of nothing")
	}
	for i := range 100 {
		d.add(time.Duration(i)*time.Millisecond + time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 49 * time.Millisecond, 0.99: 98 * time.Millisecond} {
		if got := d.quantile(q).Truncate(time.Millisecond); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}
