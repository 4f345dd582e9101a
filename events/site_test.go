package events

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMatchRoute(t *testing.T) {
	tests := []struct {
		path string
		want *route // nil: not ours
	}{
		{"/ws", &route{kind: routeSocket}},
		{"/health", &route{kind: routeHealth}},
		{"/api/health/circuit-breakers", &route{kind: routeBreakers}},
		{"/api/events", &route{kind: routeIngest}},
		{"/api/events/a", &route{kind: routeRead, session: "a"}},
		{"/api/events/a/recent", &route{kind: routeRecent, session: "a"}},
		{"/api/events/poll/a", &route{kind: routePoll, session: "a"}},
		{"/api/events/stream/a", &route{kind: routeStream, session: "a"}},
		{"/api/events/poll", &route{kind: routePollSeveral}},
		{"/api/events/%70oll", &route{kind: routePollSeveral}},
		{"/api/events/stream", &route{kind: routeStreamSeveral}},

		// A session id may contain what means something in a path, escaped.
		{"/api/events/a%2Fb", &route{kind: routeRead, session: "a/b"}},
		{"/api/events/poll/a%2fb", &route{kind: routePoll, session: "a/b"}},
		{"/api/events/a%2Frecent", &route{kind: routeRead, session: "a/recent"}},
		{"/api/events/a%20b", &route{kind: routeRead, session: "a b"}},
		{"/api/events/%C3%BC", &route{kind: routeRead, session: "ü"}},
		{"/api/events/ü", &route{kind: routeRead, session: "ü"}},
		{"/api/events/%25", &route{kind: routeRead, session: "%"}},
		{"/api/events/%252F", &route{kind: routeRead, session: "%2F"}},
		{"/api/events/a+b", &route{kind: routeRead, session: "a+b"}},
		{"/api/events/a+b%20", &route{kind: routeRead, session: "a+b "}},
		{"/api/events/%7Bx%7D", &route{kind: routeRead, session: "{x}"}},
		{"/api/events/{x}", &route{kind: routeRead, session: "{x}"}},
		// Words of ours are session ids where a session id stands.
		{"/api/events/recent", &route{kind: routeRead, session: "recent"}},
		{"/api/events/recent/recent", &route{kind: routeRecent, session: "recent"}},
		{"/api/events/poll/recent", &route{kind: routePoll, session: "recent"}},
		{"/api/events/poll/poll", &route{kind: routePoll, session: "poll"}}, // refused as an id
		{"/api/events/stream/recent", &route{kind: routeStream, session: "recent"}},
		// Escaping a letter that needs none changes nothing.
		{"/api/events/%70oll/a", &route{kind: routePoll, session: "a"}},
		{"/%61pi/events", &route{kind: routeIngest}},
		// net/http refuses these two itself; so do we.
		{"/api/events/%", &route{kind: routeRead, session: "%", badEscape: true}},
		{"/api/events/%zz/recent", &route{kind: routeRecent, session: "%zz", badEscape: true}},

		// Slashes separate, and nothing is folded or redirected.
		{"/api/events/a//b", nil},
		{"/api/events/", nil},
		{"/api/events/a/", nil},
		{"/api/events//recent", nil},
		{"/api/events/a/recent/", nil},
		{"/api/events/poll/", nil},
		{"//api/events", nil},
		{"/api//events", nil},
		{"/ws/", nil},
		{"/health/", nil},
		// Not ours, or not yet.
		{"", nil},
		{"*", nil},
		{"/", nil},
		{"/api", nil},
		{"/API/events", nil},
		{"/api/event", nil},
		{"/api/events/a/b", nil},
		{"/api/events/a/b/c/d", nil},
		{"/api/health", nil},
		{"/%", nil},

		{"/api/sessions", &route{kind: routeSessions}},
		{"/api/sessions/a%2Fb", &route{kind: routeSession, session: "a/b"}},
		{"/api/sessions/input", &route{kind: routeSession, session: "input"}},
		{"/api/sessions/%25/chains", &route{kind: routeChains, session: "%"}},
		{"/api/sessions/ü/input", &route{kind: routeInput, session: "ü"}},
		{"/api/sessions/{x}/commands", &route{kind: routeCommands, session: "{x}"}},
		{"/api/commands/recent/commands", &route{kind: routeCommands, session: "recent"}},
		{"/api/commands/commands/commands", &route{kind: routeCommands, session: "commands"}},
		{"/api/commands/a%2Fb:1/ack", &route{kind: routeAck, id: "a/b:1"}},
		{"/api/records/bookmarks", &route{kind: routeRecords, record: "bookmarks"}},
		{"/api/records/bookmarks/a%2Fb", &route{kind: routeRecords, record: "bookmarks/:id", id: "a/b"}},
		{"/api/records/bookmarks/:id", &route{kind: routeRecords, record: "bookmarks/:id", id: ":id"}},
		{"/api/records/bookmarks/metrics", &route{kind: routeRecords, record: "bookmarks/:id", id: "metrics"}},
		{"/api/records/harmony/metrics", &route{kind: routeRecords, record: "harmony/metrics"}},
		{"/api/records/windows/{x}/follow", &route{kind: routeRecords, record: "windows/:id/follow", id: "{x}"}},
		{"/api/records/frequencies/%25/track", &route{kind: routeRecords, record: "frequencies/:id/track", id: "%"}},
		{"/api/records", nil},
		{"/api/records/", nil},
		{"/api/records/others", nil},
		{"/api/records/bookmarks/", nil},
		{"/api/records/bookmarks//track", nil},
		{"/api/records/bookmarks%2F:id", nil},
		{"/api/records/harmony%2Fmetrics", nil},
		{"/api/records/harmony/x", nil},
		{"/api/records/windows/a/follow/b", nil},
		{"/api/records/windows/a/track", nil},

		{"/api/sessions/", nil},
		{"/api/sessions//input", nil},
		{"/api/sessions/a/", nil},
		{"/api/sessions/a/other", nil},
		{"/api/sessions/a/input/", nil},
		{"/api/sessions/a/input/x", nil},
		{"/api/commands", nil},
		{"/api/commands/a", nil},
		{"/api/commands//ack", nil},
		{"/api/commands/a/other", nil},
		{"/api/commands/a/ack/x", nil},
	}
	for _, tt := range tests {
		got, ok := matchRoute(tt.path)
		switch {
		case ok != (tt.want != nil):
			t.Errorf("%s: ours %v", tt.path, ok)
		case ok != new(Site).IsRoute(tt.path):
			t.Errorf("%s: IsRoute says otherwise", tt.path)
		case ok && got != *tt.want:
			t.Errorf("%s: %+v, want %+v", tt.path, got, *tt.want)
		}
	}
}

// What is not ours must reach the next handler untouched.
func TestNotOurs(t *testing.T) {
	s := newTestSite(t)
	for _, path := range []string{"/", "/api/sessions/", "/api/commands/a", "/api/events/a//b", "/api/events/poll/", "/wsx"} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "DELETE"} {
			a := s.do(method, path, "", header("Origin", "https://evil.example"))
			if a.handled || len(a.header) != 0 || a.body != "" {
				t.Errorf("%s %s: %+v", method, path, a)
			}
		}
	}
}

// The whole way from a request line to a session.
func TestSessionInPath(t *testing.T) {
	s := newTestSite(t)
	for path, session := range map[string]string{
		"/api/events/a%2Fb":   "a/b",
		"/api/events/a%20b":   "a b",
		"/api/events/%C3%BC":  "ü",
		"/api/events/%25":     "%",
		"/api/events/recent":  "recent",
		"/api/events/%7Bx%7D": "{x}",
	} {
		a := s.do("GET", path, "")
		a.want(t, 200, "")
		if got := a.json(t)["sessionId"]; got != session {
			t.Errorf("%s: session %q, want %q", path, got, session)
		}
	}
	long := strings.Repeat("x", 201)
	for path, message := range map[string]string{
		"/api/events/.":              `sessionId "." is reserved`,
		"/api/events/%2e%2E":         `sessionId ".." is reserved`,
		"/api/events/poll/poll":      `sessionId "poll" is reserved`,
		"/api/events/stream/stream":  `sessionId "stream" is reserved`,
		"/api/events/%00":            "sessionId contains a control character",
		"/api/events/a%0Ab/recent":   "sessionId contains a control character",
		"/api/events/%FF":            "sessionId is not valid UTF-8",
		"/api/events/" + long:        "sessionId is 201 bytes long, at most 200 are allowed",
		"/api/events/stream/" + long: "sessionId is 201 bytes long, at most 200 are allowed",
	} {
		a := s.do("GET", path, "")
		a.want(t, 400, "invalid session id")
		if v := a.json(t); v["message"] != message || v["field"] != "sessionId" {
			t.Errorf("%s: %v", path, v)
		}
	}
	s.do("GET", "/api/events/"+long[1:], "").want(t, 200, "")
}

func TestBadEscape(t *testing.T) {
	rt, ok := matchRoute("/api/events/%")
	if !ok {
		t.Fatal("not ours")
	}
	_, problem := rt.check(httptest.NewRequest("GET", "/api/events/%25", nil))
	if problem == nil || problem.Error != "invalid path" {
		t.Errorf("%+v", problem)
	}
}

func TestWrongMethod(t *testing.T) {
	s := newTestSite(t)
	allowed := map[string]string{
		"/api/events":          "POST, OPTIONS",
		"/api/events/stream/s": "GET, OPTIONS",

		"/api/events/stream?session=s": "GET, OPTIONS",

		"/ws": "GET, OPTIONS",

		"/api/sessions":            "GET, HEAD, POST, OPTIONS",
		"/api/sessions/s":          "GET, HEAD, PUT, DELETE, OPTIONS",
		"/api/sessions/s/input":    "GET, POST, OPTIONS",
		"/api/sessions/s/commands": "GET, HEAD, POST, OPTIONS",
		"/api/commands/s/commands": "GET, HEAD, POST, OPTIONS",
		"/api/commands/s:1/ack":    "POST, OPTIONS",

		"/api/records/frequencies/f/track":     "POST, OPTIONS",
		"/api/records/bookmarks":               "GET, HEAD, POST, OPTIONS",
		"/api/records/bookmarks/b":             "GET, HEAD, PUT, DELETE, OPTIONS",
		"/api/records/patterns":                "GET, HEAD, POST, OPTIONS",
		"/api/records/patterns/p":              "GET, HEAD, PUT, DELETE, OPTIONS",
		"/api/records/harmony":                 "GET, HEAD, POST, OPTIONS",
		"/api/records/harmony?sessionId=s":     "GET, HEAD, POST, OPTIONS",
		"/api/records/dossiers":                "GET, HEAD, POST, OPTIONS",
		"/api/records/dossiers/d":              "GET, HEAD, PUT, DELETE, OPTIONS",
		"/api/records/dossiers/d/history":      "POST, OPTIONS",
		"/api/records/suggestions":             "GET, HEAD, POST, OPTIONS",
		"/api/records/suggestions/g":           "GET, HEAD, DELETE, OPTIONS",
		"/api/records/suggestions/g/increment": "POST, OPTIONS",
		"/api/records/windows/s":               "GET, HEAD, PUT, OPTIONS",
		"/api/records/windows/s/follow":        "PUT, DELETE, OPTIONS",
	}
	for _, rt := range everyRoute {
		want, ok := allowed[rt.path]
		if !ok {
			want = "GET, HEAD, OPTIONS"
		}
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE"} {
			if slices.Contains(strings.Split(want, ", "), method) {
				continue
			}
			a := s.do(method, rt.path, "")
			a.want(t, 405, "method not allowed")
			if got := a.header.Get("Allow"); got != want {
				t.Errorf("%s %s: Allow %q, want %q", method, rt.path, got, want)
			}
		}
	}
}

func TestHead(t *testing.T) {
	s := newTestSite(t, unlimited)
	s.do("POST", "/api/events", event("1")).want(t, 201, "")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.ServeHTTP(w, r) }))
	defer server.Close()
	for _, path := range []string{
		"/api/events/s", "/api/events/s/recent", "/api/events/poll/s", "/api/events/poll?session=s&session=t",
		"/api/health/circuit-breakers", "/health",
	} {
		res, err := http.Head(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != 200 || res.ContentLength <= 0 {
			t.Errorf("HEAD %s: %d, length %d", path, res.StatusCode, res.ContentLength)
		}
	}
}

// While the hub is degraded every answer says so.
func TestDegradedHeader(t *testing.T) {
	for _, degraded := range []bool{false, true} {
		s := newTestSite(t, func(_ *Site, b *siteBackend, _ *Config) { b.status.Degraded = degraded })
		for _, path := range []string{"/health", "/api/events/s", "/api/events/poll/s", "/api/events/s?limit=0", "/api/health/circuit-breakers"} {
			a := s.do("GET", path, "")
			if got := a.header.Get("Lifeline-Degraded"); (got == "true") != degraded {
				t.Errorf("%s: Lifeline-Degraded %q while degraded %v", path, got, degraded)
			}
			if a.header.Get("Cache-Control") != "no-store" || a.header.Get("X-Content-Type-Options") != "nosniff" ||
				a.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: headers %v", path, a.header)
			}
		}
	}
}

func TestProvision(t *testing.T) {
	hub := newTestSite(t).Hub
	tests := []struct {
		name string
		site Site
		want string // in the error
	}{
		{"rate", Site{Hub: hub, PollRate: Rate{N: 1}}, "poll rate 1 in 0s"},
		{"negative rate", Site{Hub: hub, PollRate: Rate{N: -1, Per: time.Second}}, "poll rate -1 in 1s"},
		{"write without read", Site{Hub: hub, Access: Access{AnonymousWrite: true}}, "anonymous write"},
		{"empty key", Site{Hub: hub, Access: Access{Keys: []string{"geheim", ""}}}, "API key 2"},
		{"space", Site{Hub: hub, Access: Access{Keys: []string{"geheim "}}}, "API key 1"},
		{"origin", Site{Hub: hub, Access: Access{Origins: []string{"https://a", "a.example"}}}, `"a.example"`},
		{"wildcard", Site{Hub: hub, Access: Access{Origins: []string{"https://*.example"}}}, "https://*.example"},
	}
	for _, tt := range tests {
		err := tt.site.Provision()
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	s := Site{Hub: hub}
	if err := s.Provision(); err != nil || s.PollRate != (Rate{1, 5 * time.Second}) || s.Limiter == nil {
		t.Errorf("defaults: %v %+v", err, s)
	}
}
