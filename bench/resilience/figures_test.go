package resilience

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// phase is what publishers saw in a part of a run.
type phase struct {
	rate    float64 // events acknowledged per second
	p99     time.Duration
	longest time.Duration
}

// figures are what a run has shown.
type figures struct {
	own, drain               float64 // events/s into Redis
	healthy, degraded, catch phase
	longest                  time.Duration // acknowledgement of all
	acked                    int
	errors, lost, disordered int
	mostPending              int
	opened                   time.Duration // from the beginning of the outage
	closed, recovered        time.Duration // from Redis back
	struck, back             time.Duration // since the run began
	samples                  []sample
}

// warmUp is the beginning that does not count, and what is left out of the degraded
// phase: until the breaker has opened.
const warmUp = 500 * time.Millisecond

func (r *recorder) figures() figures {
	f := figures{
		errors: int(r.errors.Load()), acked: int(r.acked.Load()), samples: r.samples,
		struck: r.struck, back: r.back, recovered: r.recovered - r.back,
	}
	opened, closed := r.struck, r.back
	for _, s := range r.samples {
		f.mostPending = max(f.mostPending, s.Pending)
		if s.State == open && f.opened == 0 {
			opened = s.At
			f.opened = s.At - r.struck
		}
		if s.At >= r.back && s.State > degraded {
			closed = s.At
		}
	}
	f.closed = closed - r.back
	f.healthy = r.phase(min(warmUp, r.struck/2), r.struck-100*time.Millisecond)
	f.degraded = r.phase(opened, r.back)
	f.catch = r.phase(closed, r.recovered)
	f.longest = r.phase(0, time.Hour).longest
	f.drain = r.drain(closed)
	return f
}

// phase looks at what was published from one time until another.
func (r *recorder) phase(from, to time.Duration) (p phase) {
	var took []time.Duration
	for _, acks := range r.acks {
		for _, a := range acks {
			if a.at >= from && a.at < to {
				took = append(took, a.took)
			}
		}
	}
	if len(took) == 0 {
		return p
	}
	slices.Sort(took)
	return phase{float64(len(took)) / (to - from).Seconds(), took[len(took)*99/100], took[len(took)-1]}
}

// drain is how many events Redis got per second from the time the breaker closed
// until nothing was left: what waited, and what came on top.
func (r *recorder) drain(closed time.Duration) float64 {
	stored := 0
	for _, s := range r.samples {
		switch {
		case s.At <= closed:
			stored = s.Pending
		case s.At <= r.recovered:
			stored += s.Acked
		}
	}
	return float64(stored) / (r.recovered - closed).Seconds()
}

// report has the benchmark print it all; the samples, as JSON, as an attribute.
func (f figures) report(b *testing.B) {
	b.Helper()
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
	for unit, value := range map[string]float64{
		"own-events/s": f.own, "drain-events/s": f.drain,
		"healthy-events/s": f.healthy.rate, "healthy-p99-ms": ms(f.healthy.p99),
		"degraded-events/s": f.degraded.rate, "degraded-p99-ms": ms(f.degraded.p99),
		"catch-up-events/s": f.catch.rate, "catch-up-p99-ms": ms(f.catch.p99),
		"longest-ms": ms(f.longest), "opened-ms": ms(f.opened), "closed-ms": ms(f.closed), "recovered-ms": ms(f.recovered),
		"struck-ms": ms(f.struck), "back-ms": ms(f.back),
		"acked": float64(f.acked), "pending": float64(f.mostPending),
		"errors": float64(f.errors), "lost": float64(f.lost), "disordered": float64(f.disordered),
	} {
		b.ReportMetric(value, unit)
	}
	text, err := json.Marshal(f.samples)
	if err != nil {
		b.Fatal(err)
	}
	b.Attr("samples", string(text))
}
