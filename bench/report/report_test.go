package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// round is what one round of benchmarks prints.
func round(t *testing.T, f figures, lines ...string) string {
	t.Helper()
	cpu, err := f.add([]byte(strings.Join(lines, "\n") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return cpu
}

// measured are three rounds: the machine is busy in the second.
func measured(t *testing.T) figures {
	t.Helper()
	f := make(figures)
	for _, busy := range []string{"", "0", ""} {
		round(t, f,
			"BenchmarkCost/success/bare-2  100  2"+busy+" ns/op  0 B/op  0 allocs/op",
			"BenchmarkCost/success/loads-2  100  3"+busy+" ns/op  0 B/op  0 allocs/op",
			"BenchmarkCost/success/lifeline-2  100  8"+busy+" ns/op  0 B/op  0 allocs/op",
			"BenchmarkCost/success/failsafe-go-2  100  302"+busy+" ns/op  384 B/op  14 allocs/op",
			"BenchmarkCost/two-step/lifeline-2  100  9"+busy+" ns/op  0 B/op  0 allocs/op",
			"BenchmarkCost/open/lifeline-2  100  4"+busy+" ns/op  0 B/op  0 allocs/op",
			"BenchmarkCost/open/mercari-2  100  6"+busy+" ns/op  0 B/op  1 allocs/op",
			"BenchmarkMemory/plain/lifeline-2  100  320.2 B/breaker  0 goroutines/breaker",
			"BenchmarkMemory/rate/mercari-2  100  500 B/breaker  1.001 goroutines/breaker")
	}
	return f
}

func wantLine(t *testing.T, text, line string) {
	t.Helper()
	if !strings.Contains(text, line) {
		t.Errorf("it lacks %q:\n%s", line, text)
	}
}

func TestCostSection(t *testing.T) {
	got := costSection(measured(t), "2 cores")
	wantLine(t, got, "| closed, success | ≤ 10 | +6.0 | – | +300 (×50), 14 allocations | – | – |\n")
	wantLine(t, got, "| closed, successes counted | ≤ 14 | – | always | always | always | – |\n")
	wantLine(t, got, "| open, rejection | ≤ 8 | 4.0 | – | – | 6.0 (×1.5), 1 allocation | – |\n")
	wantLine(t, got, "| bytes per breaker | ≤ 320 | 320 |")
	wantLine(t, got, "| 500 and 1 goroutine |")
	wantLine(t, got, "on\n2 cores. A bare call takes 2.0 ns, and two atomic loads\naround it add 1.0 ns.")
	wantLine(t, got, "Not every target is met: closed, admission and result apart takes 7.0 of 5 ns.\n")
}

func TestCostSectionWithAllTargetsMet(t *testing.T) {
	f := measured(t)
	f["Cost/two-step/lifeline"] = f["Cost/success/lifeline"]
	f["Cost/success/lifeline"] = map[string][]float64{"ns/op": {4, 40, 4}}
	f["Cost/two-step/lifeline"] = map[string][]float64{"ns/op": {7, 70, 7}}
	wantLine(t, costSection(f, "2 cores"), "Every target is met.")
}

func TestPeersSection(t *testing.T) {
	got := peersSection(attributes([]byte(strings.Join([]string{
		"=== ATTR  TestRules/lifeline/1 verdict kept",
		"=== ATTR  TestRules/gobreaker/1 verdict broken: runtime.Goexit is not counted",
		"=== ATTR  TestRules/cep21/1 verdict n/a: it has none: at all",
		"=== ATTR  TestRules/gobreaker/2 verdict broken: it wedges",
		"--- PASS: TestRules (0.00s)",
	}, "\n"))), "some v1")
	wantLine(t, got, "| 1 | a panic or Goexit is a failure | yes | **no** | ? | ? | n/a |\n")
	wantLine(t, got, "- gobreaker\n  - 1: runtime.Goexit is not counted\n  - 2: it wedges\n- cep21\n  - 1: it has none: at all\n")
	wantLine(t, got, "some v1")
}

func TestFiguresReadTheProcessor(t *testing.T) {
	f := make(figures)
	if cpu := round(t, f, "goos: linux", "cpu: AMD EPYC 7B13", "PASS"); cpu != "AMD EPYC 7B13" || len(f) != 0 {
		t.Errorf("cpu %q, figures %v", cpu, f)
	}
	for _, line := range []string{"BenchmarkX-2 100 1.2.3 ns/op", "BenchmarkX-2 100 1 ns/op 3"} {
		if _, err := f.add([]byte(line)); err == nil {
			t.Errorf("it reads %q", line)
		}
	}
}

// TestOverComparesWithinARound has a base that rises from round to round: the
// difference of the medians would be another.
func TestOverComparesWithinARound(t *testing.T) {
	f := figures{"a": {"ns/op": {11, 32, 23}}, "b": {"ns/op": {10, 30, 20}}, "c": {"ns/op": {1}}}
	if got, ok := f.over("a", "b", "ns/op"); !ok || got != 2 {
		t.Errorf("over is %v, %v", got, ok)
	}
	if _, ok := f.over("a", "c", "ns/op"); ok {
		t.Error("rounds that are missing are not noticed")
	}
	if got, _ := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median is %v", got)
	}
}

func TestSection(t *testing.T) {
	page := "a\n<!-- x -->\nold\n<!-- /x -->\nb\n"
	got, err := section(page, "x", "new\n\n")
	if want := "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n"; err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	for _, page := range []string{"", "<!-- x -->\n", "<!-- /x -->\n<!-- x -->\n", page + page} {
		if got, err := section(page, "x", "new"); err == nil {
			t.Errorf("%q became %q", page, got)
		}
	}
}

func wantXML(t *testing.T, plot string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(plot)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v:\n%s", err, plot)
		}
	}
}

func TestPlotIsXML(t *testing.T) {
	plot := costPlot(measured(t))
	wantXML(t, plot)
	if n := strings.Count(plot, "<rect"); n != 5 {
		t.Errorf("%d bars, want one for each of 5 figures", n)
	}
	p := barPlot{least: 1, most: 1000}
	p.bar("a", 10, true)
	p.bar("b", 1e6, false)
	if got := p.svg("two"); !strings.Contains(got, `width="187"`) || !strings.Contains(got, `width="560"`) {
		t.Errorf("lengths are wrong:\n%s", got)
	}
}
