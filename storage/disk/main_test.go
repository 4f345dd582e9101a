package disk

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/storagetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, o Options) *Driver {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

func TestConformance(t *testing.T) {
	storagetest.RunWith(t,
		func(t *testing.T) storage.Driver { return open(t, Options{}) },
		storagetest.Options{Reopen: func(t *testing.T, d storage.Driver) storage.Driver {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, Options{Dir: d.(*Driver).opener.Dir})
		}})
}
