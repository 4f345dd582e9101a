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
	// kills is how often a soak kills nodes and Redis together.
	kills = 200
	// killsInRun is how often within one run: a cursor has room for eight producers,
	// and each life of a node is another.
	killsInRun = 4
	// longestAck bounds an acknowledgement: 500 ms are promised, and the machine
	// may have other things to do, or a slow disk.
	longestAck = 2 * time.Second
)

// Soak goes through faults with random seeds and of random length, for as long as LIFELINE_SOAK
// says, and at least 200 times nodes and Redis killed together.
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
	seed := uint64(time.Now().UnixNano())
	results := new(table)
	t.Cleanup(func() { t.Logf("\n%s", results) })
	for _, f := range soakFaults() {
		soakRun(t, s, f, seed, results)
		seed++
	}
	random := rand.New(rand.NewPCG(seed, 0))
	faults := allFaults()
	for began := time.Now(); time.Since(began) < duration && !t.Failed(); seed++ {
		f := faults[random.IntN(len(faults))]
		f.lasts = time.Duration(float64(f.lasts) * (0.1 + 2*random.Float64()))
		f.pends = false // perhaps it was too short
		soakRun(t, s, f, seed, results)
	}
}

// soakFaults are those that take too long for every day.
func soakFaults() []Fault {
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
		v := prove(t, s, f, seed, results)
		if v.longest > longestAck && !f.freezesNodes {
			t.Errorf("an acknowledgement took %v", v.longest)
		}
	})
}
