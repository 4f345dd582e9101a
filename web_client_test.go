package lifeline_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
)

// TestBrowserClient: the client is served without `dashboard`, to anyone, and under the
// name of its content for ever.
func TestBrowserClient(t *testing.T) {
	s := start(t, site("lifeline {\n storage memory\n}", "api_key secret"))
	built := readFile(t, "web/client/dist/client.js")
	sum := sha256.Sum256([]byte(built))
	hash := hex.EncodeToString(sum[:8])
	for path, caching := range map[string]string{
		"/lifeline/client.js":              "no-cache",
		"/lifeline/client-" + hash + ".js": "public, max-age=31536000, immutable",
	} {
		a := s.get(path, "Origin: https://elsewhere.example", "Sec-Fetch-Site: cross-site")
		if a.status != http.StatusOK || a.raw != built || a.header.Get("Cache-Control") != caching || a.header.Get("Etag") != `"`+hash+`"` ||
			!strings.HasPrefix(a.header.Get("Content-Type"), "text/javascript") || a.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
		if again := s.get(path, "If-None-Match: "+a.header.Get("Etag")); again.status != http.StatusNotModified || again.raw != "" {
			t.Errorf("%s again: %v", path, again)
		}
		if a := s.do(http.MethodPost, path, ""); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %v", path, a)
		}
	}
	for _, path := range []string{"/lifeline/client-0123456789abcdef.js", "/lifeline/"} {
		if a := s.get(path); strings.Contains(a.raw, "subscription_confirmed") || a.header.Get("Etag") != "" {
			t.Errorf("%s: %v", path, a) // left to the next handler
		}
	}
}
