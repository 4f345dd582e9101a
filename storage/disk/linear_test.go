package disk

import (
	"testing"

	"github.com/actionflows/lifeline/storage/internal/linear"
)

func TestAppendIsLinearizable(t *testing.T) { linear.Append(t, open(t, Options{})) }

func TestTakeIsLinearizable(t *testing.T) { linear.Take(t, open(t, Options{})) }
