package matrix

import (
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/faultmatrix"
)

// All faults, at the level of storage.
func TestMatrix(t *testing.T) {
	t.Parallel()
	faultmatrix.Matrix(t, faultmatrix.Subject{})
}

func TestControls(t *testing.T) {
	t.Parallel()
	faultmatrix.Controls(t, faultmatrix.Subject{}, []faultmatrix.Control{
		{Broken: faultmatrix.BrokenDedup, Fault: "replies lost", Damage: faultmatrix.Duplicated},
		{Broken: faultmatrix.BrokenRefill, Fault: "redis killed, empty", Damage: faultmatrix.Lost},
		{Broken: faultmatrix.BrokenHasty, Fault: "node killed", Damage: faultmatrix.Lost},
		{Broken: faultmatrix.BrokenForgetful, Fault: "node killed in an outage", Damage: faultmatrix.Lost},
		{Broken: faultmatrix.BrokenParts, Fault: "redis frozen", Damage: faultmatrix.Duplicated},
		{Broken: faultmatrix.BrokenEpoch, Fault: "redis killed, old snapshot", Damage: faultmatrix.Duplicated},
		{Broken: faultmatrix.BrokenLoud, Fault: "redis killed, empty", Damage: faultmatrix.Duplicated},
	})
}

// Runs for as long as LIFELINE_SOAK says; without it, not at all.
func TestSoak(t *testing.T) {
	faultmatrix.Soak(t, faultmatrix.Subject{Kills: 200, LongestAck: 2 * time.Second})
}
