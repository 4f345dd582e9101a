package durations

import (
	"math"
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{-time.Second, 0, bounds[0], bounds[0] + 1, time.Second, time.Hour} {
		h.Observe(d)
	}
	sum := Sum{}.Add(&h).Add(&h)
	want := map[time.Duration]uint64{bounds[0]: 6, bounds[1]: 8, bounds[len(bounds)-1]: 10}
	for bound, n := range want {
		if sum.Buckets[bound.Seconds()] != n {
			t.Errorf("up to %v: %d, want %d", bound, sum.Buckets[bound.Seconds()], n)
		}
	}
	if sum.Count != 12 || sum.Sum < 7202 || sum.Sum > 7203 {
		t.Errorf("%d, %v s", sum.Count, sum.Sum)
	}
}

func TestQuantile(t *testing.T) {
	var h Histogram
	h.Observe(time.Hour) // before
	before := Sum{}.Add(&h)
	if _, ok := before.Quantile(0.5, before); ok {
		t.Error("of nothing")
	}
	for range 98 {
		h.Observe(3 * time.Millisecond) // of the bucket from 2.5 to 5
	}
	h.Observe(time.Minute)
	h.Observe(time.Minute)
	now := Sum{}.Add(&h)
	for q, want := range map[float64]float64{0.49: 0.00375, 0.98: 0.005, 0.99: 10} {
		if got, ok := now.Quantile(q, before); !ok || math.Abs(got-want) > 1e-9 {
			t.Errorf("%v: %v s, want %v", q, got, want)
		}
	}
}
