package redis

import (
	"fmt"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/typedtest"
)

func TestTyped(t *testing.T) {
	url := redistest.Start(t).URL()
	backends := 0
	connect := func(t *testing.T) storage.Driver {
		t.Helper()
		d, err := New(Options{URL: url, KeyPrefix: fmt.Sprintf("t%d:", backends), Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	typedtest.RunWith(t,
		func(t *testing.T) storage.Driver { backends++; return connect(t) },
		typedtest.Options{Peer: func(t *testing.T, _ storage.Driver) storage.Driver { return connect(t) }})
}
