package matrix

import (
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/faultmatrix"
)

var hubs = faultmatrix.Subject{
	Call: call, Slower: 3, Kills: 40, LongestAck: 5 * time.Second,
	Streams: []faultmatrix.Stream{
		{Name: "WebSocket", Follow: followSocket},
		{Name: "stream", Follow: followStream},
	},
}

// Faults in which the way through HTTP matters; `make soak` goes through all.
func TestMatrix(t *testing.T) {
	t.Parallel()
	t.Cleanup(client.CloseIdleConnections)
	faultmatrix.Matrix(t, hubs,
		"redis frozen", "redis killed, empty", "redis killed, old snapshot", "flushed under load",
		"one id on two nodes", "cut", "cut from one node", "black hole", "replies lost", "nothing",
		"node killed in an outage", "node frozen", "disk full in an outage", "killed with a full disk",
		"fsync error in an outage", "deleted in an outage")
}

func TestControls(t *testing.T) {
	t.Parallel()
	t.Cleanup(client.CloseIdleConnections)
	faultmatrix.Controls(t, hubs, []faultmatrix.Control{
		{Broken: faultmatrix.BrokenFill, Fault: "cut", Damage: faultmatrix.Missed},
		{Broken: faultmatrix.BrokenResume, Fault: "node killed", Damage: faultmatrix.Duplicated},
		{Broken: faultmatrix.BrokenTwice, Fault: "redis frozen", Damage: faultmatrix.Duplicated},
		{Broken: faultmatrix.BrokenNever, Fault: "redis frozen", Damage: faultmatrix.Missed},
		{Broken: faultmatrix.BrokenHasty, Fault: "killed with a full disk", Damage: faultmatrix.Lost},
		{Broken: faultmatrix.BrokenQuiet, Fault: "redis frozen", Damage: faultmatrix.Untold},
		{Broken: faultmatrix.BrokenWhole, Fault: "redis frozen", Damage: faultmatrix.Untold},
		{Broken: faultmatrix.BrokenSmooth, Fault: "redis killed, empty", Damage: faultmatrix.Untold},
	})
}

// Runs for as long as LIFELINE_SOAK says; without it, not at all.
func TestSoak(t *testing.T) {
	t.Cleanup(client.CloseIdleConnections)
	faultmatrix.Soak(t, hubs)
}
