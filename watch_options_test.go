package lifeline_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
)

// watching waits until n directories are watched.
func (s *server) watching(n int) {
	s.t.Helper()
	s.waitUntil(fmt.Sprintf("%d directories are watched", n), func() bool {
		return strings.Count(s.get("/api/health/circuit-breakers").raw, `"state":"watching"`) == n
	})
}

// Each option of a watch line does what it says; ignore, debounce and retry also in
// the tests of watch_test.go.
func TestOptionsOfWatch(t *testing.T) {
	s := newServer(t)
	tree(t, s.dir, "dir/")
	var lines strings.Builder
	options := map[string]string{
		"plain":   "",
		"all":     "ignore_default off",
		"ignore":  "ignore *.log tmp/**\n ignore /only/here",
		"shallow": "depth 0",
		"deep":    "depth 1",
		"nowhere": "absolute_paths off",
		"polled":  "poll 100ms",
		"polls":   "poll",
	}
	for session, option := range options {
		fmt.Fprintf(&lines, "watch %s DIR/dir {\n debounce 50ms\n %s\n}\n", session, option)
	}
	s.start(watchSite(lines.String()))
	s.watching(len(options))
	tree(t, s.dir, "dir/.git/", "dir/x.log", "dir/tmp/deep/", "dir/only/here/", "dir/here")
	plain := []string{
		"file:created here", "file:created only", "file:created only/here",
		"file:created tmp", "file:created tmp/deep", "file:created x.log",
	}
	without := func(gone ...string) (left []string) {
		for _, e := range plain {
			if !slices.Contains(gone, strings.TrimPrefix(e, "file:created ")) {
				left = append(left, e)
			}
		}
		return left
	}
	for session, want := range map[string][]string{
		"plain":   plain,
		"all":     append([]string{"file:created .git"}, plain...),
		"ignore":  without("x.log", "tmp", "tmp/deep", "only/here"),
		"shallow": without("tmp/deep", "only/here"),
		"deep":    plain,
		"nowhere": plain,
		"polled":  plain,
		"polls":   plain,
	} {
		s.waitForEvents(session, want...)
	}
	for _, session := range []string{"plain", "nowhere"} {
		a := s.get("/api/events/" + session + "?limit=100")
		if tells := strings.Contains(a.raw, s.dir); tells != (session == "plain") {
			t.Errorf("%s: absolute paths: %v", session, a)
		}
	}
	for _, session := range []string{"plain", "polled"} { // polling spends no watches
		a := s.get(s.admin + "/lifeline/watchers/default")
		_, of, _ := strings.Cut(a.raw, `"session":"`+session+`"`)
		of, _, _ = strings.Cut(of, "}")
		if zero := strings.Contains(of, `"watches":0,`); zero != (session == "polled") {
			t.Errorf("%s: %s", session, of)
		}
	}
	if a := s.get("/api/sessions/nowhere"); a.text("cwd") != "" || a.text("status") != "in_progress" {
		t.Errorf("its record: %v", a)
	}
}

// debounce holds an event back while its path changes, max_wait says how long at
// most.
func TestDebounceAndMaxWait(t *testing.T) {
	s := newServer(t)
	tree(t, s.dir, "dir/")
	s.start(watchSite("watch quick DIR/dir {\n debounce 50ms\n}\n" +
		"watch often DIR/dir {\n debounce 5s\n max_wait 5s\n}\n" +
		"watch rare DIR/dir {\n debounce 5s\n max_wait 10m\n}"))
	s.watching(3)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for text := []byte("x"); ; text = append(text, 'x') {
			if err := os.WriteFile(s.dir+"/dir/busy", text, 0o600); err != nil {
				t.Error(err)
			}
			select {
			case <-stop:
				return
			case <-pace.C:
			}
		}
	}()
	s.waitUntil("a file that is written without end is reported", func() bool { return len(s.fileEvents("often")) > 0 })
	if n := len(s.fileEvents("quick")); n < 2 {
		t.Errorf("held for 2 s at most, it was reported %d times in 5 s", n)
	}
	if got := s.fileEvents("rare"); len(got) > 0 {
		t.Errorf("reported before it was quiet: %v", got)
	}
	close(stop)
	<-done
	s.waitForEvents("rare", "file:created busy")
}

// The records of watch lines are there from the start, and are the clients' to end.
func TestRecordsOfWatchLines(t *testing.T) {
	s := newServer(t)
	tree(t, s.dir, "dir/")
	config := watchSite("watch demo DIR/dir {\n debounce 50ms\n}\nwatch_root DIR")
	s.start(config)
	s.watching(1)
	s.waitUntil("the record is there", func() bool { return s.get("/api/sessions/demo").status == http.StatusOK })
	if a := s.get("/api/sessions/demo"); a.text("status") != "in_progress" || a.text("cwd") != s.dir+"/dir" {
		t.Errorf("its record: %v", a)
	}
	if a := s.do(http.MethodPut, "/api/sessions/demo", `{"status":"completed","summary":"done"}`, asJSON); a.status != http.StatusOK {
		t.Fatal(a)
	}
	tree(t, s.dir, "dir/one")
	s.waitForEvents("demo", "file:created one") // the line is there still
	s.terminate()
	s.start(config)
	if a := s.get("/api/sessions/demo"); a.text("status") != "completed" || a.text("summary") != "done" {
		t.Errorf("its record after a restart: %v", a)
	}
	if a := s.do(http.MethodDelete, "/api/sessions/demo", ""); a.status != http.StatusOK {
		t.Fatal(a)
	}
	if got := s.createSession("demo", s.dir); got != "configured" {
		t.Errorf("a client's session of a watch line, elsewhere: %s", got)
	}
	tree(t, s.dir, "dir/two", "elsewhere")
	s.waitForEvents("demo", "file:created two")
}

// A Redis that is away at the start gets the records when it is back.
func TestRecordsAfterAnOutage(t *testing.T) {
	r := redistest.Start(t)
	r.Kill()
	s := newServer(t)
	tree(t, s.dir, "dir/")
	s.start(site("lifeline {\n storage redis "+r.URL()+"\n watch demo DIR/dir\n}", ""))
	if a := s.get("/api/sessions/demo"); a.status != http.StatusServiceUnavailable {
		t.Errorf("in the outage: %v", a)
	}
	r.Restart()
	s.waitUntil("the record is there", func() bool { return s.get("/api/sessions/demo").text("status") == "in_progress" })
}

// Directories that cannot be watched, or only to harm, are errors of the
// configuration. What the parser refuses is in testdata/options.
func TestMistakesInWatch(t *testing.T) {
	s := newServer(t)
	s.env = append(s.env, "HERE="+s.dir)
	for name, c := range map[string]struct {
		options string
		words   []string
	}{
		"missing variable":   {"watch a {env.NO_SUCH_DIR}/x", []string{"watch a", "env.NO_SUCH_DIR"}},
		"the server's data":  {"watch a DIR/data/caddy/lifeline", []string{"watch a", "where the server keeps its data"}},
		"the hub's storage":  {"watch a ./hub", []string{"watch a", "where the server keeps its data"}},
		"watch_root, no env": {"watch_root {env.NO_SUCH_DIR}", []string{"watch_root", "env.NO_SUCH_DIR"}},
		"watch_root, /etc":   {"watch_root {env.HERE} /etc/app", []string{"watch_root", "nothing in /etc is ever watched"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := "{\n\tlifeline {\n\t\tstorage disk DIR/hub\n" + c.options + "\n\t}\n}\nhttp://localhost:PORT {\n\tlifeline\n}\n"
			out, code := s.caddy("validate", "--config", s.write(text), "--adapter", "caddyfile")
			out = strings.ReplaceAll(out, `\"`, `"`) // it is in a JSON log
			if code == 0 {
				t.Fatalf("accepted: %s", out)
			}
			for _, word := range c.words {
				if !strings.Contains(out, s.expand(word)) {
					t.Errorf("%s\ndoes not say %q", out, word)
				}
			}
		})
	}
	if _, err := os.Stat(filepath.Join(s.dir, "data")); err == nil {
		t.Error("validate made a directory")
	}
}

// Reloads leave unchanged watch lines alone: while one comes after the other nothing
// is missing, and nothing is told twice. Those that are removed end.
func TestReloadsLeaveNoGap(t *testing.T) {
	s := newServer(t)
	tree(t, s.dir, "stays/", "changes/", "goes/")
	config := func(debounce, more string) string {
		return watchSite("# a line more\nwatch stays DIR/stays {\n debounce 50ms\n}\nwatch changes DIR/changes {\n debounce " + debounce + "\n}\n" + more)
	}
	goes := "watch goes DIR/goes {\n debounce 50ms\n}"
	s.start(config("50ms", goes))
	s.watching(3)
	stop, written := s.writer(s.dir + "/stays")
	for _, c := range []string{config("60ms", goes), config("70ms", ""), config("50ms", "history 2000\n"+goes), config("50ms", "")} {
		if out, code := s.reload(c); code != 0 {
			t.Fatal(out)
		}
	}
	s.watching(2)
	close(stop)
	tree(t, s.dir, "goes/unseen", "changes/seen")
	s.waitForEvents("stays", created(<-written)...)
	s.waitForEvents("changes", "file:created seen")
	s.waitForEvents("goes")
}
