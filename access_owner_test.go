package lifeline_test

import (
	"net/http"
	"strings"
	"testing"
)

const asAnn, asBob, withSecret = "Remote-User: ann", "Remote-User: bob", "Authorization: Bearer secret"

// notOfAUser are the routes that belong to no user, with how another one than ann is
// answered.
var notOfAUser = map[string]int{
	"GET /ws":                                     http.StatusUpgradeRequired, // a walk opens no WebSocket
	"GET /api/health/circuit-breakers":            http.StatusOK,
	"GET /health":                                 http.StatusOK,
	"GET /api/sessions":                           http.StatusOK, // leaves out what is not his
	"GET /api/records/frequencies":                http.StatusOK,
	"GET /api/records/frequencies/:id":            http.StatusOK, // by all
	"POST /api/records/frequencies/:id/track":     http.StatusOK, // as his
	"GET /api/records/bookmarks":                  http.StatusOK,
	"GET /api/records/patterns":                   http.StatusOK,
	"POST /api/records/patterns":                  http.StatusCreated,
	"GET /api/records/patterns/:id":               http.StatusOK,
	"PUT /api/records/patterns/:id":               http.StatusOK,
	"DELETE /api/records/patterns/:id":            http.StatusOK,
	"GET /api/records/dossiers":                   http.StatusOK,
	"POST /api/records/dossiers":                  http.StatusCreated,
	"GET /api/records/dossiers/:id":               http.StatusOK,
	"PUT /api/records/dossiers/:id":               http.StatusOK,
	"POST /api/records/dossiers/:id/history":      http.StatusCreated,
	"DELETE /api/records/dossiers/:id":            http.StatusOK,
	"GET /api/records/suggestions":                http.StatusOK,
	"POST /api/records/suggestions":               http.StatusCreated,
	"GET /api/records/suggestions/:id":            http.StatusOK,
	"POST /api/records/suggestions/:id/increment": http.StatusOK,
	"DELETE /api/records/suggestions/:id":         http.StatusOK,
	"GET /api/records/windows":                    http.StatusOK,
	"DELETE /api/records/windows/:id/follow":      http.StatusOK, // what he does not follow
}

// TestAnotherUser walks over every route as another user than the one whose session it
// is, and as who is authenticated as nobody where everybody may come in.
func TestAnotherUser(t *testing.T) {
	s := start(t, walkSite("api_key secret\nuser {http.request.header.Remote-User}\nanonymous read write"))
	command := s.seed(asAnn)
	if a := s.get("/api/sessions/s", withSecret); a.text("user") != "ann" {
		t.Fatalf("ann's session: %v", a)
	}
	before := s.ownState(asAnn)
	for name, headers := range map[string][]string{"bob": {asBob}, "nobody": nil} {
		t.Run(name, func(t *testing.T) {
			for _, r := range walk(t, command) {
				if r.method == http.MethodOptions || name == "nobody" && notOfAUser[strings.Replace(r.name, "HEAD", "GET", 1)] != 0 {
					continue // the methods; what everybody may do
				}
				a := s.do(r.method, r.path, r.body, append(headers, asJSON)...)
				status, free := notOfAUser[strings.Replace(r.name, "HEAD", "GET", 1)]
				if free {
					if r.method != http.MethodHead && a.status != status {
						t.Errorf("%s: %v, want %d", r.name, a, status)
					}
					if strings.Contains(a.raw, `"user":"ann"`) || strings.Contains(a.raw, `"ann"`) {
						t.Errorf("%s tells of ann: %v", r.name, a)
					}
					continue
				}
				want := othersIs
				switch {
				case strings.Contains(r.name, "/bookmarks/"):
					want.message = "this bookmark belongs to another user"
				case strings.Contains(r.path, "session=s"):
					want.message = `session "s": ` + want.message
				}
				want.check(t, r.name, a, r.method == http.MethodHead)
			}
			s.othersInOneRequest(t, headers)
			s.othersBySocket(t, headers)
			if after := s.ownState(asAnn); after != before {
				t.Errorf("what is ann's was\n%s\nand is\n%s", before, after)
			}
		})
	}
	if a := s.get("/api/sessions/s/input", asAnn); a.body["count"] != 1.0 {
		t.Errorf("ann's input: %v", a)
	}
}

// ownState is what a walk must leave as it is for a user.
func (s *server) ownState(headers ...string) string {
	s.t.Helper()
	var b strings.Builder
	for _, path := range walkState {
		switch strings.TrimPrefix(path, "/api/records/") {
		case "frequencies", "patterns", "dossiers", "suggestions":
			continue // they are everybody's
		}
		b.WriteString(s.get(path, headers...).raw + "\n")
	}
	return b.String()
}

// othersInOneRequest: of many events only those of ann's session are refused.
func (s *server) othersInOneRequest(t *testing.T, headers []string) {
	t.Helper()
	anns, free := stepEvent("s", "batched", 1), stepEvent("free", "first", 1)
	for contentType, body := range map[string]string{
		"application/json":     "[" + anns + "," + free + "]",
		"application/x-ndjson": anns + "\n" + free,
	} {
		a := s.do(http.MethodPost, "/api/events", body, append(headers, "Content-Type: "+contentType)...)
		results, _ := a.body["results"].([]any)
		if a.status != http.StatusMultiStatus || len(results) != 2 || results[0].(map[string]any)["status"] != 403.0 {
			t.Errorf("%s: %v", contentType, a)
		}
	}
	if a := s.do(http.MethodPost, "/api/events", "["+anns+"]", append(headers, asJSON)...); a.status != http.StatusForbidden {
		t.Errorf("all of them ann's: %v", a)
	}
	if a := s.do(http.MethodDelete, "/api/sessions/free", "", withSecret); a.status != http.StatusOK && a.status != http.StatusNotFound {
		t.Errorf("delete: %v", a)
	}
}

func (s *server) othersBySocket(t *testing.T, headers []string) {
	t.Helper()
	c := s.dial(headersOf(headers))
	for _, message := range []string{
		`{"type":"subscribe","sessionId":"s"}`, `{"type":"subscribe","sessionId":"s","since":"2020-01-01T00:00:00Z"}`,
		`{"type":"input","sessionId":"s","payload":{"text":"walked"}}`,
	} {
		c.send(t, message)
		if f := c.frame(t, "error"); f["code"] != "forbidden" || f["sessionId"] != "s" {
			t.Errorf("%s: %v", message, f)
		}
	}
	c.send(t, `{"type":"ping"}`)
	c.frame(t, "pong") // a session:* event would have come before
	if got := c.got(); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}

// TestSessionsCarryTheirUser: whatever the body says.
func TestSessionsCarryTheirUser(t *testing.T) {
	s := start(t, walkSite("api_key secret\nuser {http.request.header.Remote-User}"))
	for name, c := range map[string]struct{ method, path, body string }{
		"created": {"POST", "/api/sessions", `{"id":"created","userId":"ann","user":"ann"}`},
		"posted":  {"POST", "/api/events", `{"type":"a:b","sessionId":"posted","user":"ann","userId":"ann"}`},
		"input":   {"POST", "/api/sessions/input/input", `{"user":"ann"}`},
		"command": {"POST", "/api/sessions/command/commands", `{"type":"pause","user":"ann"}`},
	} {
		if a := s.do(c.method, c.path, c.body, asBob, asJSON); a.status/100 != 2 {
			t.Errorf("%s: %v", name, a)
		}
		for who, want := range map[string]int{asAnn: 403, asBob: 200, withSecret: 200} {
			a := s.get("/api/sessions/"+name, who)
			if a.status != want || want == 200 && a.text("user") != "bob" {
				t.Errorf("%s for %s: %v", name, who, a)
			}
		}
	}
	if a := s.do("PUT", "/api/sessions/created", `{"status":"failed","user":"ann","userId":"ann"}`, asBob, asJSON); a.text("user") == "ann" {
		t.Errorf("given away: %v", a)
	}
	if a := s.do("POST", "/api/sessions", `{"id":"anns","userId":"ann"}`, withSecret, asJSON); a.text("user") != "ann" {
		t.Errorf("a service creates it for ann: %v", a)
	}
	if a := s.get("/api/sessions?user=ann", asBob); a.status == 200 && a.body["count"] != 0.0 {
		t.Errorf("bob lists ann's: %v", a)
	}
}

// TestLocalClientsSeeAll: on a closed site, where Caddy authenticates some.
func TestLocalClientsSeeAll(t *testing.T) {
	auth := "@basic header Authorization Basic*\nbasic_auth @basic {\nbob " + passwordHash(t) + "\n}\n"
	s := start(t, strings.Replace(walkSite(""), ":PORT {\n", ":PORT {\n"+auth, 1))
	const asBob = "Authorization: Basic Ym9iOnNlY3JldA=="
	proxied := "X-Forwarded-For: 192.0.2.1"
	if a := s.post(stepEvent("bobs", "1", 1), asBob, proxied); a.status != http.StatusCreated {
		t.Fatalf("bob: %v", a)
	}
	if a := s.get("/api/sessions/bobs"); a.text("user") != "bob" {
		t.Errorf("locally: %v", a)
	}
	if a := s.get("/api/events/bobs", proxied); a.status != http.StatusUnauthorized {
		t.Errorf("through a proxy, as nobody: %v", a)
	}
}

// passwordHash is that of "secret".
func passwordHash(t *testing.T) string {
	t.Helper()
	hash, code := newServer(t).caddy("hash-password", "--plaintext", "secret", "--bcrypt-cost", "4")
	if code != 0 {
		t.Fatal(hash)
	}
	return strings.TrimSpace(hash)
}
