package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
)

// rounds is odd and each is short: what else the machine does then disturbs some
// rounds and not the median.
const (
	rounds    = 9
	roundTime = "-test.benchtime=80ms"
)

// libraries are the columns, ours first, by their names in bench/breaker.
var libraries = []string{"lifeline", "gobreaker", "failsafe-go", "mercari", "cep21"}

// reportBreaker writes the sections cost and peers of docs/breaker.md.
func reportBreaker() error {
	t, remove, err := compile("./breaker")
	if err != nil {
		return err
	}
	defer remove()
	rules, err := t.run("-test.v", "-test.run=^TestRules$", "-test.timeout=1m")
	if err != nil {
		return err
	}
	costs := make(figures)
	var cpu string
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "breaker: round %d of %d\n", round+1, rounds)
		out, err := t.run("-test.run=^$", "-test.bench=^BenchmarkCost$", "-test.benchmem", roundTime)
		if err != nil {
			return err
		}
		if cpu, err = costs.add(out); err != nil {
			return err
		}
	}
	out, err := t.run("-test.run=^$", "-test.bench=^BenchmarkMemory$", "-test.benchtime=10000x")
	if err != nil {
		return err
	}
	if _, err := costs.add(out); err != nil {
		return err
	}
	verdicts := attributes(rules)
	if want := len(ruleNames) * len(libraries); len(verdicts) != want {
		return fmt.Errorf("TestRules gave %d verdicts, want %d", len(verdicts), want)
	}
	versions, err := peers()
	if err != nil {
		return err
	}
	if err := os.WriteFile(docs+"breaker-cost.svg", []byte(costPlot(costs)), 0o644); err != nil {
		return fmt.Errorf("writing the plot: %w", err)
	}
	return rewrite(docs+"breaker.md", map[string]string{
		"cost":  costSection(costs, machine(cpu)),
		"peers": peersSection(verdicts, versions),
	})
}

// peerModules are the modules that are compared.
var peerModules = []string{
	"github.com/cep21/circuit/v4", "github.com/failsafe-go/failsafe-go",
	"github.com/mercari/go-circuitbreaker", "github.com/sony/gobreaker/v2",
}

// peers lists the modules that are compared, with their versions.
func peers() (string, error) {
	out, err := output(exec.Command("go", append([]string{
		"list", "-m", "-f",
		"- [{{.Path}}](https://pkg.go.dev/{{.Path}}) {{.Version}}",
	}, peerModules...)...))
	if err != nil {
		return "", err
	}
	return strings.Join(strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' }), "\n"), nil
}

// path is a row of the table of costs.
type path struct {
	name, title string
	bare        string  // the benchmark of the call alone; empty: nothing is called
	target      float64 // of docs: ns; 0: none
}

var paths = []path{
	{"success", "closed, success", "success", 10},
	{"failures", "closed, 1 % failures", "failures", 0},
	{"two-step", "closed, admission and result apart", "success", 5},
	{"metrics", "closed, successes counted", "success", 14},
	{"adaptive", "closed, `Adaptive`", "success", 14},
	{"rate", "closed, `Rate`", "success", 0},
	{"slow", "closed, `Slow`", "success", 0},
	{"parallel", "closed, success, all cores", "parallel", 0},
	{"open", "open, rejection", "", 8},
	{"retry", "open, rejection and when to retry", "", 0},
	{"half-open", "half-open, rejection", "", 0},
}

// words stand where a library has nothing to measure.
var words = map[string]string{
	"metrics/gobreaker":   "always",
	"metrics/failsafe-go": "always",
	"metrics/mercari":     "always",
	"half-open/mercari":   "admits all",
	"half-open/cep21":     "as open",
}

const mostBytes = 320 // the target for the size of a breaker

// cost is the figure of a row for a library, in ns.
func (p path) cost(f figures, library string) (ns float64, ok bool) {
	name := "Cost/" + p.name + "/" + library
	if p.bare == "" {
		return f.median(name, "ns/op")
	}
	return f.over(name, "Cost/"+p.bare+"/bare", "ns/op")
}

func costSection(f figures, machine string) string {
	bare, _ := f.median("Cost/success/bare", "ns/op")
	loads, _ := f.over("Cost/success/loads", "Cost/success/bare", "ns/op")
	var missed []string
	rows := [][]string{append([]string{"Nanoseconds", "Target"}, libraries...)}
	for _, p := range paths {
		row := []string{p.title, limit(p.target)}
		own, _ := p.cost(f, libraries[0])
		if p.target > 0 && own > p.target {
			missed = append(missed, fmt.Sprintf("%s takes %.1f of %v ns", p.title, own, p.target))
		}
		for _, library := range libraries {
			row = append(row, p.cell(f, library, own))
		}
		rows = append(rows, row)
	}
	rows = append(rows, memory(f, "plain", "bytes per breaker", limit(mostBytes)), memory(f, "rate", "bytes with `Rate`", ""))
	if bytes, _ := f.median("Memory/plain/"+libraries[0], "B/breaker"); math.Round(bytes) > mostBytes {
		missed = append(missed, fmt.Sprintf("a breaker takes %.0f of %d bytes", bytes, mostBytes))
	}
	verdict := "Every target is met."
	if len(missed) > 0 {
		verdict = "Not every target is met: " + strings.Join(missed, "; ") + "."
	}
	return fmt.Sprintf(costText, rounds, machine, bare, max(loads, 0), table(rows), verdict)
}

// memory is the row of what a new breaker of a kind holds, goroutines included.
func memory(f figures, kind, title, limit string) []string {
	row := []string{title, limit}
	for _, library := range libraries {
		name := "Memory/" + kind + "/" + library
		bytes, _ := f.median(name, "B/breaker")
		text := fmt.Sprintf("%.0f", bytes)
		if n, _ := f.median(name, "goroutines/breaker"); n > 0.5 {
			text += fmt.Sprintf(" and %.0f goroutine", n)
		}
		row = append(row, text)
	}
	return row
}

// costText is the section around the figures.
const costText = `Measured by ` + "`make bench SUBJECT=breaker`" + ` in one run, medians of %d rounds, on
%s. A bare call takes %.1f ns, and two atomic loads
around it add %.1f ns. While closed the figure is what the breaker adds to the call,
otherwise all that the rejection takes; × is the multiple of ours. All count five failures in a
row, but for the rows that say otherwise. With ` + "`Rate`" + ` mercari is cheap since its window does
not slide: it forgets all calls every ten seconds.

%s
%s

![What a call costs, by library](breaker-cost.svg)
`

// cell is a figure with its ratio to ours and its allocations.
func (p path) cell(f figures, library string, own float64) string {
	ns, ok := p.cost(f, library)
	if !ok {
		if word := words[p.name+"/"+library]; word != "" {
			return word
		}
		return "–"
	}
	text := figure(ns)
	if p.bare != "" {
		text = "+" + text
	}
	if library != libraries[0] && own > 0 {
		text += " (×" + figure(ns/own) + ")"
	}
	switch n, _ := f.median("Cost/"+p.name+"/"+library, "allocs/op"); n {
	case 0:
	case 1:
		text += ", 1 allocation"
	default:
		text += fmt.Sprintf(", %.0f allocations", n)
	}
	return text
}

// figure has two digits at least, and no more than mean something.
func figure(x float64) string {
	if x < 10 {
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

func limit(target float64) string {
	if target == 0 {
		return ""
	}
	return fmt.Sprintf("≤ %v", target)
}
