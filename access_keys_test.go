package lifeline_test

import (
	"encoding/base64"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Keys of a test, with what must nowhere be seen of them.
const (
	loggedKey = "geheim schluessel+/&=%"
	wrongOne  = "falsch schluessel+/&=%"
)

// spellings are how a key may stand in a text: in the clear or in an address it has
// the word.
func spellings(key string) []string {
	return []string{
		"schluessel", base64.RawURLEncoding.EncodeToString([]byte(key)), base64.StdEncoding.EncodeToString([]byte(key)),
	}
}

func tellsKey(text string) string {
	for _, key := range []string{loggedKey, wrongOne} {
		for _, s := range spellings(key) {
			if i := strings.Index(text, s); i >= 0 {
				return text[max(0, i-200):min(len(text), i+200)]
			}
		}
	}
	return ""
}

// TestKeysAreNotLogged sends keys in every way, to every route, and to what stands
// beside them, and looks for them in all that the server says and writes, with the
// filter of docs/security.md and at level debug.
func TestKeysAreNotLogged(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "broken", http.StatusBadGateway)
	}))
	defer backend.Close()
	address := strings.TrimPrefix(backend.URL, "http://")
	s := startExample(t, securityExamples(t)["a service with a key"],
		"{\nadmin", "{\ndebug\nadmin",
		"\tlog\n", "log\nrewrite /rewritten /api/events/s\nforward_auth /checked "+address+" {\nuri /verify\n}\n"+
			"reverse_proxy /proxied "+address+"\nreverse_proxy /away 127.0.0.1:1\n@fails path /fails\nhandle @fails {\nerror 500\n}\n",
		"\tlifeline {", "\tlifeline {\nbreaker_admin *\npoll_rate 1000 1s\n",
		"{env.HUB_KEY_BEFORE}", "{file."+filepath.Join(keyDir(t), "key")+"}")
	s.waitUntil("the server answers", func() bool {
		_, err := s.try(http.MethodGet, "/health", "")
		return err == nil
	})
	query := "apiKey=" + url.QueryEscape(loggedKey)
	if a := s.get("/api/events/s?" + query); a.status != http.StatusOK {
		t.Fatalf("the key in the address: %v", a)
	}
	var told []string
	see := func(a answer) {
		if a.status == 0 {
			return
		}
		if found := tellsKey(a.raw); found != "" {
			told = append(told, found)
		}
		for name, values := range a.header {
			if found := tellsKey(name + strings.Join(values, ",")); found != "" {
				told = append(told, found)
			}
		}
	}
	s.sendKeys(t, see)
	for _, path := range []string{"/config/", "/lifeline/breakers", "/metrics", "/lifeline/breakers/default/none/reset"} {
		see(s.get(s.admin + path))
	}
	adapted, _ := s.caddy("adapt", "--config", s.dir+"/Caddyfile", "--adapter", "caddyfile")
	see(answer{status: 1, raw: adapted})
	for _, found := range told {
		t.Errorf("an answer tells a key: …%s…", found)
	}
	s.logs(`"http.log.access"`, `"http.log.error"`, "rewrote request", "upstream roundtrip", "Sec-Websocket") // what this test is about
	s.terminate()
	if found := tellsKey(s.log.String()); found != "" {
		t.Errorf("the log tells a key: …%s…", found)
	}
	s.lookForKeys(t)
}

// keyDir is a directory with a file that holds the key.
func keyDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte(loggedKey), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sendKeys sends each key in each way to each route and to paths beside them.
func (s *server) sendKeys(t *testing.T, see func(answer)) {
	t.Helper()
	const foreign = "https://evil.example"
	routes := walk(t, "s:1")
	for _, path := range []string{
		"/mistyped", "/rewritten", "/checked", "/proxied", "/away", "/fails", "/lifeline", "/lifeline/", "/lifeline/none",
		"/api/events/poll", "/api/events/%FF", "/api/events/" + strings.Repeat("x", 201), "/api/events/s/recent?limit=many",
		"/api/health/circuit-breakers/memory/reset",
	} {
		routes = append(routes, walkedRoute{method: "GET", path: path}, walkedRoute{method: "POST", path: path, body: "{"})
	}
	for _, key := range []string{loggedKey, wrongOne} {
		inQuery := "apiKey=" + url.QueryEscape(key)
		protocol := "lifeline.key." + base64.RawURLEncoding.EncodeToString([]byte(key))
		for _, r := range routes {
			if strings.Contains(r.path, "/api/events/stream") && key == loggedKey {
				continue // it would not end
			}
			path := r.path + "?" + inQuery
			if strings.Contains(r.path, "?") {
				path = r.path + "&" + inQuery
			}
			see(s.do(r.method, path, r.body, asJSON))
			see(s.do(r.method, path+"&"+inQuery, r.body, asJSON))
			see(s.do(r.method, path, r.body, asJSON, "Origin: "+foreign))
			see(s.do(r.method, r.path, r.body, asJSON, "Authorization: Bearer "+key))
			see(s.do(r.method, r.path, r.body, asJSON, "Sec-WebSocket-Protocol: lifeline.v1, "+protocol))
			see(s.do(r.method, r.path, r.body, asJSON, "Referer: "+s.url+"/page?"+inQuery))
		}
		for _, origin := range []string{"", s.url, foreign} {
			h := http.Header{}
			if origin != "" {
				h.Set("Origin", origin)
			}
			c, err := s.tryDial(h, "lifeline.v1", protocol)
			if err != nil {
				continue
			}
			if key == wrongOne || origin == foreign {
				ended(t, "a refused WebSocket", c.closed)
				continue
			}
			c.send(t, `{"type":"nonsense"}`)
			c.frame(t, "error")
			_ = c.conn.Close()
		}
	}
}

// lookForKeys looks into each file that the server has written, but for the Caddyfile.
func (s *server) lookForKeys(t *testing.T) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		if found := tellsKey(string(b)); found != "" {
			t.Errorf("%s tells a key: …%s…", path, found)
		}
		return err
	})
	if err != nil || files < 2 { // at least the autosaved configuration
		t.Errorf("%d files: %v", files, err)
	}
}

// TestBadKeysAreNotShown: a key that cannot be one is refused without being shown.
func TestBadKeysAreNotShown(t *testing.T) {
	s := newServer(t)
	out, code := s.caddy("validate", "--config", s.write(site("", `api_key "`+loggedKey+` "`)), "--adapter", "caddyfile")
	if code == 0 || !strings.Contains(out, "API key 1") || tellsKey(out) != "" {
		t.Errorf("exit %d: %s", code, out)
	}
}
