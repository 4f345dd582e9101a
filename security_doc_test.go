package lifeline_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// securityExamples are the Caddyfiles of docs/security.md by their first comment.
func securityExamples(t *testing.T) map[string]string {
	t.Helper()
	examples := map[string]string{}
	for _, m := range caddyfileBlock.FindAllStringSubmatch(readFile(t, "docs/security.md"), -1) {
		name, _, _ := strings.Cut(strings.TrimPrefix(m[1], "# "), "\n")
		examples[name] = m[1]
	}
	return examples
}

// startExample starts an example, at another address and with events in memory.
func startExample(t *testing.T, example string, replace ...string) *server {
	t.Helper()
	s := newServer(t)
	s.env = append(s.env, "HUB_KEY=now-4711", "HUB_KEY_BEFORE=before-4711")
	comment, rest, _ := strings.Cut(example, "\n")
	if !strings.HasPrefix(rest, "{") {
		rest = "{\n}\n" + rest
	}
	rest = "{\nadmin ADMIN\nskip_install_trust\nlifeline {\nstorage memory\n}" + strings.TrimPrefix(rest, "{")
	site := []string{"http://hub.example.com", "http://localhost:PORT", "hub.example.com {", "http://localhost:PORT {", "localhost:8080", "localhost:PORT"}
	s.launch(s.write(comment + "\n" + strings.NewReplacer(append(replace, site...)...).Replace(rest)))
	return s
}

// TestSecurityExamples starts every Caddyfile of docs/security.md and sees who gets in.
func TestSecurityExamples(t *testing.T) {
	const (
		now, before, wrong = "Authorization: Bearer now-4711", "Authorization: Bearer before-4711", "Authorization: Bearer wrong"
		alice              = "Authorization: Basic YWxpY2U6bGlmZWxpbmU="
		proxied            = "X-Forwarded-For: 192.0.2.1"
	)
	login := gateway(t)
	type person struct {
		headers     []string
		read, write int
	}
	checks := map[string]map[string]person{
		"local clients only": {
			"a local client": {nil, 200, 201},
			"a proxy":        {[]string{proxied}, 401, 401},
		},
		"a service with a key": {
			"the key":     {[]string{now, proxied}, 200, 201},
			"the old key": {[]string{before}, 200, 201},
			"nobody":      {nil, 401, 401},
			"a wrong key": {[]string{wrong}, 401, 401},
		},
		"accounts": {
			"alice":  {[]string{alice, proxied}, 200, 201},
			"nobody": {nil, 401, 401},
		},
		"a login server": {
			"ann":            {[]string{"Cookie: who=ann"}, 200, 201},
			"nobody":         {[]string{"Remote-User: ann"}, 401, 401},
			"a guest as ann": {[]string{"Cookie: who=guest", "Remote-User: ann"}, 401, 401},
		},
		"everybody reads, one service writes": {
			"nobody":  {[]string{proxied}, 200, 403},
			"the key": {[]string{now}, 200, 201},
		},
		"behind a proxy at 10.0.0.2": {
			"the key": {[]string{now, proxied}, 200, 201},
			"nobody":  {[]string{proxied}, 401, 401},
			"locally": {nil, 401, 401},
		},
		"a page of another origin": {
			"the page":     {[]string{"Origin: https://app.example.com"}, 200, 403},
			"another page": {[]string{"Origin: https://evil.example"}, 403, 403},
		},
	}
	for name, example := range securityExamples(t) {
		if name == "certificates" {
			continue // see TestCertificates
		}
		persons := checks[name]
		delete(checks, name)
		t.Run(name, func(t *testing.T) {
			if persons == nil {
				t.Fatal("nobody says who gets in")
			}
			s := startExample(t, example, "login:9091", login)
			s.waitUntil("the server answers", func() bool {
				_, err := s.try(http.MethodGet, "/health", "")
				return err == nil
			})
			for who, p := range persons {
				if a := s.get("/api/events/demo", p.headers...); a.status != p.read {
					t.Errorf("%s reads: %v, want %d", who, a, p.read)
				}
				if a := s.post(stepEvent("demo", who, 1), p.headers...); a.status != p.write {
					t.Errorf("%s writes: %v, want %d", who, a, p.write)
				}
			}
			if log := s.log.String(); strings.Contains(log, forgeable) || strings.Contains(log, "has no access line") {
				t.Error("warned without cause")
			}
		})
	}
	for name := range checks {
		t.Errorf("docs/security.md has no example %q", name)
	}
}

// TestCertificates starts the example of client certificates.
func TestCertificates(t *testing.T) {
	ca, client := clientCertificate(t)
	file := filepath.Join(t.TempDir(), "clients.pem")
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	s := startExample(t, securityExamples(t)["certificates"],
		"/etc/caddy/clients.pem", file, "hub.example.com {", "https://localhost:PORT {", "\ttls {", "\ttls internal {")
	s.url = strings.Replace(s.url, "http:", "https:", 1)
	s.client = client
	s.waitUntil("the server answers", func() bool {
		a, err := s.try(http.MethodGet, "/health", "")
		return err == nil && a.status == http.StatusOK
	})
	s.post(stepEvent("s", "1", 1))
	if a := s.get("/api/sessions/s"); a.text("user") != "CN=ann" {
		t.Errorf("the session: %v", a)
	}
	_, s.client = clientCertificate(t) // of another authority
	if a, err := s.try(http.MethodGet, "/api/events/s", ""); err == nil {
		t.Errorf("a certificate that anybody can make: %v", a)
	}
}

// TestExampleHasTheLogFilter: the one of docs/security.md, which has a test of its own.
func TestExampleHasTheLogFilter(t *testing.T) {
	_, filter, _ := strings.Cut(securityExamples(t)["a service with a key"], "\tlog {\n")
	filter, _, _ = strings.Cut(filter, "\n\t}\n")
	if !strings.Contains(filter, "delete apiKey") || !strings.Contains(readFile(t, "examples/Caddyfile"), filter) {
		t.Errorf("examples/Caddyfile lacks\n%s", filter)
	}
}
