package lifeline_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fileEvents answers "type relativePath" of a session's events.
func (s *server) fileEvents(session string) []string {
	s.t.Helper()
	a := s.get("/api/events/" + session + "?limit=1000")
	var page struct {
		Events []struct{ Type, RelativePath, SessionID string }
	}
	if err := json.Unmarshal([]byte(a.raw), &page); err != nil {
		s.t.Fatalf("%v: %v", a, err)
	}
	list := make([]string, 0, len(page.Events))
	for _, e := range page.Events {
		list = append(list, strings.TrimSpace(e.Type+" "+e.RelativePath))
	}
	return list
}

func TestFileChangesBecomeEvents(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "notes.txt")
	s := start(t, site("lifeline {\n storage memory\n watch files "+dir+" {\n debounce 50ms\n ignore *.log\n}\n}", ""))
	s.waitUntil("the directory is watched", func() bool {
		return strings.Contains(s.get("/api/health/circuit-breakers").raw, `"state":"watching"`)
	})
	st := s.follow("files", nil)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(dir, "noise.log"), []byte("x"), 0o600))
	must(os.WriteFile(file, []byte("one"), 0o600))
	st.waitFor(t, 1)
	must(os.WriteFile(file, []byte("one, two"), 0o600))
	st.waitFor(t, 2)
	must(os.Remove(file))
	st.waitFor(t, 3)
	got := strings.Join(s.fileEvents("files"), "\n")
	want := "file:created notes.txt\nfile:modified notes.txt\nfile:deleted notes.txt"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWatcherIsTriedAgainAndGivenUp(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "not", "there")
	s := start(t, site("lifeline {\n storage memory\n watch lost "+missing+" {\n retry 3 50ms\n}\n}", ""))
	s.waitUntil("the watcher is given up", func() bool {
		return strings.Contains(s.get("/api/health/circuit-breakers").raw, `"state":"failed"`)
	})
	s.logs(`"level":"error"`)
	var retries, errors int
	for line := range strings.Lines(s.log.String()) {
		if !strings.Contains(line, `"fileWatcher"`) {
			continue
		}
		if strings.Contains(line, `"info"`) && strings.Contains(line, "retry") {
			retries++
		}
		if strings.Contains(line, `"error"`) {
			errors++
		}
	}
	if retries != 3 || errors == 0 {
		t.Errorf("%d retries and %d errors in the log:\n%s", retries, errors, s.log)
	}
	if got := s.fileEvents("lost"); len(got) != 1 || got[0] != "watcher:failed" {
		t.Errorf("events of the session: %v", got)
	}
}

func TestReloadKeepsUnchangedWatchers(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	config := func(watches string) string {
		return site("lifeline {\n storage memory\n"+watches+"\n}", "")
	}
	quick := " {\n debounce 50ms\n}\n"
	s := start(t, config("watch one "+one+quick))
	watching := func(n int) func() bool {
		return func() bool {
			return strings.Count(s.get("/api/health/circuit-breakers").raw, `"state":"watching"`) == n
		}
	}
	s.waitUntil("one directory is watched", watching(1))
	if out, code := s.reload(config("watch one " + one + quick + "watch two " + two + quick)); code != 0 {
		t.Fatalf("reload: %s", out)
	}
	s.waitUntil("two directories are watched", watching(2))
	for _, dir := range []string{one, two} {
		if err := os.WriteFile(filepath.Join(dir, "f"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, session := range []string{"one", "two"} {
		s.waitUntil("session "+session+" has its event", func() bool { return len(s.fileEvents(session)) == 1 })
	}
	if out, code := s.reload(config("watch two " + two + quick)); code != 0 {
		t.Fatalf("reload: %s", out)
	}
	s.waitUntil("one directory is watched again", watching(1))
}
