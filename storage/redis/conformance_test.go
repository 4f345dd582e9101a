package redis

import (
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/storagetest"
)

func TestConformance(t *testing.T) {
	conforms(t, Options{URL: redistest.Start(t).URL()})
}

func TestConformanceOnSentinel(t *testing.T) {
	conforms(t, bySentinel(redistest.StartSentinels(t, "")))
}

func TestConformanceOnCluster(t *testing.T) {
	conforms(t, inCluster(redistest.StartCluster(t, 3)))
}

func conforms(t *testing.T, o Options) {
	o.Timeout = 5 * time.Second
	connect := func(t *testing.T) storage.Driver {
		t.Helper()
		d, err := New(o)
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

func bySentinel(s *redistest.Sentinels) Options {
	return Options{URL: "redis://", Sentinel: &Sentinel{Master: redistest.SentinelMaster, Addrs: s.Addrs()}}
}

func inCluster(c *redistest.Cluster) Options {
	return Options{URL: "redis://", Cluster: &Cluster{Addrs: c.Addrs()}}
}
