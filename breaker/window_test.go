package breaker

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestWindowAgainstAList compares the window with a list of all calls, of which
// those count whose tenth of the window is not over ten tenths ago.
func TestWindowAgainstAList(t *testing.T) {
	type entry struct {
		bucket int64
		bad    bool
	}
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		share, least := 0.05+0.95*random.Float64(), 1+random.IntN(30)
		w := newWindow(share, time.Second, least)
		var list []entry
		now := time.Duration(0)
		for range 300 {
			now += time.Duration(random.ExpFloat64() * float64(30*time.Millisecond))
			if random.IntN(60) == 0 {
				now += time.Duration(random.IntN(2500)) * time.Millisecond
			}
			e := entry{int64(now / (100 * time.Millisecond)), random.IntN(3) == 0}
			list = append(list, e)
			list = slices.DeleteFunc(list, func(old entry) bool { return old.bucket <= e.bucket-10 })
			bad := 0
			for _, old := range list {
				if old.bad {
					bad++
				}
			}
			want := len(list) >= least && float64(bad)/float64(len(list)) >= share
			if got := w.add(now, e.bad); got != want || w.sum != (tally{len(list), bad}) {
				t.Fatalf("at %v: too many is %v and the sum %+v; want %v, %d of %d", now, got, w.sum, want, bad, len(list))
			}
		}
	}
}

func TestWindowOfANanosecond(t *testing.T) {
	w := newWindow(1, 1, 1)
	for now := range time.Duration(5) {
		if !w.add(now*20, true) {
			t.Error("one of one bad call is not too much")
		}
	}
}
