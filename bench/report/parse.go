package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// figures are the results of benchmarks, by name and unit, one for each round.
type figures map[string]map[string][]float64

// add reads the output of one round of benchmarks. cpu is the processor that it
// names, if any.
func (f figures) add(out []byte) (cpu string, err error) {
	for line := range bytes.Lines(out) {
		words := strings.Fields(string(line))
		switch {
		case len(words) > 1 && words[0] == "cpu:":
			cpu = strings.Join(words[1:], " ")
		case len(words) > 3 && strings.HasPrefix(words[0], "Benchmark"):
			if err := f.addLine(words); err != nil {
				return "", err
			}
		}
	}
	return cpu, nil
}

// addLine adds one result: a name, the number of iterations, and then values each
// followed by its unit.
func (f figures) addLine(words []string) error {
	name := strings.TrimPrefix(words[0], "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			name = name[:i] // the number of processors
		}
	}
	if f[name] == nil {
		f[name] = make(map[string][]float64)
	}
	for pair := range slices.Chunk(words[2:], 2) {
		if len(pair) < 2 {
			return fmt.Errorf("a value without a unit: %q", words)
		}
		value, err := strconv.ParseFloat(pair[0], 64)
		if err != nil {
			return fmt.Errorf("benchmark %s: %w", name, err)
		}
		f[name][pair[1]] = append(f[name][pair[1]], value)
	}
	return nil
}

// median is the median over the rounds. ok is false if there is no such figure.
func (f figures) median(name, unit string) (value float64, ok bool) {
	return median(f[name][unit])
}

// over is the median over the rounds of what name takes more than base, compared
// within each round.
func (f figures) over(name, base, unit string) (value float64, ok bool) {
	a, b := f[name][unit], f[base][unit]
	if len(a) != len(b) {
		return 0, false
	}
	differences := make([]float64, len(a))
	for i := range a {
		differences[i] = a[i] - b[i]
	}
	return median(differences)
}

func median(values []float64) (value float64, ok bool) {
	n := len(values)
	if n == 0 {
		return 0, false
	}
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare[float64])
	return (sorted[(n-1)/2] + sorted[n/2]) / 2, true
}

// attributes are the lines of t.Attr in the output of verbose tests: the value by
// test and key.
func attributes(out []byte) map[string]string {
	found := make(map[string]string)
	for line := range bytes.Lines(out) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "=== ATTR "); ok {
			words := strings.SplitN(strings.TrimSpace(rest), " ", 3)
			if len(words) == 3 {
				found[words[0]+" "+words[1]] = words[2]
			}
		}
	}
	return found
}
