package lifeline_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// TestRoutes: what routes leaves out goes to the next handler, and who came by it is
// gone after the reload that leaves it out.
func TestRoutes(t *testing.T) {
	config := func(routes string) string {
		return "{\nadmin ADMIN\nlifeline {\nstorage memory\n}\n}\nhttp://localhost:PORT {\nlifeline {\n" + routes +
			"\nbreaker_admin *\n}\nrespond next 299\n}\n"
	}
	paths := map[string]string{
		"events": "/api/events/s", "ws": "/ws", "sessions": "/api/sessions", "commands": "/api/sessions/s/commands",
		"records": "/api/records/bookmarks?sessionId=s", "health": "/health", "client": "/lifeline/client.js",
	}
	s := start(t, config(""))
	check := func(on ...string) {
		t.Helper()
		for group, path := range paths {
			if a := s.get(path); (a.status == 299) == slices.Contains(on, group) {
				t.Errorf("with %q: %s: %v", on, path, a)
			}
		}
		a := s.anew().do(http.MethodPost, "/api/health/circuit-breakers/memory/reset", "")
		if (a.status == 299) == slices.Contains(on, "health") {
			t.Errorf("with %q: an operation on a breaker: %v", on, a)
		}
	}
	check("events", "ws", "sessions", "commands", "records", "health", "client")
	c, stream := s.dial(nil), s.follow("s", nil)
	c.subscribe(t, "s", "")
	if out, code := s.reload(config("routes events client")); code != 0 {
		t.Fatal(out)
	}
	check("events", "client")
	ended(t, "a WebSocket", c.closed)
	if c.code != 4403 {
		t.Errorf("closed with %d", c.code)
	}
	s.anew().post(stepEvent("s", "one", 1))
	stream.waitFor(t, 1)
	if out, code := s.reload(config("routes ws sessions commands records health")); code != 0 {
		t.Fatal(out)
	}
	check("ws", "sessions", "commands", "records", "health")
	ended(t, "a stream", stream.ended)
}

// TestReloadCloseDelay: after a reload the clients come again, each a little later, and
// miss nothing; without the option they stay.
func TestReloadCloseDelay(t *testing.T) {
	config := func(option string) string { return site("lifeline {\n storage memory\n"+option+"\n}", "") }
	s := start(t, config("reload_close_delay 1s"))
	c, stream := s.dial(nil), s.follow("s", nil)
	cursor, _ := c.subscribe(t, "s", "")["cursor"].(string)
	if out, code := s.reload(config("reload_close_delay 500ms\nmax_replays 5")); code != 0 {
		t.Fatal(out)
	}
	ended(t, "a WebSocket", c.closed)
	ended(t, "a stream", stream.ended)
	if c.code != ws.StatusGoingAway || !strings.Contains(c.failed().Error(), "retryAfter") {
		t.Errorf("closed with %d: %v", c.code, c.failed())
	}
	s.anew().post(stepEvent("s", "one", 1))
	again := s.dial(nil)
	again.subscribe(t, "s", cursor)
	if got := again.waitFor(t, 1); !slices.Equal(got, []string{"one"}) {
		t.Errorf("who comes again gets %v", got)
	}
	if out, code := s.reload(config("")); code != 0 {
		t.Fatal(out)
	}
	again.send(t, `{"type":"ping"}`)
	again.frame(t, "pong")
}

// TestSwallowed: whichever of our paths a rewrite in front takes, its site says so once.
func TestSwallowed(t *testing.T) {
	s := start(t, "{\nadmin ADMIN\nlifeline {\nstorage memory\n}\n}\nhttp://localhost:PORT {\nhandle_path /prefix/* {\nlifeline\n}\n"+
		"handle /index.html {\nrespond index\n}\nhandle {\nlifeline {\nroutes health\n}\nrespond next\n}\n}\n"+
		"http://page.localhost:PORT {\nroot DIR\ntry_files {path} /index.html\nlifeline {\nroutes client ws\n}\nrespond page\n}\n")
	warnings := func() int { return strings.Count(s.log.String(), "a rewrite in front of lifeline") }
	const page = "Host: page.localhost"
	for _, path := range []string{"/prefix/api/events/s", "/prefix/none", "/none", "/health", "/lifeline/client.js"} {
		s.get(path)
	}
	s.get("/api/events/s", page)
	s.get("/none", page)
	if n := warnings(); n != 0 {
		t.Errorf("%d warnings without cause:\n%s", n, s.log)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "index.html"), []byte("index"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.get("/api/events/s", page) // not a route of this site
	if n := warnings(); n != 0 {
		t.Errorf("%d warnings about what is not ours", n)
	}
	for range 2 {
		s.get("/lifeline/client.js", page)
		s.get("/ws", page)
	}
	if n := warnings(); n != 1 {
		t.Errorf("%d warnings", n)
	}
}
