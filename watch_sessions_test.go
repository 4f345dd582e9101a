package lifeline_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// watchSite has a hub in memory with these options, which watches quickly enough.
func watchSite(options string) string {
	return site("lifeline {\n storage disk DIR/hub\n"+options+"\n}", "")
}

// createSession creates a session in a directory and answers what is said about it:
// "watching", or the reason why it is not watched.
func (s *server) createSession(id, cwd string, headers ...string) string {
	s.t.Helper()
	body, err := json.Marshal(map[string]string{"id": id, "cwd": cwd})
	if err != nil {
		s.t.Fatal(err)
	}
	a := s.do(http.MethodPost, "/api/sessions", string(body), append(headers, asJSON)...)
	w, ok := a.body["watcher"].(map[string]any)
	if a.status != http.StatusCreated || !ok {
		s.t.Errorf("create %s in %s: %v", id, cwd, a)
		return ""
	}
	if w["watching"] == true {
		return "watching"
	}
	if text, ok := w["message"].(string); !ok || text == "" {
		s.t.Errorf("create %s in %s: no message: %v", id, cwd, a)
	}
	return fmt.Sprint(w["reason"])
}

// tree makes directories (ending in a slash), links (name>target) and files beneath
// dir.
func tree(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		name, target, isLink := strings.Cut(name, ">")
		path := filepath.Join(dir, name)
		var err error
		if isLink {
			err = os.Symlink(target, path)
		} else if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o700)
		} else {
			err = os.WriteFile(path, []byte(name), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// waitForEvents waits until a session has these, as fileEvents says them, in any
// order.
func (s *server) waitForEvents(session string, want ...string) {
	s.t.Helper()
	slices.Sort(want)
	s.waitUntil(fmt.Sprintf("%s has %v", session, want), func() bool {
		got := s.fileEvents(session)
		slices.Sort(got)
		if len(got) > len(want) {
			s.t.Fatalf("session %s has %v, want %v", session, got, want)
		}
		return slices.Equal(got, want)
	})
}

// Which directories of clients are watched, and what their answers say.
func TestWhichDirectoriesAreWatched(t *testing.T) {
	s := newServer(t)
	secret, root := filepath.Join(s.dir, "secret"), filepath.Join(s.dir, "root")
	tree(t, s.dir, "secret/", "secret/there", "root/", "root/a/b/", "root/.ssh/keys/", "root/file",
		"root/out>../secret", "root/in>a/b", "root/outfile>../secret/there", "root/nowhere>../secret/missing",
		"root/loop>loop", "way-in>root/a", "data/", "root/[x]{y}/")
	s.start(watchSite("watch_root DIR/root DIR/data DIR/later\n watch_root DIR/hub"))
	for i, c := range []struct{ cwd, want string }{
		{root, "watching"},
		{root + "/a", "watching"},
		{root + "/a/b/", "watching"},
		{root + "/[x]{y}", "watching"},
		{root + "/in", "watching"},
		{s.dir + "/way-in", "watching"},
		{root + "/a/../a", "watching"},
		{root + "/a/../../root/a", "watching"},
		{root + "/a/../..", "outside"},
		{root + "/../secret", "outside"},
		{root + "/out", "outside"},
		{secret, "outside"},
		{s.dir, "outside"},
		{root + "x", "outside"},
		{"root/a", "outside"},
		{".", "outside"},
		{`C:\work`, "outside"},
		{"/", "outside"},
		// Nothing tells what is there where clients have no business.
		{secret + "/missing", "outside"},
		{root + "/out/there", "outside"},
		{root + "/out/missing", "outside"},
		{root + "/outfile", "outside"},
		{root + "/outfile/x", "outside"},
		{root + "/nowhere", "outside"},
		{root + "/loop", "outside"},
		{root + "/missing", "missing"},
		{root + "/missing/deeper", "missing"},
		{root + "/in/missing", "missing"},
		{root + "/file/below", "missing"},
		{root + "/" + strings.Repeat("x", 300), "missing"},
		{root + "/file", "not_a_directory"},
		{root + "/.ssh", "refused"},
		{root + "/.ssh/keys", "refused"},
		{root + "/.ssh/missing", "refused"},
		{s.dir + "/data/caddy", "refused"}, // Caddy's data directory
		{s.dir + "/hub", "refused"},        // the hub's own
		{s.dir + "/later", "outside"},      // a watch_root that is not there
	} {
		if got := s.createSession(fmt.Sprint(i), c.cwd); got != c.want {
			t.Errorf("%s: %s, want %s", c.cwd, got, c.want)
		}
	}
	if a := s.do(http.MethodPost, "/api/sessions", `{"id":"nul","cwd":"/a\u0000b"}`, asJSON); a.status != http.StatusBadRequest || a.text("field") != "cwd" {
		t.Errorf("NUL: %v", a)
	}
	if a := s.do(http.MethodPost, "/api/sessions", "{\"id\":\"raw\",\"cwd\":\"/a\xff\"}", asJSON); a.status != http.StatusBadRequest || !strings.Contains(a.raw, "UTF-8") {
		t.Errorf("not UTF-8: %v", a)
	}
	// Health tells the names of directories, not where they are; the admin side does.
	for path, where := range map[string]string{s.url + "/api/health/circuit-breakers": "b", s.admin + "/lifeline/watchers/default": root + "/a/b"} {
		a := s.get(path)
		if !strings.Contains(a.raw, `"session":"2","root":"`+where+`"`) || !strings.Contains(a.raw, `"watchLimit":`) {
			t.Errorf("%s: %v", path, a)
		}
	}
	if a := s.get("/api/health/circuit-breakers"); strings.Contains(a.raw, s.dir) {
		t.Errorf("health tells paths: %v", a)
	}
	if a := s.get(s.admin + "/lifeline/watchers"); !strings.Contains(a.raw, `{"hubs":{"default":[{"session":"0","root":`) {
		t.Errorf("watchers: %v", a)
	}
}

// System directories are refused even where the whole machine is a watch_root.
func TestSystemDirectoriesAreRefused(t *testing.T) {
	s := newServer(t)
	tree(t, s.dir, "work/")
	s.start(watchSite("watch_root /"))
	for _, dir := range []string{"/", "/proc", "/proc/self", "/proc/self/root/" + s.dir + "/work", "/sys", "/dev", "/dev/shm", "/etc", "/etc/ssl", "/boot", "/tmp/../etc"} {
		want := "refused"
		if strings.HasSuffix(dir, "/work") { // which is where it leads
			want = "watching"
		}
		if got := s.createSession(dir, dir); got != want {
			t.Errorf("%s: %s, want %s", dir, got, want)
		}
	}
	if got := s.createSession("work", s.dir+"/work"); got != "watching" {
		t.Errorf("work: %s", got)
	}
}

// Without a watch_root sessions are created without a watcher, and the answer says
// so.
func TestNoWatchRoot(t *testing.T) {
	s := start(t, watchSite(""))
	if got := s.createSession("a", s.dir); got != "no_watch_root" {
		t.Error(got)
	}
	if a := s.do(http.MethodPost, "/api/sessions", `{"id":"b"}`, asJSON); a.status != 201 || a.body["watcher"] != nil {
		t.Errorf("without a cwd: %v", a)
	}
	if a := s.get("/api/health/circuit-breakers"); !strings.Contains(a.raw, `"watchers":[]`) {
		t.Error(a)
	}
}

// Two sessions in one directory have each its events, until each ends; what is in
// .ssh and in the server's own directories is in nobody's.
func TestSessionsInOneDirectory(t *testing.T) {
	s := newServer(t)
	s.start(watchSite("watch_root DIR"))
	for _, id := range []string{"one", "two"} {
		if got := s.createSession(id, s.dir); got != "watching" {
			t.Fatal(got)
		}
	}
	tree(t, s.dir, ".ssh/", ".ssh/id", "data/caddy/lifeline/noise", "hub/noise", "first")
	s.waitForEvents("one", "file:created first")
	s.waitForEvents("two", "file:created first")
	if a := s.do(http.MethodPut, "/api/sessions/one", `{"status":"completed"}`, asJSON); a.status != http.StatusOK {
		t.Fatal(a)
	}
	tree(t, s.dir, "second")
	s.waitForEvents("two", "file:created first", "file:created second")
	s.waitForEvents("one", "file:created first")
	if a := s.do(http.MethodPut, "/api/sessions/one", `{"status":"in_progress"}`, asJSON); a.status != http.StatusOK {
		t.Fatal(a)
	}
	tree(t, s.dir, "third")
	s.waitForEvents("one", "file:created first", "file:created third")
	if a := s.do(http.MethodDelete, "/api/sessions/two", ""); a.status != http.StatusOK {
		t.Fatal(a)
	}
	tree(t, s.dir, "fourth")
	s.waitForEvents("one", "file:created first", "file:created third", "file:created fourth")
	s.waitForEvents("two") // it has not come back
}

// Only who may write a session has its directory watched or ends that, and nobody
// else is shown its watcher.
func TestWatchersOfOthers(t *testing.T) {
	s := newServer(t)
	tree(t, s.dir, "root/")
	s.start(site("lifeline {\n storage memory\n watch_root DIR/root\n}", specSite))
	const ann, bob, service = "Remote-User: ann", "Remote-User: bob", "Authorization: Bearer k"
	if got := s.createSession("ann's", s.dir+"/root", ann); got != "watching" {
		t.Fatal(got)
	}
	for _, try := range []struct{ method, path, body string }{
		{http.MethodPost, "/api/sessions", `{"id":"ann's","cwd":"/"}`},
		{http.MethodPut, "/api/sessions/ann's", `{"status":"failed"}`},
		{http.MethodDelete, "/api/sessions/ann's", ""},
		{http.MethodGet, "/api/events/ann's", ""},
	} {
		if a := s.do(try.method, try.path, try.body, bob, asJSON); a.status != http.StatusForbidden {
			t.Errorf("%s by another: %v", try.method, a)
		}
	}
	if a := s.do(http.MethodPost, "/api/sessions", fmt.Sprintf(`{"id":"nobody's","cwd":%q}`, s.dir+"/root"), asJSON); a.status != http.StatusUnauthorized {
		t.Errorf("by nobody: %v", a)
	}
	for who, sees := range map[string]bool{ann: true, bob: false, service: true} {
		if a := s.get("/api/health/circuit-breakers", who); a.status != http.StatusOK || strings.Contains(a.raw, `"session":"ann's"`) != sees {
			t.Errorf("%s: %v", who, a)
		}
	}
	tree(t, s.dir, "root/file")
	s.waitUntil("its owner sees the file", func() bool {
		return strings.Contains(s.get("/api/events/ann's", ann).raw, `"relativePath":"file"`)
	})
}

// A link that takes the place of the directory, or of one above it, is not followed:
// neither while the server runs nor when it begins again.
func TestSwappedLinks(t *testing.T) {
	s := newServer(t)
	tree(t, s.dir, "root/work/src/", "root/above/src/", "secret/src/")
	config := watchSite("watch_root DIR/root")
	s.start(config)
	for _, id := range []string{"work", "above"} {
		if got := s.createSession(id, s.dir+"/root/"+id+"/src"); got != "watching" {
			t.Fatal(got)
		}
	}
	swap := func(name string) {
		t.Helper()
		if err := os.Rename(s.dir+"/root/"+name, s.dir+"/moved-"+filepath.Base(name)); err != nil {
			t.Fatal(err)
		}
	}
	swap("work/src")
	tree(t, s.dir, "root/work/src>../../secret/src")
	swap("above")
	tree(t, s.dir, "root/above>../secret")
	watching := func() bool { return strings.Contains(s.get("/api/health/circuit-breakers").raw, `"state":"watching"`) }
	s.waitUntil("neither is watched", func() bool { return !watching() })
	tree(t, s.dir, "secret/src/plan")
	s.waitUntil("both are given up", func() bool {
		return strings.Count(s.get("/api/health/circuit-breakers").raw, `"state":"failed"`) == 2
	})
	if a := s.get("/api/health/circuit-breakers"); strings.Contains(a.raw, s.dir) || !strings.Contains(a.raw, `"lastError":"`) {
		t.Errorf("health tells paths, or no errors: %v", a)
	}
	for _, id := range []string{"work", "above"} {
		if got := s.fileEvents(id); strings.Contains(fmt.Sprint(got), "plan") {
			t.Errorf("%s: %v", id, got)
		}
	}
	s.terminate()
	s.start(config)
	s.waitUntil("the refusals are told", func() bool {
		return strings.Count(s.log.String(), `"reason":"outside"`) == 2
	})
	if a := s.get("/api/health/circuit-breakers"); !strings.Contains(a.raw, `"watchers":[]`) {
		t.Error(a)
	}
}

// After a restart the sessions in progress are watched again, without the client.
func TestWatchedSessionsComeBack(t *testing.T) {
	s := newServer(t)
	tree(t, s.dir, "root/goes-on/", "root/ended/", "root/deleted/", "root/late/")
	config := watchSite("watch_root DIR/root")
	s.start(config)
	for _, id := range []string{"goes-on", "ended", "deleted", "late"} {
		if got := s.createSession(id, s.dir+"/root/"+id); got != "watching" {
			t.Fatal(got)
		}
	}
	s.do(http.MethodPut, "/api/sessions/ended", `{"status":"failed"}`, asJSON)
	s.do(http.MethodDelete, "/api/sessions/deleted", "")
	s.terminate()
	if err := os.Remove(s.dir + "/root/late"); err != nil {
		t.Fatal(err)
	}
	s.start(config)
	s.waitUntil("it is watched", func() bool {
		return strings.Contains(s.get("/api/health/circuit-breakers").raw, `"session":"goes-on","root":"goes-on","state":"watching"`)
	})
	tree(t, s.dir, "root/goes-on/f")
	s.waitForEvents("goes-on", "file:created f")
	a := s.get("/api/health/circuit-breakers")
	for _, id := range []string{"ended", "deleted", "late"} {
		if strings.Contains(a.raw, `"session":"`+id) {
			t.Errorf("%s is watched: %v", id, a)
		}
	}
	s.waitUntil("what is missing is told", func() bool { return strings.Contains(s.log.String(), `"reason":"missing"`) })
	// A reload looks again.
	tree(t, s.dir, "root/late/")
	if out, code := s.reload(config); code != 0 {
		t.Fatal(out)
	}
	s.waitUntil("it is watched too", func() bool {
		return strings.Contains(s.get("/api/health/circuit-breakers").raw, `"session":"late"`)
	})
}

// A reload ends the watches that the new configuration does not allow, leaves the
// others alone, and brings those back that a later one allows again.
func TestReloadOfWatchRoots(t *testing.T) {
	s := newServer(t)
	tree(t, s.dir, "one/a/", "two/b/")
	s.start(watchSite("watch_root DIR/one DIR/two"))
	for id, dir := range map[string]string{"a": "/one/a", "b": "/two/b"} {
		if got := s.createSession(id, s.dir+dir); got != "watching" {
			t.Fatal(got)
		}
	}
	stop, written := s.writer(s.dir + "/one/a")
	for _, roots := range []string{"watch_root DIR/one", "watch_root DIR/one\n watch_root DIR/two", "watch_root DIR/one"} {
		if out, code := s.reload(watchSite(roots)); code != 0 {
			t.Fatal(out)
		}
		want := strings.Contains(roots, "two")
		s.waitUntil("b is watched as the roots say", func() bool {
			return strings.Contains(s.get("/api/health/circuit-breakers").raw, `"session":"b"`) == want
		})
	}
	close(stop)
	tree(t, s.dir, "two/b/unseen")
	s.waitForEvents("a", created(<-written)...)
	s.waitForEvents("b")
	if got := s.createSession("c", s.dir+"/two/b"); got != "outside" {
		t.Error(got)
	}
}

// writer makes files in a directory, one after the other, until stop is closed; then
// it answers their names.
func (s *server) writer(dir string) (stop chan struct{}, written chan []string) {
	stop, written = make(chan struct{}), make(chan []string, 1)
	go func() {
		var names []string
		defer func() { written <- names }()
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for len(names) < 900 { // a history has 1000
			name := fmt.Sprintf("f%05d", len(names))
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				s.t.Error(err)
				return
			}
			names = append(names, name)
			select {
			case <-stop:
				return
			case <-pace.C:
			}
		}
	}()
	return stop, written
}

func created(names []string) (events []string) {
	for _, name := range names {
		events = append(events, "file:created "+name)
	}
	return events
}
