package faultmatrix

import (
	"hash/fnv"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func allFaults() []Fault { return slices.Concat(redisFaults, networkFaults, nodeFaults) }

// seedEnv replaces the fixed seeds, to see a run of a soak again.
const seedEnv = "LIFELINE_SEED"

// seedOf is the fixed seed of a fault.
func seedOf(name string) uint64 {
	if seed, err := strconv.ParseUint(os.Getenv(seedEnv), 10, 64); err == nil {
		return seed
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return h.Sum64()
}

// table collects a row for each run.
type table struct {
	mu   sync.Mutex
	rows []string
}

func (b *table) add(row string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows = append(b.rows, row)
}

func (b *table) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.Sort(b.rows)
	return tableHead + "\n" + strings.Join(b.rows, "\n")
}

// Matrix goes through faults, those named or, without names, all of them, with
// fixed seeds: whatever goes wrong, nothing that was acknowledged is lost, seen
// twice or out of order.
func Matrix(t *testing.T, s Subject, names ...string) {
	t.Helper()
	results := new(table)
	t.Cleanup(func() { t.Logf("\n%s", results) })
	for _, f := range chosen(names) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			prove(t, s, f, seedOf(f.name), results)
		})
	}
}

func chosen(names []string) []Fault {
	if len(names) == 0 {
		return allFaults()
	}
	faults := make([]Fault, len(names))
	for i, name := range names {
		faults[i] = faultNamed(name)
	}
	return faults
}

// prove makes one run, which must have nothing to complain about.
func prove(t *testing.T, s Subject, f Fault, seed uint64, results *table) verdict {
	t.Helper()
	t.Logf("seed %d", seed)
	v := conduct(t, s, f, seed)
	results.add(v.row(f.name))
	if f.pends && v.pending == 0 {
		t.Error("nothing was pending: the fault has not happened")
	}
	if v.any() || len(v.problems) > 0 {
		const most = 20
		t.Errorf("seed %d\n%s\n%s\n%s", seed, tableHead, v.row(f.name),
			strings.Join(v.problems[:min(len(v.problems), most)], "\n"))
	}
	return v
}
