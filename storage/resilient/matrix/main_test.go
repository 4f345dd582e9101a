package matrix

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if settings := os.Getenv(nodeEnv); settings != "" {
		nodeMain(settings)
		return
	}
	goleak.VerifyTestMain(m)
}
