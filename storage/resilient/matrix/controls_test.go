package matrix

import (
	"fmt"
	"testing"
)

// control is a defect, and the fault in which it shows.
type control struct {
	broken string
	fault  string
}

var controls = []control{
	{broken: brokenDedup, fault: "replies lost"},
	{broken: brokenRefill, fault: "redis killed, empty"},
	{broken: brokenHasty, fault: "node killed"},
	{broken: brokenForgetful, fault: "node killed in an outage"},
	{broken: brokenParts, fault: "redis frozen"},
	{broken: brokenEpoch, fault: "redis killed, old snapshot"},
	{broken: brokenLoud, fault: "redis killed, empty"},
}

// controlRuns is within how many runs the checker must notice a defect.
const controlRuns = 20

// A checker that never failed proves nothing: each defect makes it fail.
func TestControls(t *testing.T) {
	t.Parallel()
	for _, c := range controls {
		f := faultNamed(c.fault)
		f.broken = c.broken
		t.Run(c.broken, func(t *testing.T) {
			t.Parallel()
			for i := range uint64(controlRuns) {
				seed := seedOf(c.broken) + i
				v := conduct(t, f, seed)
				if v.lost+v.duplicated+v.reordered > 0 {
					t.Logf("noticed in run %d, seed %d\n%s\n%s\n%v", i+1, seed, tableHead, v.row(c.broken), first(v.problems))
					return
				}
			}
			t.Errorf("not noticed in %d runs from seed %d on", controlRuns, seedOf(c.broken))
		})
	}
}

func faultNamed(name string) fault {
	for _, f := range allFaults() {
		if f.name == name {
			return f
		}
	}
	panic(fmt.Sprintf("no fault is called %q", name))
}
