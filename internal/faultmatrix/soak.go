package faultmatrix

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

const (
	// soakEnv says how long a soak goes on; without it, not at all.
	soakEnv = "LIFELINE_SOAK"
	// killsInRun is how often a run of a soak kills nodes and Redis together: a cursor
	// has room for eight producers, and each life of a node is another.
	killsInRun = 4
	// soakAtOnce is how many runs there are at a time.
	soakAtOnce = 2
)

// Soak makes every fault once, what takes too long for every day, and then faults of
// random length until LIFELINE_SOAK has passed since it began, all with random seeds. A
// run gives up after some minutes, and the first round that fails is the last one: so
// there is a verdict soon after that time, or after what is always done.
func Soak(t *testing.T, s Subject) {
	t.Helper()
	soak := os.Getenv(soakEnv)
	if soak == "" {
		return
	}
	duration, err := time.ParseDuration(soak)
	if err != nil {
		t.Fatal(err)
	}
	began, seed := time.Now(), uint64(time.Now().UnixNano())
	results := new(table)
	t.Cleanup(func() { t.Logf("\n%s", results) })
	round := func(name string, faults []Fault) {
		t.Run(name, func(t *testing.T) {
			for _, f := range faults {
				seed++
				soakRun(t, s, f, seed, results)
			}
		})
	}
	round("each", allFaults())
	round("long", longFaults(s.Kills))
	t.Logf("after %v each has been there; now random ones", time.Since(began).Round(time.Second))
	random := rand.New(rand.NewPCG(seed, 0))
	for n := 1; time.Since(began) < duration && !t.Failed(); n++ {
		var faults []Fault
		for range soakAtOnce {
			faults = append(faults, randomFault(random))
		}
		round(fmt.Sprint("random", n), faults)
	}
}

// randomFault is one that takes a shorter or longer time than usual.
func randomFault(random *rand.Rand) Fault {
	faults := allFaults()
	f := faults[random.IntN(len(faults))]
	f.lasts = time.Duration(float64(f.lasts) * (0.1 + 2*random.Float64()))
	f.pends = false // perhaps it was too short
	return f
}

// longFaults are those that take too long for every day: a node frozen for a minute,
// nodes and Redis killed together so often.
func longFaults(kills int) []Fault {
	frozen := faultNamed("node frozen")
	frozen.name, frozen.lasts = "node frozen for a minute", time.Minute
	faults := []Fault{frozen}
	killed := faultNamed("nodes and redis killed")
	killed.name, killed.times = "nodes and redis killed, again and again", killsInRun
	for range kills / killsInRun {
		faults = append(faults, killed)
	}
	return faults
}

func soakRun(t *testing.T, s Subject, f Fault, seed uint64, results *table) {
	t.Helper()
	t.Run(fmt.Sprintf("%s/seed=%d", f.name, seed), func(t *testing.T) {
		t.Parallel()
		v := prove(t, s, f, seed, results)
		if v.longest > s.LongestAck && !f.freezesNodes {
			t.Errorf("an acknowledgement took %v", v.longest)
		}
	})
}
