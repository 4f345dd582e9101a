package watch

import (
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkScenario is for -benchtime=1x: each run is one scenario.
func BenchmarkScenario(b *testing.B) {
	for _, s := range scenarios {
		for _, subject := range subjects {
			b.Run(s.name+"/"+subject.name, func(b *testing.B) {
				command := subject.command(b)
				for b.Loop() {
					expected, missing, invented := s.play(b, command)
					b.ReportMetric(float64(expected), "expected")
					b.ReportMetric(float64(missing), "missing")
					b.ReportMetric(float64(invented), "invented")
				}
			})
		}
	}
}

// debounce is that of all subjects.
const debounce = 300 * time.Millisecond

// The changes whose delay is measured: so many files, one after the other.
const (
	changes = 500
	pace    = 20 * time.Millisecond
)

// BenchmarkDelay is for -benchtime=1x.
func BenchmarkDelay(b *testing.B) {
	for _, subject := range subjects {
		b.Run(subject.name, func(b *testing.B) {
			command := subject.command(b)
			for b.Loop() {
				delays := delays(b, command)
				slices.Sort(delays)
				b.ReportMetric(float64(changes-len(delays)), "missing")
				b.ReportMetric(delays[len(delays)/2], "p50-ms")
				b.ReportMetric(delays[len(delays)*99/100], "p99-ms")
			}
		})
	}
}

// delays are from each change until its event leaves, in ms without the debounce.
func delays(tb testing.TB, command []string) (delays []float64) {
	tb.Helper()
	root := tb.TempDir()
	fill(tb, root, changes, 50)
	p := start(tb, command, root)
	changed := make(map[string]time.Time)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for i := range changes {
		<-tick.C
		file := filepath.Join("d0000", "e"+number(i/50), "f"+number(i%50))
		write(tb, filepath.Join(root, file), "longer than it was")
		changed[file] = time.Now()
	}
	for _, l := range p.settle() {
		at, ok := changed[l.Path]
		if l.Kind != "modified" || !ok {
			continue
		}
		delete(changed, l.Path) // the first counts
		delays = append(delays, float64((time.Unix(0, l.At).Sub(at)-debounce).Microseconds())/1e3)
	}
	p.stop()
	if len(delays) == 0 {
		tb.Fatal("no event came")
	}
	return delays
}

// The tree whose cost is measured.
const (
	treeFiles = 49_000
	perDir    = 50 // and so 980 directories, and 98 above them
	entries   = treeFiles + 980 + 98
	idle      = 20 * time.Second
)

// BenchmarkTree is for -benchtime=1x.
func BenchmarkTree(b *testing.B) {
	root, empty := b.TempDir(), b.TempDir()
	fill(b, root, treeFiles, perDir)
	if n := len(snapshot(b, root)); n != entries {
		b.Fatalf("%d entries", n)
	}
	for _, subject := range subjects {
		b.Run(subject.name, func(b *testing.B) {
			command := subject.command(b)
			for b.Loop() {
				none := start(b, command, empty)
				base := none.resident()
				none.stop()
				p := start(b, command, root)
				p.settle()
				before := p.cpu()
				<-time.After(idle)
				b.ReportMetric(float64(p.scan.Milliseconds()), "scan-ms")
				b.ReportMetric(float64(before.Milliseconds()), "cpu-ms")
				b.ReportMetric(float64((p.cpu() - before).Milliseconds()), "idle-cpu-ms")
				b.ReportMetric(p.resident()-base, "resident-B")
				if held := p.stop(); held.Entries > 0 {
					b.ReportMetric(float64(held.Heap)/float64(held.Entries), "heap-B/entry")
				}
			}
		})
	}
}
