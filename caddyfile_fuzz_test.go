package lifeline_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// place is how an error names file and line.
var place = regexp.MustCompile(`Caddyfile:\d+`)

// Whatever stands in our blocks, it is taken, or refused with its place.
func FuzzCaddyfile(f *testing.F) {
	for _, seed := range []string{
		"storage memory", "storage disk ./x {\nmax_size 1GiB\n}", "storage redis redis://localhost {\ntimeout 1s\npool 3\n}", "history 5 1h", "journal off",
		"breaker {\nfailure_threshold 3\nrate 0.5 1m 10\n}", "watch s . {\nignore *.x\ndepth 3\n}", "max_queue 1MiB 10", "max_logs x", "lifecycle_broadcast off", "nonsense", "storage", "history {", "}",
	} {
		f.Add(seed, "")
		f.Add("", seed)
	}
	for _, seed := range []string{"api_key a b", "user {http.request.header.X}", "anonymous read write", "origins https://a", "poll_rate 1 5s", "compression", "dashboard", "breaker_admin *"} {
		f.Add("", seed)
	}
	adapter := caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}
	f.Fuzz(func(t *testing.T, hub, site string) {
		if strings.ContainsAny(hub+site, "{}") && strings.Contains(hub+site, "import") {
			return // reads files
		}
		text := "{\n\tlifeline {\n" + hub + "\n\t}\n}\nhttp://localhost:1 {\n\tlifeline {\n" + site + "\n\t}\n}\n"
		_, _, err := adapter.Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
		if err == nil || !strings.Contains(err.Error(), "lifeline") {
			return // not ours to say
		}
		if !place.MatchString(err.Error()) {
			t.Fatalf("%q, %q: %v", hub, site, err)
		}
	})
}
