package main

import (
	"strings"
	"testing"
)

// hubFigures has ours twice as good as every peer, in all that is compared.
func hubFigures(t *testing.T) figures {
	t.Helper()
	f := make(figures)
	for _, m := range hubMeasures {
		for _, s := range servers {
			value := m.most * m.scale
			if m.least > 0 {
				value = 2 * m.least
			}
			switch {
			case s.name != "ours" && m.least > 0:
				value /= 2
			case s.name != "ours":
				value *= 2
			}
			name := m.work + "/" + s.name
			if f[name] == nil {
				f[name] = map[string][]float64{"lost": {0}, "twice": {0}, "disordered": {0}}
			}
			f[name][m.unit] = append(f[name][m.unit], value)
		}
	}
	return f
}

func TestHubSection(t *testing.T) {
	f := hubFigures(t)
	got := hubSection(f, "2 cores")
	wantLine(t, got, "in one run, on 2 cores, everything on the same machine")
	wantLine(t, got, "| – CPU s per million deliveries | 8 | 16 | 16 | 16 | 16 | 2 × | ≤ 8 ✓ |")
	wantLine(t, got, "| idle: KiB per WebSocket | 5 | 10 | 10 | 10 | 10 | 2 × | ≤ 5 ✓ |")
	wantLine(t, got, "| 1 × 1,000, one publisher at full speed: deliveries/s | 400,000 | 200,000 | 200,000 | 200,000 | 200,000 | 2 × | ≥ 200,000 ✓ |")
	wantLine(t, got, "in all rounds: Lifeline 0, centrifuge 0, Nchan 0, Node ws 0.\n")
	if strings.Contains(got, "✗") {
		t.Errorf("something is not met:\n%s", got)
	}
	limits := limitsSection(f)
	wantLine(t, limits, "| 200 % | ≥ 70 % ✓ |")
	wantLine(t, limits, "| 2 × | ≥ 5 × ✗ |")
	wantXML(t, hubPlot(f))
}

func TestHubSectionTellsWhatIsNotMet(t *testing.T) {
	f := hubFigures(t)
	f["Poll/ours"][unitCPU] = []float64{61}
	f["Spread/full/ours"][unitPosts] = []float64{19_999}
	f["FanOut/20/node"]["lost"] = []float64{2}
	delete(f, "Ingest/disk/ours")
	delete(f, "CatchUp/nchan")
	got := hubSection(f, "2 cores")
	for _, line := range []string{
		"| – CPU s per million polls | 61 | 120 | 120 | 120 | 120 | 2 × | ≤ 60 ✗ |",
		"| ≥ 20,000 ✗ |", "| ingest, durable on disk: events/s |  | 15,000", "Nchan 0, Node ws 2.\n", "| – CPU s per million events | 1 | 2 |  | 2 | 2 | 2 × | ≤ 1 ✓ |",
	} {
		wantLine(t, got, line)
	}
}

func TestIdleSection(t *testing.T) {
	f := hubFigures(t)
	f["Idle/tls/ours"] = map[string][]float64{"B/conn": {20 << 10}, "cpu-%": {1.25}}
	wantLine(t, idleSection(f), "| Lifeline, TLS | 20 | 1.2 % |")
}
