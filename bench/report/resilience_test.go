package main

import (
	"strings"
	"testing"
	"time"
)

func outageFigures(t *testing.T) figures {
	t.Helper()
	f := make(figures)
	for _, run := range outageRuns {
		round(t, f, "Benchmark"+run.name+"-2  1  20617411194 ns/op  94235 acked  14753 back-ms  5000 catch-up-events/s"+
			"  246.6 catch-up-p99-ms  46.94 closed-ms  5001 degraded-events/s  57.38 degraded-p99-ms  0 disordered  30787 drain-events/s"+
			"  0 errors  4998 healthy-events/s  1.4 healthy-p99-ms  373.7 longest-ms  0 lost  193.6 opened-ms  76509 own-events/s"+
			"  53949 pending  2094 recovered-ms  4011 struck-ms")
	}
	round(t, f, "BenchmarkEntry-2  1  4347339258 ns/op  639.3 cold-B/entry  420.2 file-B/entry  1141 hot-B/entry  650 stored-B/entry")
	return f
}

func TestOutageSection(t *testing.T) {
	f := outageFigures(t)
	got := outageSection(f, "2 cores")
	wantLine(t, got, "in one run, on 2 cores, Redis on the same\n")
	wantLine(t, got, "| before: acknowledged | 5,000; 1.4 ms |")
	wantLine(t, got, "| longest acknowledgement of all | 374 ms |")
	wantLine(t, got, "| drain, events/s | 30,800 |")
	wantLine(t, got, "| errors; lost; out of order | 0; 0; 0 | 0; 0; 0 | 0; 0; 0 | 0; 0; 0 |\n")
	wantLine(t, got, "within 500 ms: met.\n")
	wantLine(t, entrySection(f), "| of memory, when only the file has its data: waiting | 639 |\n")
	wantLine(t, entrySection(f), "kept for a Redis that loses it | 650 |\n")
}

func TestOutageSectionTellsWhatIsNotMet(t *testing.T) {
	for unit, value := range map[string]float64{"errors": 1, "lost": 1, "disordered": 1, "longest-ms": 500} {
		f := outageFigures(t)
		f["Outage/frozen/full"][unit] = []float64{value}
		wantLine(t, outageSection(f, "2 cores"), "within 500 ms: not all met in this run.\n")
	}
	f := outageFigures(t)
	delete(f, "Outage/killed/full")
	wantLine(t, outageSection(f, "2 cores"), "within 500 ms: not all met in this run.\n")
}

// TestOutagePlot has one sample a second: Redis is away in the second and third.
func TestOutagePlot(t *testing.T) {
	var seen []sample
	for i, state := range []int{0, 3, 3, 1, 0} {
		seen = append(seen, sample{At: time.Duration(i+1) * time.Second, Acked: 100, Pending: 40 * i, State: state})
	}
	plot := outagePlot(seen, [2]time.Duration{time.Second, 3 * time.Second})
	wantXML(t, plot)
	if n := strings.Count(plot, "<rect"); n != 4+3 {
		t.Errorf("%d rectangles, want 4 parts of the band and 3 states:\n%s", n, plot)
	}
	wantLine(t, plot, `<rect class="open" x="202.0" y="474" width="264.0"`)
	wantLine(t, plot, `<polyline class="rate line" points="202.0,54.0 334.0,54.0 466.0,54.0 598.0,54.0 730.0,54.0"/>`)
}

func TestAxisEnd(t *testing.T) {
	for most, want := range map[float64]float64{0: 1, 1: 1, 1.5: 2, 3: 4, 5001: 6000, 53949: 60_000, 70: 80, 99: 100, 100: 100} {
		if got := axisEnd([]float64{0, most}); got != want {
			t.Errorf("for %v the axis ends at %v, want %v", most, got, want)
		}
	}
}
