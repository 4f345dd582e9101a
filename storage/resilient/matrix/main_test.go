package matrix

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/actionflows/lifeline/internal/faultmatrix"
)

func TestMain(m *testing.M) {
	if settings := os.Getenv(faultmatrix.Env); settings != "" {
		faultmatrix.Main(settings, nil)
		return
	}
	goleak.VerifyTestMain(m)
}
