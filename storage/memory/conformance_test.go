package memory

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Driver { return New(Options{}) })
}
