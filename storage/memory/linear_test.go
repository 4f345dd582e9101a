package memory

import (
	"testing"

	"github.com/actionflows/lifeline/storage/internal/linear"
)

func TestAppendIsLinearizable(t *testing.T) { linear.Append(t, newDriver(t)) }

func TestTakeIsLinearizable(t *testing.T) { linear.Take(t, newDriver(t)) }

func newDriver(t *testing.T) *Driver {
	t.Helper()
	d := New(Options{})
	t.Cleanup(func() { _ = d.Close() })
	return d
}
