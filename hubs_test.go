package lifeline

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// TestNamedHubs: several blocks make several hubs; mistakes are told with the lines.
func TestNamedHubs(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"several": {
			"{\nlifeline {\nstorage memory\n}\nlifeline side {\nmax_polls 3\n}\n}\nhttp://localhost:1 {\nlifeline side\n}\nhttp://localhost:2 {\nlifeline\n}\n",
			"",
		},
		"default without a block":    {"http://localhost:1 {\nlifeline default\n}\n", ""},
		"the same twice":             {"{\nlifeline side {\n}\nlifeline {\n}\nlifeline side {\n}\n}\n", "hub side is defined at Caddyfile:2 already, at Caddyfile:6"},
		"the default twice":          {"{\nlifeline {\n}\nlifeline default\n}\n", "hub default is defined at Caddyfile:2 already, at Caddyfile:4"},
		"unknown":                    {"{\nlifeline side\nlifeline main\n}\nhttp://localhost:1 {\nlifeline sid\n}\n", `unknown hub "sid"; known hubs: default, main, side, at Caddyfile:6`},
		"unknown, no block":          {"http://localhost:1 {\nlifeline sid {\nanonymous read\n}\n}\n", `unknown hub "sid"; known hubs: default, at Caddyfile:2`},
		"name of a hub":              {"{\nlifeline Side\n}\n", `hub name "Side": use 1 to 32 characters of a-z, 0-9, _ and -, at Caddyfile:2`},
		"name in a site":             {"http://localhost:1 {\nlifeline a.b\n}\n", `hub name "a.b": use 1 to 32 characters of a-z, 0-9, _ and -, at Caddyfile:2`},
		"long name":                  {"{\nlifeline " + strings.Repeat("a", 33) + "\n}\n", "use 1 to 32 characters"},
		"two names":                  {"{\nlifeline a b\n}\n", "lifeline takes one hub name, got a b, at Caddyfile:2"},
		"two names in a site":        {"http://localhost:1 {\nlifeline default b\n}\n", "lifeline: 1 too many values, at Caddyfile:2"},
		"unknown option":             {"{\nlifeline {\nhistroy 10\n}\n}\n", `unknown option "histroy" of lifeline; known: breaker, history`},
		"unknown option of a site":   {"http://localhost:1 {\nlifeline {\napikey a\n}\n}\n", `unknown option "apikey" of lifeline; known: anonymous, api_key`},
		"a site's option in a hub":   {"{\nlifeline {\napi_key a\n}\n}\n", `unknown option "api_key" of lifeline`},
		"watch in two hubs is right": {"{\nlifeline a {\nwatch s ./a\n}\nlifeline b {\nwatch s ./a\n}\n}\n", ""},
	} {
		config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(c.text), map[string]any{"filename": "Caddyfile"})
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		case err == nil:
			if err := validate(config); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestUnknownHubOfJSON: without a Caddyfile the same is told when Caddy loads it.
func TestUnknownHubOfJSON(t *testing.T) {
	config := `{"admin":{"disabled":true},"apps":{"lifeline":{"hubs":{"side":{}}},
		"http":{"servers":{"s":{"listen":["localhost:1"],"routes":[{"handle":[{"handler":"lifeline","hub":"sid"}]}]}}}}}`
	if err := validate([]byte(config)); err == nil || !strings.Contains(err.Error(), `unknown hub "sid"; known hubs: default, side`) {
		t.Error(err)
	}
}
