package events

import (
	"net/http"
	"strings"
	"testing"
)

func TestNormalOrigin(t *testing.T) {
	for in, want := range map[string]string{
		"https://app.example":      "https://app.example",
		"https://app.example:443":  "https://app.example",
		"http://app.example:80":    "http://app.example",
		"http://app.example:443":   "http://app.example:443",
		"HTTPS://App.Example:8443": "https://app.example:8443",
		"http://[2001:DB8::1]:80":  "http://[2001:db8::1]",
		"tauri://localhost":        "tauri://localhost",
	} {
		if got, err := normalOrigin(in); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "*", "null", "app.example", "//app.example", "https://", "https://:443", "https://*.example",
		"https://app.example/", "https://app.example?x", "https://app.example?", "https://app.example#", "https://u@app.example",
		"https://bücher.example", "https://app example", "mailto:x", "https://app.example:port",
	} {
		if got, err := normalOrigin(in); err == nil {
			t.Errorf("%q: %s", in, got)
		}
	}
}

func TestCORS(t *testing.T) {
	s := newTestSite(t, func(s *Site, _ *siteBackend, _ *Config) {
		s.Access = Access{Keys: []string{testKey}, Origins: []string{"https://app.example"}}
	})
	for _, tt := range []struct {
		origin string
		edit   func(*http.Request)
		status int
		shared bool
	}{
		{"https://app.example", withKey, 200, true},
		{"https://app.example", remote, 401, true}, // errors can be read too
		{"http://localhost:8080", withKey, 200, true},
		{"https://evil.example", withKey, 403, false},
		{"null", withKey, 403, false},
		{"", withKey, 200, false},
	} {
		a := s.do("GET", "/api/events/s", "", tt.edit, func(r *http.Request) {
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
		})
		a.want(t, tt.status, "")
		origin, expose := "", ""
		if tt.shared {
			origin, expose = tt.origin, "Retry-After, Lifeline-Degraded, ETag"
		}
		h := a.header
		if h.Get("Access-Control-Allow-Origin") != origin || h.Get("Access-Control-Expose-Headers") != expose ||
			(h.Get("Access-Control-Allow-Credentials") == "true") != tt.shared || h.Get("Vary") != "Origin" {
			t.Errorf("%q: %v", tt.origin, h)
		}
	}
}

// A preflight comes without credentials, and is answered before they are asked
// for; to a foreign page it is refused like everything else.
func TestPreflight(t *testing.T) {
	s := newTestSite(t, func(s *Site, _ *siteBackend, _ *Config) {
		s.Access = Access{Keys: []string{testKey}, Origins: []string{"https://app.example"}}
	})
	for _, rt := range everyRoute {
		ask := func(origin string) answer {
			return s.do("OPTIONS", rt.path, "", remote, header("Origin", origin),
				header("Access-Control-Request-Method", rt.method), header("Access-Control-Request-Headers", "authorization"))
		}
		a := ask("https://app.example")
		a.want(t, 204, "")
		h := a.header
		if !strings.Contains(h.Get("Access-Control-Allow-Methods"), rt.method) || h.Get("Access-Control-Max-Age") != "600" ||
			h.Get("Access-Control-Allow-Headers") != "Authorization, Content-Type, Last-Event-ID" ||
			h.Get("Access-Control-Allow-Origin") != "https://app.example" || h.Get("Vary") != "Origin" || a.body != "" {
			t.Errorf("%s: %v %s", rt.path, h, a.body)
		}
		if rt.public {
			continue
		}
		a = ask("https://evil.example")
		a.want(t, 403, "forbidden")
		if a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", rt.path, a.header)
		}
	}
	a := s.do("OPTIONS", "/api/events", "", remote)
	a.want(t, 204, "")
	if a.header.Get("Allow") != "POST, OPTIONS" || a.header.Get("Access-Control-Max-Age") != "" {
		t.Errorf("no preflight: %v", a.header)
	}
}
