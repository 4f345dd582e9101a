package lifeline_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFailedWatcherIsRestartedByHand: given up because its root is a file, it is
// started by the admin API once there is a directory, and sees what comes.
func TestFailedWatcherIsRestartedByHand(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(root, nil, 0o600))
	s := start(t, site("lifeline {\n storage memory\n watch lost "+root+" {\n debounce 50ms\n retry 1 50ms\n}\n}", ""))
	state := func(want string) func() bool {
		return func() bool { return strings.Contains(s.get("/api/health/circuit-breakers").raw, `"state":"`+want+`"`) }
	}
	s.waitUntil("the watcher is given up", state("failed"))
	if n := s.value(`caddy_lifeline_watch_restarts_total{hub="default"}`); n != 1 {
		t.Errorf("%v restarts, want 1", n)
	}
	must(os.Remove(root))
	must(os.Mkdir(root, 0o700))
	restart := s.admin + "/lifeline/watchers/default/lost/restart"
	if a := s.get(restart); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" {
		t.Errorf("GET: %v", a)
	}
	for path, word := range map[string]string{
		"/lifeline/watchers/other/lost/restart":     "default",
		"/lifeline/watchers/default/nobody/restart": "lost",
		"/lifeline/watchers/default/lost":           "{session}/restart",
		"/lifeline/watchers/default/lost/elsewhere": "{session}/restart",
		"/lifeline/watchers/default/":               "{session}/restart",
	} {
		if a := s.do(http.MethodPost, s.admin+path, ""); a.status != http.StatusNotFound || !strings.Contains(a.raw, word) {
			t.Errorf("%s: %v does not say %s", path, a, word)
		}
	}
	if a := s.do(http.MethodPost, restart, ""); a.status != http.StatusOK || !strings.Contains(a.raw, `"session":"lost"`) {
		t.Errorf("restart: %v", a)
	}
	s.waitUntil("it is watched", state("watching"))
	if a := s.do(http.MethodPost, restart, ""); a.status != http.StatusOK || !strings.Contains(a.raw, `"watching"`) {
		t.Errorf("restart of one that works: %v", a)
	}
	if n := s.value(`caddy_lifeline_watches{hub="default"}`); n != 1 {
		t.Errorf("%v watches, want 1", n)
	}
	must(os.WriteFile(filepath.Join(root, "f"), nil, 0o600))
	s.waitUntil("the file is reported", func() bool {
		list := s.fileEvents("lost")
		return list[len(list)-1] == "file:created f"
	})
}

func TestFileEventsCarryTheActiveStep(t *testing.T) {
	dir := t.TempDir()
	s := start(t, site("lifeline {\n storage memory\n watch w "+dir+" {\n debounce 50ms\n}\n}", ""))
	s.waitUntil("the directory is watched", func() bool {
		return strings.Contains(s.get("/api/health/circuit-breakers").raw, `"state":"watching"`)
	})
	change := func(name, want string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s.waitUntil(name+" is reported", func() bool {
			return strings.Contains(s.get("/api/events/w?limit=1").raw, `"relativePath":"`+name+`"`)
		})
		if a := s.get("/api/events/w?limit=1"); !strings.Contains(a.raw, `"stepNumber":`+want) {
			t.Errorf("%s: want step %s: %v", name, want, a)
		}
	}
	change("before", "null")
	s.post(`{"type":"step:started","sessionId":"w","stepNumber":4}`)
	change("during", "4")
	s.post(`{"type":"step:completed","sessionId":"w","stepNumber":4}`)
	change("after", "null")
}
