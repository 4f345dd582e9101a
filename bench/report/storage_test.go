package main

import "testing"

func TestStorageSections(t *testing.T) {
	f := make(figures)
	for _, rate := range []string{"19000", "21000", "90000"} {
		for _, callers := range []string{"1", "64", "256"} {
			round(t, f,
				"BenchmarkAppend/redis,_journal_off/"+callers+"-2  100  5 ns/op  "+rate+" events/s  0.1 p50-ms  3 p99-ms",
				"BenchmarkAppend/journal_only/"+callers+"-2  100  5 ns/op  1"+rate+" events/s  0.2 p50-ms  2 p99-ms  7 cpu-µs/event",
				"BenchmarkAppend/disk/"+callers+"-2  100  5 ns/op  62.1 cpu-µs/event  "+rate+" events/s  2.51 p50-ms  16.5 p99-ms  9 B/op  54 allocs/op",
				"BenchmarkAppend/redis+journal/"+callers+"-2  100  5 ns/op  16 cpu-µs/event  "+rate+
					" events/s  0.15 p50-ms  4 p99-ms  34 redis-cpu-µs/event  0.031 trips/event  9 B/op  65 allocs/op")
		}
		round(t, f, "BenchmarkRead/disk-2  100  44280 ns/op  93087 B/op  228 allocs/op",
			"BenchmarkOpen/dirty-2  9  114173963 ns/op  353.3 B/event")
	}
	got := appendSection(f, "2 cores")
	wantLine(t, got, "medians of 3 rounds, on 2 cores, Redis on\n")
	wantLine(t, got, "| disk | 21,000; 2.5, 16 | 21,000; 2.5, 16 | 21,000; 2.5, 16 | 62 |  | 54 |  |\n")
	wantLine(t, got, "| Redis behind the journal | 21,000; 0.15, 4.0 |")
	wantLine(t, got, "| 16 | 34 | 65 | 0.031 |\n")
	wantLine(t, got, "| Redis, `journal off` | 21,000; 0.1, 3.0 |")
	wantLine(t, got, "| the journal alone, Redis away | 121,000; 0.2, 2.0 |")
	wantLine(t, got, "slower than with it: not all met in this run.\n")
	f["Append/redis+journal/256"]["events/s"] = []float64{36_000}
	f["Append/redis+journal/64"]["p99-ms"] = []float64{15}
	f["Append/disk/64"]["events/s"] = []float64{15_000}
	wantLine(t, appendSection(f, "2 cores"), "slower than with it: met.\n")
	f["Append/journal_only/64"]["events/s"] = []float64{20_999}
	wantLine(t, appendSection(f, "2 cores"), "slower than with it: not all met in this run.\n")
	got = readSection(f)
	wantLine(t, got, "| disk | 44 µs | 100 µs |\n")
	wantLine(t, got, "| the same after a crash, checked | 114 ms |  |\n")
}

func TestThousands(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 7: "7", 999: "999", 1234: "1,230", 22569: "22,600", 4724392: "4,720,000", 999_999: "1,000,000"} {
		if got := thousands(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}
