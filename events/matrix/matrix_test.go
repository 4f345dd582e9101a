package matrix

import (
	"testing"

	"github.com/actionflows/lifeline/internal/faultmatrix"
)

var hubs = faultmatrix.Subject{Call: call, Streams: []faultmatrix.Stream{
	{Name: "WebSocket", Follow: followSocket},
	{Name: "stream", Follow: followStream},
}}

// Faults in which the way through HTTP matters; `make soak` goes through all.
func TestMatrix(t *testing.T) {
	t.Parallel()
	t.Cleanup(client.CloseIdleConnections)
	faultmatrix.Matrix(t, hubs,
		"redis frozen", "redis killed, empty", "redis killed, old snapshot", "flushed under load",
		"one id on two nodes", "cut", "cut from one node", "black hole", "replies lost",
		"node killed in an outage", "node frozen", "disk full in an outage")
}

func TestControls(t *testing.T) {
	t.Parallel()
	t.Cleanup(client.CloseIdleConnections)
	faultmatrix.Controls(t, hubs, []faultmatrix.Control{
		{Broken: faultmatrix.BrokenFill, Fault: "cut", Damage: faultmatrix.Missed},
		{Broken: faultmatrix.BrokenResume, Fault: "node killed", Damage: faultmatrix.Duplicated},
		{Broken: faultmatrix.BrokenTwice, Fault: "redis frozen", Damage: faultmatrix.Duplicated},
		{Broken: faultmatrix.BrokenNever, Fault: "redis frozen", Damage: faultmatrix.Missed},
		{Broken: faultmatrix.BrokenHasty, Fault: "node killed", Damage: faultmatrix.Lost},
	})
}

// Runs for as long as LIFELINE_SOAK says; without it, not at all.
func TestSoak(t *testing.T) {
	t.Cleanup(client.CloseIdleConnections)
	faultmatrix.Soak(t, hubs)
}
