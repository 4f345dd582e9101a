package disk

import (
	"testing"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/typedtest"
)

func TestTyped(t *testing.T) {
	typedtest.Run(t, func(t *testing.T) storage.Driver { return open(t, Options{}) })
}
