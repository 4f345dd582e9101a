package delivery

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// soakEnv says how long TestSoak goes on; without it, not at all.
const soakEnv = "LIFELINE_SOAK"

// Longer programs with random seeds, for as long as LIFELINE_SOAK says.
func TestSoak(t *testing.T) {
	soak := os.Getenv(soakEnv)
	if soak == "" {
		return
	}
	duration, err := time.ParseDuration(soak)
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	for began := time.Now(); time.Since(began) < duration && !t.Failed(); seed++ {
		k := kinds[seed%uint64(len(kinds))]
		k.steps *= 4
		t.Run(fmt.Sprintf("%s/seed=%d", k.name, seed), func(t *testing.T) { prove(t, k, seed) })
	}
}
