package redis

import (
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage/internal/linear"
)

// Two nodes on one server.
func TestAppendIsLinearizable(t *testing.T) {
	s := redistest.Start(t)
	linear.Append(t, open(t, s), open(t, s))
}

func TestTakeIsLinearizable(t *testing.T) {
	s := redistest.Start(t)
	linear.Take(t, open(t, s), open(t, s))
}
