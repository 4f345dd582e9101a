package lifeline_test

import (
	"net/http"
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
)

// TestAdminHealth: a hub is ready once its storage is open, degraded or not.
func TestAdminHealth(t *testing.T) {
	bare := start(t, "{\n\tadmin ADMIN\n}\nhttp://localhost:PORT {\n\trespond /health hello\n}\n")
	if a := bare.get(bare.admin + "/lifeline/health/live"); a.status != http.StatusOK || a.text("status") != "live" {
		t.Errorf("live: %v", a)
	}
	if a := bare.get(bare.admin + "/lifeline/health/ready"); a.status != http.StatusServiceUnavailable || a.text("status") != "not ready" {
		t.Errorf("ready without a hub: %v", a)
	}
	if a := bare.get(bare.admin + "/lifeline/health/else"); a.status != http.StatusNotFound {
		t.Errorf("an unknown path: %v", a)
	}
	if a := bare.do(http.MethodPost, bare.admin+"/lifeline/health/live", ""); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("a POST: %v", a)
	}
	r := redistest.Start(t)
	s := start(t, site("lifeline {\n storage redis "+r.URL()+"\n breaker {\n probe_every 100ms\n}\n}", ""))
	hub := func() any {
		hubs, _ := s.get(s.admin + "/lifeline/health/ready").body["hubs"].(map[string]any)
		return hubs["default"]
	}
	if hub() != "ok" {
		t.Errorf("the hub is %v", hub())
	}
	r.Freeze()
	s.waitUntil("it is degraded", func() bool { return hub() == "degraded" })
	if a := s.get(s.admin + "/lifeline/health/ready"); a.status != http.StatusOK || a.text("status") != "ready" {
		t.Errorf("degraded: %v", a)
	}
	r.Thaw()
	s.waitUntil("it is well", func() bool { return hub() == "ok" })
}
