package main

import "testing"

func hubsFigures(t *testing.T) figures {
	t.Helper()
	f := make(figures)
	for _, run := range hubsRuns {
		round(t, f, "Benchmark"+run.name+"-2  1  26582532316 ns/op  20508 acked  0 errors  257 hang-ms  0 lost  20508 posted  399 recovered-ms  0 twice  0 undelivered")
	}
	return f
}

func TestHubsSection(t *testing.T) {
	got := hubsSection(hubsFigures(t), "2 cores")
	wantLine(t, got, "in one run, on 2 cores, everything")
	wantLine(t, got, "| longest answer | 257 ms | 257 ms | 257 ms | 257 ms |")
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
