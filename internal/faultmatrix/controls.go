package faultmatrix

import (
	"fmt"
	"testing"
	"time"
)

// Control is a defect, the fault in which it shows, and the kind of damage it does.
type Control struct {
	Broken string
	Fault  string
	Damage string
}

// The kinds of damage.
const (
	Lost       = "lost"
	Missed     = "missed"
	Duplicated = "duplicated"
	Reordered  = "reordered"
	Untold     = "untold"
)

// Within so many runs, of which none begins later than that, the checker must notice a
// defect.
const (
	controlRuns = 20
	controlTime = 4 * time.Minute
)

// Controls sees that the checker notices of each defect the damage that it does: one
// that never failed proves nothing.
func Controls(t *testing.T, s Subject, controls []Control) {
	t.Helper()
	for _, c := range controls {
		f := faultNamed(c.Fault)
		f.broken = c.Broken
		t.Run(c.Broken, func(t *testing.T) {
			t.Parallel()
			runs := uint64(0)
			for began := time.Now(); runs < controlRuns && time.Since(began) < controlTime; runs++ {
				seed := seedOf(c.Broken) + runs
				v := conduct(t, s, f, seed)
				if v.of(c.Damage) > 0 {
					t.Logf("noticed in run %d, seed %d\n%s\n%s\n%v", runs+1, seed, tableHead, v.row(c.Broken), first(v.problems))
					return
				}
				if v.any() {
					t.Logf("run %d, seed %d, other damage\n%s\n%s", runs+1, seed, tableHead, v.row(c.Broken))
				}
			}
			t.Errorf("nothing %s in %d runs from seed %d on", c.Damage, runs, seedOf(c.Broken))
		})
	}
}

func faultNamed(name string) Fault {
	for _, f := range allFaults() {
		if f.name == name {
			return f
		}
	}
	panic(fmt.Sprintf("no fault is called %q", name))
}
