package matrix

import (
	"testing"

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
		{Broken: faultmatrix.BrokenDedup, Fault: "replies lost"},
		{Broken: faultmatrix.BrokenRefill, Fault: "redis killed, empty"},
		{Broken: faultmatrix.BrokenHasty, Fault: "node killed"},
		{Broken: faultmatrix.BrokenForgetful, Fault: "node killed in an outage"},
		{Broken: faultmatrix.BrokenParts, Fault: "redis frozen"},
		{Broken: faultmatrix.BrokenEpoch, Fault: "redis killed, old snapshot"},
		{Broken: faultmatrix.BrokenLoud, Fault: "redis killed, empty"},
	})
}

// Runs for as long as LIFELINE_SOAK says; without it, not at all.
func TestSoak(t *testing.T) {
	faultmatrix.Soak(t, faultmatrix.Subject{})
}
