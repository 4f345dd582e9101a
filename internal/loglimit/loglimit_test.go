package loglimit

import (
	"testing"
	"time"
)

func TestLimit(t *testing.T) {
	var l Limit
	begin := time.Unix(1000, 0)
	for _, c := range []struct {
		at   time.Duration
		want bool
	}{
		{0, true},
		{time.Second, true},
		{2 * time.Second, true},
		{3 * time.Second, false},
		{Every - 1, false},
		{Every, true},
		{Every, false},
		{Every + time.Second, true},
		{time.Hour, true},
		{time.Hour, true},
		{time.Hour, true},
		{time.Hour, false},
	} {
		if got := l.Allow(begin.Add(c.at)); got != c.want {
			t.Errorf("after %s: %t, want %t", c.at, got, c.want)
		}
	}
}
