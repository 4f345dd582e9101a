package main

import "testing"

func watchFigures(t *testing.T) figures {
	t.Helper()
	f := make(figures)
	for _, w := range watchers {
		for _, s := range watchScenarios {
			round(t, f, "BenchmarkScenario/"+s.name+"/"+w.name+"-2  1  5352947927 ns/op  800.0 expected  0 invented  0 missing")
		}
		round(t, f,
			"BenchmarkDelay/"+w.name+"-2  1  15142685948 ns/op  0 missing  16.47 p50-ms  43.10 p99-ms",
			"BenchmarkTree/"+w.name+"-2  1  15142685948 ns/op  900 cpu-ms  0 idle-cpu-ms  10485760 resident-B  400 scan-ms")
	}
	f["Tree/ours"]["heap-B/entry"] = []float64{200}
	f["Scenario/nested/plain"]["missing"] = []float64{7}
	return f
}

func TestWatchSection(t *testing.T) {
	got := watchSection(watchFigures(t), "2 cores")
	wantLine(t, got, "| `mkdir -p a/b/c` and a file in it at once, 200 times | 0, 0 | 0, 0 | 7, 0 |\n")
	wantLine(t, got, "| delay, 99th percentile | 43 ms | 43 ms | 43 ms |\n")
	wantLine(t, got, "| memory | 10 MiB | 10 MiB | 10 MiB |\n")
	wantLine(t, got, "| heap for each entry | 200 B | – | – |\n")
	wantLine(t, got, "no more than one such step when idle: met.\n")
}

func TestWatchSectionTellsWhatIsNotMet(t *testing.T) {
	for _, worse := range []struct {
		run, unit string
		value     float64
	}{
		{"Scenario/saved/ours", "missing", 1},
		{"Scenario/deleted/ours", "invented", 1},
		{"Tree/ours", "scan-ms", 1000},
		{"Tree/ours", "heap-B/entry", 251},
		{"Tree/ours", "idle-cpu-ms", 20},
	} {
		f := watchFigures(t)
		f[worse.run][worse.unit] = []float64{worse.value}
		wantLine(t, watchSection(f, "2 cores"), "no more than one such step when idle: not all met in this run.\n")
	}
	f := watchFigures(t)
	delete(f, "Scenario/again/ours")
	wantLine(t, watchSection(f, "2 cores"), "not all met in this run.\n")
}
