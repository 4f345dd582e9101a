package redis

import (
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/storagetest"
)

func TestConformance(t *testing.T) {
	s := redistest.Start(t)
	connect := func(t *testing.T) storage.Driver {
		t.Helper()
		d, err := New(Options{URL: s.URL(), Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	storagetest.RunWith(t, connect, storagetest.Options{
		Reopen: func(t *testing.T, d storage.Driver) storage.Driver {
			t.Helper()
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			return connect(t)
		},
	})
}
