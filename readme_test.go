package lifeline_test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var caddyfileBlock = regexp.MustCompile("(?s)```caddyfile\n(.*?)```")

// TestReadmeExamples starts every Caddyfile of the README and of the example, at
// another address, and uses it.
func TestReadmeExamples(t *testing.T) {
	examples := []string{readFile(t, "examples/Caddyfile")}
	for _, m := range caddyfileBlock.FindAllStringSubmatch(readFile(t, "README.md"), -1) {
		examples = append(examples, m[1])
	}
	if len(examples) < 3 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, example := range examples {
		if !strings.HasPrefix(strings.TrimSpace(example), "#") && !strings.HasPrefix(example, "{") {
			example = "{\nadmin ADMIN\n}\n" + example
		}
		name, _, _ := strings.Cut(example[strings.LastIndex(example, "\n}\n")+1:], "\n")
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			example = strings.NewReplacer("localhost:8080", "localhost:PORT", "example.com {", "http://localhost:PORT {").Replace(example)
			if err := os.MkdirAll(s.dir+"/examples/watched", 0o700); err != nil {
				t.Fatal(err)
			}
			s.launch(s.write(example))
			s.waitUntil("the server answers", func() bool {
				_, err := s.try(http.MethodGet, "/health", "")
				return err == nil
			})
			alice := "Authorization: Basic YWxpY2U6bGlmZWxpbmU=" // the README's password
			if a := s.post(`{"type":"step:started","sessionId":"demo","action":"hello"}`, alice); a.status != http.StatusCreated {
				t.Errorf("post: %v", a)
			}
			if a := s.do(http.MethodPost, "/api/events/", "{}", asJSON); strings.Contains(example, "respond 404") && a.status != http.StatusNotFound {
				t.Errorf("a mistyped path: %v", a)
			}
			if a := s.get("/api/events/demo", alice); a.status != http.StatusOK || a.body["count"] == 0.0 {
				t.Errorf("get: %v", a)
			}
		})
	}
}

func TestDashboardPage(t *testing.T) {
	s := start(t, site("lifeline {\n storage memory\n}", "dashboard"))
	for path, contentType := range map[string]string{
		"/lifeline/": "text/html", "/lifeline/app.js": "javascript", "/lifeline/style.css": "text/css", "/lifeline/icon.svg": "image/svg+xml",
	} {
		a := s.get(path)
		if a.status != http.StatusOK || !strings.Contains(a.header.Get("Content-Type"), contentType) ||
			!strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
		if again := s.get(path, "If-None-Match: "+a.header.Get("Etag")); again.status != http.StatusNotModified {
			t.Errorf("%s again: %d", path, again.status)
		}
	}
	if a := s.get("/lifeline/none"); a.status != http.StatusNotFound {
		t.Errorf("an unknown file: %v", a)
	}
	if a := s.do(http.MethodPost, "/lifeline/", ""); a.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v", a)
	}
}

func TestListModules(t *testing.T) {
	out, code := newServer(t).caddy("list-modules")
	if code != 0 {
		t.Fatal(out)
	}
	lines := strings.Split(out, "\n")
	for _, id := range []string{
		"lifeline", "http.handlers.lifeline", "admin.api.lifeline",
		"lifeline.storage.disk", "lifeline.storage.memory", "lifeline.storage.redis",
	} {
		if !slices.Contains(lines, id) {
			t.Errorf("%s is missing", id)
		}
		if !strings.Contains(readFile(t, "xcaddy.md"), id) {
			t.Errorf("%s is missing in xcaddy.md", id)
		}
	}
}

// TestBusyPortIsNamed: make run says which port is taken before it builds.
func TestBusyPortIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for args, want := range map[string]string{
		port + " localhost:" + freePort(t):        "Port " + port + " is in use",
		freePort(t) + " localhost:" + port:        "admin port localhost:" + port + " is in use",
		freePort(t) + " localhost:" + freePort(t): "",
	} {
		out, err := exec.Command("scripts/check-ports", strings.Fields(args)...).CombinedOutput()
		if (err != nil) != (want != "") || !strings.Contains(string(out), want) {
			t.Errorf("check-ports %s: %v %s", args, err, out)
		}
	}
}

// TestOpenSiteWithoutAccessIsWarnedAbout: whoever serves others without saying
// whom is told at the start.
func TestOpenSiteWithoutAccessIsWarnedAbout(t *testing.T) {
	const warning = "has no access line"
	for config, want := range map[string]bool{
		"http://localhost:PORT {\nlifeline\n}\n":                                             false,
		"http://127.0.0.1:PORT {\nlifeline\n}\n":                                             false,
		"http://localhost:PORT {\nrespond /x y\n}\nhttp://hub.example:PORT {\nlifeline\n}\n": true,
		":PORT {\nlifeline\n}\n":                                                             true,
		":PORT {\nbind 127.0.0.1\nlifeline\n}\n":                                             false,
		":PORT {\nlifeline {\nanonymous read\n}\n}\n":                                        false,
	} {
		out, code := func() (string, int) {
			s := newServer(t)
			return s.caddy("validate", "--config", s.write(config), "--adapter", "caddyfile")
		}()
		if code != 0 || strings.Contains(out, warning) != want {
			t.Errorf("exit %d, warned %t, want %t:\n%s\n%s", code, strings.Contains(out, warning), want, config, out)
		}
	}
}
