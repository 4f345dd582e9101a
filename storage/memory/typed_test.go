package memory

import (
	"testing"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/typedtest"
)

func TestTyped(t *testing.T) {
	typedtest.Run(t, func(*testing.T) storage.Driver { return New(Options{}) })
}
