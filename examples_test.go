package lifeline_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
)

// The keys of the examples, as their environment has them.
const (
	hubKey      = "Authorization: Bearer now-4711"
	hubKeyOld   = "Authorization: Bearer before-4711"
	fromOutside = "X-Forwarded-For: 192.0.2.1" // no local client
)

// startExampleFile starts examples/<name>.caddyfile: its first site at the test's
// address, and what replace says.
func startExampleFile(t *testing.T, name string, replace ...string) *server {
	t.Helper()
	text := readFile(t, filepath.Join("examples", name+".caddyfile"))
	comment, rest := "", text
	for strings.HasPrefix(rest, "#") {
		line, after, _ := strings.Cut(rest, "\n")
		comment, rest = comment+line+"\n", after
	}
	if !strings.HasPrefix(rest, "{") {
		rest = "{\n}\n" + rest
	}
	rest = "{\nadmin ADMIN\nskip_install_trust\n" + strings.TrimPrefix(rest, "{")
	sites := []string{
		"http://hub.example.com", "http://localhost:PORT", "hub.example.com", "http://localhost:PORT",
		"app.example.com", "http://localhost:PORT", "localhost:8080", "localhost:PORT",
	}
	s := newServer(t)
	s.env = append(s.env, "HUB_KEY=now-4711", "HUB_KEY_BEFORE=before-4711", "REDIS_PASSWORD=example-4711")
	s.launch(s.write(comment + strings.NewReplacer(append(replace, sites...)...).Replace(rest)))
	s.waitUntil("the server answers", func() bool {
		_, err := s.try(http.MethodGet, "/api/events/demo", "", hubKey)
		return err == nil
	})
	return s
}

// gives fails unless a request is answered so.
func (s *server) gives(status int, what string, a answer) {
	s.t.Helper()
	if a.status != status {
		s.t.Errorf("%s: %v, want %d", what, a, status)
	}
}

// TestExampleFiles starts each file of examples/ and uses it.
func TestExampleFiles(t *testing.T) {
	tests := map[string]func(t *testing.T){
		"minimal": func(t *testing.T) {
			s := startExampleFile(t, "minimal")
			s.gives(201, "a local client posts", s.post(stepEvent("demo", "1", 1)))
			s.gives(401, "a client from outside reads", s.get("/api/events/demo", fromOutside))
		},
		"redis": func(t *testing.T) {
			r := redistest.Start(t, "--requirepass", "example-4711")
			s := startExampleFile(t, "redis", "redis.internal:6379", r.Addr())
			s.keyed()
		},
		"sentinel": func(t *testing.T) {
			r := redistest.StartSentinels(t, "")
			s := startExampleFile(t, "sentinel", "mymaster", redistest.SentinelMaster,
				"sentinel-1.internal:26379 sentinel-2.internal:26379 sentinel-3.internal:26379", strings.Join(r.Addrs(), " "))
			s.keyed()
		},
		"cluster": func(t *testing.T) {
			c := redistest.StartCluster(t, 3)
			s := startExampleFile(t, "cluster", "node-1.internal:6379 node-2.internal:6379 node-3.internal:6379", strings.Join(c.Addrs(), " "))
			s.keyed()
			if all, _ := s.get("/api/health/circuit-breakers", hubKey).body["circuitBreakers"].([]any); len(all) != 17 { // sixteen partitions, and the records
				t.Errorf("%d breakers", len(all))
			}
		},
		"basic-auth": func(t *testing.T) {
			s := startExampleFile(t, "basic-auth")
			const alice = "Authorization: Basic YWxpY2U6bGlmZWxpbmU="
			s.gives(201, "alice posts", s.post(stepEvent("demo", "1", 1), alice, fromOutside))
			s.gives(401, "nobody reads", s.get("/api/events/demo"))
			s.gives(200, "alice operates the breaker", s.do(http.MethodPost, "/api/health/circuit-breakers/disk/reset", "", alice))
		},
		"forward-auth": func(t *testing.T) {
			s := startExampleFile(t, "forward-auth", "login.internal:9091", gateway(t))
			s.gives(201, "ann posts", s.post(stepEvent("demo", "1", 1), "Cookie: who=ann"))
			s.gives(401, "whoever says that he is ann reads", s.get("/api/events/demo", "Remote-User: ann"))
		},
		"api-key": func(t *testing.T) {
			s := startExampleFile(t, "api-key")
			s.keyed()
			s.gives(200, "the old key reads", s.get("/api/events/demo", hubKeyOld))
			s.gives(200, "the key in the address reads", s.get("/api/events/demo?apiKey=now-4711"))
			s.waitUntil("requests are logged", func() bool { return strings.Contains(s.log.String(), `"uri":"/api/events/demo`) })
			if log := s.log.String(); strings.Contains(log, "4711") {
				t.Errorf("a key is in the log:\n%s", log)
			}
		},
		"single-page-app": testExampleApp,
		"beside-a-backend": func(t *testing.T) {
			backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = fmt.Fprintf(w, "the application has %s", r.URL.Path)
			}))
			t.Cleanup(backend.Close)
			s := startExampleFile(t, "beside-a-backend", "app.internal:3000", strings.TrimPrefix(backend.URL, "http://"))
			s.publicly()
			for _, path := range []string{"/", "/api/orders/7", "/websites"} {
				if a := s.get(path); a.raw != "the application has "+path {
					t.Errorf("%s: %v", path, a)
				}
			}
		},
		"prefix": func(t *testing.T) {
			s := startExampleFile(t, "prefix")
			if a := s.get("/api/events/demo"); a.raw != "the application" {
				t.Errorf("outside of the prefix: %v", a)
			}
			s.url += "/live"
			s.publicly()
			s.gives(200, "the browser client", s.get("/lifeline/client.js"))
		},
		"two-sites":     testExampleSites,
		"trusted-proxy": func(t *testing.T) { startExampleFile(t, "trusted-proxy").keyed() },
	}
	files, err := filepath.Glob("examples/*.caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".caddyfile")
		if tests[name] == nil {
			t.Errorf("%s has no test", file)
			continue
		}
		t.Run(name, tests[name])
		if !strings.Contains(readFile(t, "examples/README.md"), "("+filepath.Base(file)+")") {
			t.Errorf("examples/README.md does not have %s", file)
		}
		delete(tests, name)
	}
	for name := range tests {
		t.Errorf("examples/%s.caddyfile is missing", name)
	}
}

// keyed wants the key to be the only way in.
func (s *server) keyed() {
	s.t.Helper()
	s.gives(201, "the key posts", s.post(stepEvent("demo", "1", 1), hubKey, fromOutside))
	s.gives(200, "the key reads", s.get("/api/events/demo", hubKey))
	s.gives(401, "nobody reads", s.get("/api/events/demo"))
	s.gives(401, "a wrong key reads", s.get("/api/events/demo", "Authorization: Bearer wrong"))
}

// publicly wants everybody to read, and the key to write.
func (s *server) publicly() {
	s.t.Helper()
	s.gives(201, "the key posts", s.post(stepEvent("demo", "1", 1), hubKey))
	s.gives(200, "everybody reads", s.get("/api/events/demo", fromOutside))
	s.gives(403, "nobody posts", s.post(stepEvent("demo", "2", 2)))
}

func testExampleApp(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"index.html": "the page", "app.js": "the script"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := startExampleFile(t, "single-page-app", "/srv/app", dir)
	s.publicly()
	for path, want := range map[string]string{"/": "the page", "/app.js": "the script", "/sessions/7/steps": "the page"} {
		if a := s.get(path); a.raw != want {
			t.Errorf("%s: %v, want %q", path, a, want)
		}
	}
}

func testExampleSites(t *testing.T) {
	outside := freePort(t)
	s := startExampleFile(t, "two-sites", "inside.example.com", "http://localhost:PORT", "outside.example.com", "http://localhost:"+outside)
	s.keyed()
	s.gives(201, "a draft", s.do(http.MethodPost, "/drafts/api/events", stepEvent("draft", "1", 1), asJSON, hubKey))
	inside := s.url
	s.url = "http://localhost:" + outside
	if a := s.get("/api/events/demo", fromOutside); a.status != http.StatusOK || a.body["count"] != 1.0 {
		t.Errorf("outside: %v", a)
	}
	s.gives(403, "nobody posts outside", s.post(stepEvent("demo", "2", 2)))
	if a := s.get("/api/events/draft"); a.body["count"] != 0.0 {
		t.Errorf("a draft is outside: %v", a)
	}
	s.url = inside
}
