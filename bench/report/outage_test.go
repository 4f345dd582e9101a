package main

import (
	"strings"
	"testing"
	"time"
)

func hubsFigures(t *testing.T) figures {
	t.Helper()
	f := make(figures)
	for _, run := range hubsRuns {
		round(t, f, "Benchmark"+run.name+"-2  1  26582532316 ns/op  20508 acked  13004 back-ms  2 behind-ms  20508 due  0 errors  257 hang-ms  0 lost  399 recovered-ms  3001 struck-ms  0 twice  0 undelivered  0 unsent")
	}
	for unit, value := range map[string]float64{"errors": 9800, "unsent": 120, "hang-ms": 4590} {
		f["Outage/frozen/centrifuge"][unit] = []float64{value}
	}
	return f
}

func TestHubsSection(t *testing.T) {
	got := hubsSection(hubsFigures(t), "2 cores")
	wantLine(t, got, "in one run, on 2 cores, everything")
	wantLine(t, got, "|  | Lifeline, killed | centrifuge, killed | ratio | Lifeline, frozen | centrifuge, frozen | ratio |\n")
	wantLine(t, got, "| refused | 0 | 0 | – | 0 | 9,800 | 0.00 |\n")
	wantLine(t, got, "| longest answer | 257 ms | 257 ms | 1.00 | 257 ms | 4,590 ms | 0.06 |")
	wantLine(t, got, "recovery within 0.4 s: met.\n")
}

// TestHubsSectionOfRounds: events of all rounds, the longest answer, and both the median
// and the longest recovery.
func TestHubsSectionOfRounds(t *testing.T) {
	f := hubsFigures(t)
	f["Outage/killed/ours"]["due"] = []float64{1000, 2000, 4000}
	f["Outage/killed/ours"]["hang-ms"] = []float64{10, 30, 20}
	f["Outage/killed/ours"]["recovered-ms"] = []float64{390, 500, 300}
	got := hubsSection(f, "2 cores")
	wantLine(t, got, "| events due | 7,000 |")
	wantLine(t, got, "| longest answer | 30 ms |")
	wantLine(t, got, "| recovery, median | 390 ms |")
	wantLine(t, got, "| recovery, longest | 500 ms |")
	wantLine(t, got, "recovery within 0.4 s: met.\n")
}

func TestHubsSectionTellsWhatIsNotMet(t *testing.T) {
	for unit, value := range map[string]float64{"errors": 1, "lost": 1, "undelivered": 1, "twice": 1, "hang-ms": 501, "recovered-ms": 401} {
		f := hubsFigures(t)
		f["Outage/frozen/ours"][unit] = []float64{value}
		wantLine(t, hubsSection(f, "2 cores"), "recovery within 0.4 s: not all met in this run.\n")
		f = hubsFigures(t)
		f["Outage/frozen/centrifuge"][unit] = []float64{value}
		wantLine(t, hubsSection(f, "2 cores"), "recovery within 0.4 s: met.\n")
	}
}

// TestHubsSectionWithoutRecovery: what was not measured is not met.
func TestHubsSectionWithoutRecovery(t *testing.T) {
	f := hubsFigures(t)
	delete(f["Outage/frozen/ours"], "recovered-ms")
	wantLine(t, hubsSection(f, "2 cores"), "recovery within 0.4 s: not all met in this run.\n")
}

// TestHubsPlot has one sample a second; centrifuge acknowledges nothing in the third.
func TestHubsPlot(t *testing.T) {
	seen := make(map[string][]sample)
	for _, run := range hubsRuns {
		for i := range 4 {
			s := sample{At: time.Duration(i+1) * time.Second, Acked: 100, Longest: 5 * time.Millisecond}
			if i == 2 && strings.HasSuffix(run.name, "centrifuge") {
				s.Acked, s.Longest = 0, 40*time.Millisecond
			}
			seen[run.name] = append(seen[run.name], s)
		}
	}
	plot := hubsPlot(hubsFigures(t), seen)
	wantXML(t, plot)
	if n := strings.Count(plot, "<polyline"); n != 8 {
		t.Errorf("%d lines, want 2 in each of 4 panels:\n%s", n, plot)
	}
	wantLine(t, plot, "Redis frozen: longest answer, ms")
	wantLine(t, plot, `<polyline class="own line" points="235.0,272.8 400.0,272.8 565.0,272.8 730.0,272.8"/>`)
	wantLine(t, plot, `<polyline class="peer line" points="235.0,272.8 400.0,272.8 565.0,194.0 730.0,272.8"/>`)
}
