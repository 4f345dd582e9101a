package lifeline_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/events"
)

// The walks go over events.Routes(), so that a new path is walked as soon as it is
// there; one that takes a body needs one here.
var (
	walkIDs = strings.NewReplacer(":sessionId", "s", ":commandId", "COMMAND",
		"windows/:id", "windows/s", "frequencies/:id", "frequencies/f", "bookmarks/:id", "bookmarks/b",
		"patterns/:id", "patterns/p", "dossiers/:id", "dossiers/d", "suggestions/:id", "suggestions/g")
	walkQueries = map[string]string{
		"/api/events/poll": "?session=free&session=s", "/api/events/stream": "?session=free&session=s",
		"/api/records/harmony": "?sessionId=s", "/api/records/harmony/metrics": "?sessionId=s",
	}
	walkBodies = map[string]string{
		"POST /api/events":                            `{"type":"a:b","sessionId":"s","id":"walked"}`,
		"POST /api/sessions":                          `{"id":"s","cwd":"/walked"}`,
		"PUT /api/sessions/:sessionId":                `{"status":"failed"}`,
		"POST /api/sessions/:sessionId/input":         `{"text":"walked"}`,
		"POST /api/sessions/:sessionId/commands":      `{"type":"abort"}`,
		"POST /api/commands/:sessionId/commands":      `{"type":"abort"}`,
		"POST /api/commands/:commandId/ack":           "",
		"POST /api/records/frequencies/:id/track":     "",
		"POST /api/records/bookmarks":                 `{"sessionId":"s","category":"other"}`,
		"PUT /api/records/bookmarks/:id":              `{"sessionId":"s","category":"other"}`,
		"POST /api/records/patterns":                  `{"projectId":"x","patternType":"temporal"}`,
		"PUT /api/records/patterns/:id":               `{"projectId":"y","patternType":"temporal"}`,
		"POST /api/records/harmony":                   `{"sessionId":"s","result":"valid"}`,
		"POST /api/records/dossiers":                  `{"name":"walked"}`,
		"PUT /api/records/dossiers/:id":               `{"name":"walked"}`,
		"POST /api/records/dossiers/:id/history":      `{"layoutDescriptor":{}}`,
		"POST /api/records/suggestions":               `{"needed":"walked","fallback":{"type":"raw"}}`,
		"POST /api/records/suggestions/:id/increment": "",
		"PUT /api/records/windows/:id":                `{"autoExpand":false}`,
		"PUT /api/records/windows/:id/follow":         "",
	}
	walkSeed = []string{
		`POST /api/sessions {"id":"s","cwd":"/seeded"}`,
		`POST /api/events {"type":"a:b","sessionId":"s","id":"seeded"}`,
		`POST /api/sessions/s/input {"text":"seeded"}`,
		`POST /api/sessions/s/commands {"type":"pause"}`,
		`POST /api/records/frequencies/f/track`,
		`PUT /api/records/bookmarks/b {"sessionId":"s","category":"other"}`,
		`PUT /api/records/patterns/p {"projectId":"x","patternType":"temporal"}`,
		`POST /api/records/harmony {"id":"h","sessionId":"s","result":"valid"}`,
		`PUT /api/records/dossiers/d {"name":"seeded"}`,
		`POST /api/records/suggestions {"id":"g","needed":"seeded","fallback":{"type":"raw"}}`,
		`PUT /api/records/windows/s {"autoExpand":true}`,
	}
	// walkState reads all that a walk could have changed, but for input, which reading
	// takes away.
	walkState = []string{
		"/api/events/s", "/api/sessions", "/api/sessions/s", "/api/sessions/s/chains", "/api/sessions/s/commands",
		"/api/records/frequencies", "/api/records/bookmarks", "/api/records/patterns", "/api/records/harmony?sessionId=s",
		"/api/records/dossiers", "/api/records/suggestions", "/api/records/windows", "/api/records/windows/s",
	}
)

// walkedRoute is one request of a walk.
type walkedRoute struct {
	name         string // method and path with its names
	method, path string
	body         string
}

// walk is a request for each method of each path, DELETE last.
func walk(t *testing.T, command string) []walkedRoute {
	t.Helper()
	var routes []walkedRoute
	for _, r := range events.Routes() {
		path := strings.Replace(walkIDs.Replace(r.Path), "COMMAND", url.PathEscape(command), 1)
		if strings.Contains(path, ":id") || strings.Contains(path, ":sessionId") {
			t.Fatalf("the walk has nothing to put into %s", r.Path)
		}
		for method := range strings.SplitSeq(r.Allow, ", ") {
			name := method + " " + r.Path
			body, ok := walkBodies[name]
			if !ok && (method == "POST" || method == "PUT") {
				t.Fatalf("%s is new: give it a body in walkBodies", name)
			}
			routes = append(routes, walkedRoute{name, method, path + walkQueries[r.Path], body})
		}
	}
	slices.SortStableFunc(routes, func(a, b walkedRoute) int {
		return strings.Count(a.method, "DELETE") - strings.Count(b.method, "DELETE")
	})
	return routes
}

// seed makes what a walk asks for and answers the id of a command.
func (s *server) seed(headers ...string) (command string) {
	s.t.Helper()
	for _, line := range walkSeed {
		fields := strings.SplitN(line+" ", " ", 3)
		a := s.do(fields[0], fields[1], fields[2], append(headers, asJSON)...)
		if a.status/100 != 2 {
			s.t.Fatalf("%s: %v", line, a)
		}
		if id := a.text("commandId"); id != "" {
			command = id
		}
	}
	return command
}

func (s *server) state(headers ...string) string {
	s.t.Helper()
	var b strings.Builder
	for _, path := range walkState {
		a := s.get(path, headers...)
		if a.status != http.StatusOK {
			s.t.Fatalf("%s: %v", path, a)
		}
		fmt.Fprintf(&b, "%s %s\n", path, a.raw)
	}
	return b.String()
}

// How a request is refused: status, error, and message, as they stand in the body.
type refused struct {
	status     int
	err        string
	message    string
	bearer     bool // an API key is asked for
	closedWith int  // the WebSocket of a browser
}

var (
	notLocal = refused{401, "this hub serves only local clients; add `api_key`, `anonymous read` or authentication to the lifeline block of this site", "", false, 4401}
	foreign  = refused{403, "forbidden", "this page's origin is neither the site's own nor listed in `origins`", false, 4403}
	noKey    = refused{401, "authentication required", "authentication is required", true, 4401}
	wrongKey = refused{401, "authentication required", "the API key is not valid", true, 4401}
	readOnly = refused{403, "forbidden", "anonymous clients may read, not write", false, 4403}
	othersIs = refused{403, "forbidden", "this session belongs to another user", false, 4403}
	noStatus = refused{403, "forbidden", noOverviewMessage, false, 0}
	noAdmin  = refused{403, "forbidden", "only an authenticated user whom the site names for this may do it", false, 0}
)

// check compares an answer with how the route is to be refused.
func (want refused) check(t *testing.T, name string, a answer, head bool) {
	t.Helper()
	bearer := a.header.Get("Www-Authenticate") == "Bearer"
	if a.status != want.status || bearer != want.bearer || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %v %v, want %d", name, a, a.header, want.status)
	}
	if !head && (a.text("error") != want.err || a.text("message") != want.message) {
		t.Errorf("%s: %v, want %s: %s", name, a, want.err, want.message)
	}
}

// walkRefused sees that every route refuses who comes with these headers, and in
// which words: writes in those of write, the rest in those of read, or not at all
// when these are zero.
func (s *server) walkRefused(t *testing.T, command string, read, write refused, headers ...string) {
	t.Helper()
	for _, r := range walk(t, command) {
		want := write
		if (r.method == "GET" || r.method == "HEAD") && r.name != "GET /api/sessions/:sessionId/input" {
			want = read // reading input takes it away
		}
		switch {
		case r.path == "/health":
			want = refused{status: http.StatusOK}
			if r.method == http.MethodOptions {
				want.status = http.StatusNoContent
			}
		case r.method == http.MethodOptions && read != foreign:
			want = refused{status: http.StatusNoContent} // tells the methods
		case want == (refused{}):
			continue // it is not refused
		}
		a := s.do(r.method, r.path, r.body, append(headers, asJSON)...)
		want.check(t, r.name, a, r.method == http.MethodHead)
	}
	for _, operation := range []string{"reset", "trip", "hold", "release"} {
		want := noAdmin
		if read == foreign {
			want = foreign
		}
		a := s.do(http.MethodPost, "/api/health/circuit-breakers/disk/"+operation, `{"state":"forced-open","for":"forever"}`, append(headers, asJSON)...)
		want.check(t, operation, a, false)
	}
	for _, path := range []string{statusPath, statusStream} {
		want := read
		if read == (refused{}) {
			want = noStatus // for those who read all sessions only
		}
		want.check(t, path, s.do(http.MethodGet, path, "", headers...), false)
	}
	for _, path := range []string{"/lifeline/", "/lifeline/app.js", "/lifeline/client.js"} { // tell nothing of events
		if a := s.get(path, headers...); a.status != http.StatusOK {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

// walkSite is a site for walks; it answers under any host.
func walkSite(options string) string {
	return strings.Replace(site("lifeline {\n storage disk DIR/events\n}", options+"\nbreaker_admin admin\ndashboard\npoll_rate 1000 1s"), "http://localhost:PORT", ":PORT", 1)
}

// TestNobodyGetsIn walks over every route of a site as everybody who is not to be let
// in, and sees what he is told and that nothing has changed.
func TestNobodyGetsIn(t *testing.T) {
	closed := walkSite("")
	keyed := walkSite("api_key rotated secret\nuser {http.request.header.Remote-User}\norigins https://app.example")
	reading := walkSite("api_key secret\nanonymous read")
	const key = "Authorization: Bearer secret"
	type persons map[string]struct {
		read, write refused
		headers     []string
	}
	for _, c := range []struct {
		name, config string
		service      []string // headers of who may do all
		persons      persons
	}{
		{"closed", closed, nil, persons{
			"an unlisted proxy":         {notLocal, notLocal, []string{"X-Forwarded-For: 127.0.0.1"}},
			"an unlisted proxy, RFC":    {notLocal, notLocal, []string{"Forwarded: for=127.0.0.1"}},
			"a rebound name":            {notLocal, notLocal, []string{"Host: evil.example:80"}},
			"a rebound name's own page": {notLocal, notLocal, []string{"Host: evil.example", "Origin: http://evil.example", "Sec-Fetch-Site: same-origin"}},
			"a foreign page":            {foreign, foreign, []string{"Origin: https://evil.example"}},
			"a sandboxed page":          {foreign, foreign, []string{"Origin: null"}},
			"a link of a foreign page":  {foreign, foreign, []string{"Sec-Fetch-Site: cross-site"}},
			"a key where there is none": {notLocal, notLocal, []string{key, "X-Real-Ip: 192.0.2.1"}},
			"a user nobody has named":   {notLocal, notLocal, []string{"Remote-User: admin", "Via: 1.1 proxy"}},
		}},
		{"with a key", keyed, []string{key}, persons{
			"nobody":                  {noKey, noKey, nil},
			"a wrong key":             {wrongKey, wrongKey, []string{"Authorization: Bearer secre"}},
			"a longer key":            {wrongKey, wrongKey, []string{"Authorization: Bearer secrets"}},
			"a wrong subprotocol":     {wrongKey, wrongKey, []string{"Sec-WebSocket-Protocol: lifeline.v1, lifeline.key.eA"}},
			"the listed page, no key": {noKey, noKey, []string{"Origin: https://app.example"}},
			"a foreign page, key":     {foreign, foreign, []string{key, "Origin: https://app.example.evil.example"}},
			"a sandboxed page, key":   {foreign, foreign, []string{key, "Origin: null"}},
			"a foreign page, user":    {foreign, foreign, []string{"Remote-User: admin", "Sec-Fetch-Site: cross-site"}},
		}},
		{"anonymous read", reading, []string{key}, persons{
			"nobody":         {refused{}, readOnly, []string{"X-Forwarded-For: 192.0.2.1"}},
			"a wrong key":    {wrongKey, wrongKey, []string{"Authorization: Bearer wrong"}},
			"a foreign page": {foreign, foreign, []string{"Origin: https://evil.example"}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, c.config)
			command := s.seed(c.service...)
			before := s.state(c.service...)
			for name, p := range c.persons {
				t.Run(name, func(t *testing.T) {
					s.walkRefused(t, command, p.read, p.write, p.headers...)
					if p.read != (refused{}) {
						s.socketRefused(t, p.read, p.headers)
					}
					if after := s.state(c.service...); after != before {
						t.Errorf("the state was\n%s\nand is\n%s", before, after)
					}
				})
			}
			if a := s.get("/api/sessions/s/input", c.service...); a.body["count"] != 1.0 || !strings.Contains(a.raw, "seeded") {
				t.Errorf("input: %v", a)
			}
		})
	}
}

// TestUnixSocket walks over a closed site by a unix socket: who uses it is local, but
// not under a foreign name, nor through a proxy.
func TestUnixSocket(t *testing.T) {
	s := newServer(t)
	path := filepath.Join(s.dir, "socket")
	s.start(strings.Replace(walkSite(""), ":PORT {\n", ":PORT {\nbind localhost unix/"+path+"\n", 1))
	s.client = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, // the server ends when they are closed
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
	command := s.seed()
	before := s.state()
	for name, p := range map[string]struct {
		want    refused
		headers []string
	}{
		"a foreign name": {notLocal, []string{"Host: hub.example"}},
		"a proxy":        {notLocal, []string{"X-Forwarded-For: 127.0.0.1"}},
		"a foreign page": {foreign, []string{"Origin: https://evil.example"}},
	} {
		t.Run(name, func(t *testing.T) { s.walkRefused(t, command, p.want, p.want, p.headers...) })
	}
	if after := s.state(); after != before {
		t.Errorf("the state was\n%s\nand is\n%s", before, after)
	}
}
