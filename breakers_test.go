package lifeline_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
)

// TestOperationsOnABreaker are those of the admin endpoint.
func TestOperationsOnABreaker(t *testing.T) {
	r := redistest.Start(t)
	config := site("lifeline {\n storage redis "+r.URL()+"\n}\nlifeline mem {\n storage memory\n}", "")
	s := start(t, config)
	operate := func(operation, body string) answer {
		t.Helper()
		return s.do(http.MethodPost, s.admin+"/lifeline/breakers/default/redis/"+operation, body)
	}
	held := func(a answer) string {
		h, _ := a.body["held"].(map[string]any)
		state, _ := h["state"].(string)
		return state
	}
	for _, twice := range []int{1, 2} {
		a := operate("hold", `{"state":"forced-open","for":"10m"}`)
		if a.status != http.StatusOK || a.text("state") != "open" || held(a) != "forced-open" || a.body["retryIn"] == 0.0 {
			t.Errorf("hold, %d: %v", twice, a)
		}
	}
	if a := s.post(stepEvent("s", "one", 1)); a.status != http.StatusCreated || a.body["pending"] != true {
		t.Errorf("post while held open: %v", a)
	}
	if out, code := s.reload(strings.Replace(config, "\tlifeline {\n\n", "\tlifeline {\npoll_rate 2 1s\n", 1)); code != 0 {
		t.Fatal(out)
	}
	if a := s.get(s.admin + "/lifeline/breakers/default"); !strings.Contains(a.raw, `"forced-open"`) {
		t.Errorf("the hold did not survive the reload: %v", a)
	}
	for range 2 {
		if a := operate("release", ""); a.status != http.StatusOK || a.text("state") != "closed" || held(a) != "" {
			t.Errorf("release: %v", a)
		}
	}
	s.waitUntil("what was pending is stored", func() bool { _, h := s.breaker(); return h.text("status") == "ok" })
	if a := operate("hold", `{"state":"disabled","for":"forever"}`); a.text("state") != "closed" || held(a) != "disabled" {
		t.Errorf("hold: %v", a)
	}
	if a := operate("reset", "{}"); a.text("state") != "closed" || held(a) != "" {
		t.Errorf("reset: %v", a)
	}
	if a := operate("trip", `{"cause":"maintenance"}`); a.status != http.StatusOK || a.text("state") != "open" || a.body["totalTrips"] != 1.0 {
		t.Errorf("trip: %v", a)
	}
	s.waitUntil("the probe closes it again, for Redis works", func() bool { state, _ := s.breaker(); return state == "closed" })
	s.logs("maintenance", "held open", "circuit breaker created")

	for _, c := range []struct {
		operation, body string
		status          int
		want            string
	}{
		{"hold", ``, 400, "state is missing"},
		{"hold", `{"state":"closed","for":"1m"}`, 400, "want forced-open or disabled"},
		{"hold", `{"state":"disabled"}`, 400, `"forever"`},
		{"hold", `{"state":"disabled","for":"-1m"}`, 400, `"-1m"`},
		{"hold", `{"state":"disabled","until":"1m"}`, 400, `"until"`},
		{"trip", `{"cause":1}`, 400, "cause"},
		{"trip", `{"cause":"` + strings.Repeat("x", 201) + `"}`, 400, "201 bytes"},
		{"trip", `{"cause":"` + strings.Repeat("x", 5000) + `"}`, 413, "4096 bytes"},
		{"reset", `{"now":true}`, 400, `"now"`},
		{"explode", ``, 404, "reset, trip, hold, release"},
	} {
		if a := operate(c.operation, c.body); a.status != c.status || !strings.Contains(a.text("error"), c.want) {
			t.Errorf("%s %.40s: %v, want %d %s", c.operation, c.body, a, c.status, c.want)
		}
	}
	if a := s.do(http.MethodPost, s.admin+"/lifeline/breakers/mem/memory/reset", ""); a.status != http.StatusConflict {
		t.Errorf("a hub without breaker: %v", a)
	}
}

// TestBreakerAdminOnTheSite: who may operate on breakers through a site.
func TestBreakerAdminOnTheSite(t *testing.T) {
	hash, code := newServer(t).caddy("hash-password", "--plaintext", "secret", "--bcrypt-cost", "4")
	if code != 0 {
		t.Fatal(hash)
	}
	accounts := "basic_auth /api/* {\nalice " + strings.TrimSpace(hash) + "\nbob " + strings.TrimSpace(hash) + "\n}\n"
	const alice, bob = "Authorization: Basic YWxpY2U6c2VjcmV0", "Authorization: Basic Ym9iOnNlY3JldA=="
	config := func(before, options string) string {
		return strings.Replace(site("lifeline {\n storage disk DIR/events\n}", options), "http://localhost:PORT {\n", "http://localhost:PORT {\n"+before, 1)
	}
	s := start(t, config(accounts, "breaker_admin alice\napi_key k\norigins https://app.example"))
	const path = "/api/health/circuit-breakers/disk/"
	for name, c := range map[string]struct {
		method, path string
		headers      []string
		status       int
	}{
		"nobody":               {"POST", path + "reset", nil, 401},
		"another user":         {"POST", path + "reset", []string{bob}, 403},
		"the admin":            {"POST", path + "reset", []string{alice}, 200},
		"of the site's page":   {"POST", path + "reset", []string{alice, "Origin: " + s.url}, 200},
		"of a listed page":     {"POST", path + "reset", []string{alice, "Origin: https://app.example"}, 200},
		"of a foreign page":    {"POST", path + "reset", []string{alice, "Origin: https://evil.example"}, 403},
		"cross-site":           {"POST", path + "reset", []string{alice, "Sec-Fetch-Site: cross-site"}, 403},
		"reading":              {"GET", path + "reset", []string{alice}, 405},
		"an unknown breaker":   {"POST", "/api/health/circuit-breakers/redis/reset", []string{alice}, 404},
		"an unknown operation": {"POST", path + "explode", []string{alice}, 404},
		"no operation":         {"POST", "/api/health/circuit-breakers/disk", []string{alice}, 200}, // the next handler's
	} {
		a := s.do(c.method, c.path, "", c.headers...)
		if a.status != c.status {
			t.Errorf("%s: %v, want %d", name, a, c.status)
		}
		if a.status != 401 && c.path != "/api/health/circuit-breakers/disk" && a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: may be stored: %v", name, a.header)
		}
		if a.status >= 402 && a.text("error") == "" {
			t.Errorf("%s: no error in %v", name, a)
		}
	}
	a := s.do(http.MethodPost, path+"hold", `{"state":"forced-open","for":"1h"}`, alice, asJSON)
	if a.status != http.StatusOK || a.text("state") != "open" {
		t.Errorf("hold: %v", a)
	}
	if p := s.post(stepEvent("s", "one", 1), alice); p.status != http.StatusServiceUnavailable || p.header.Get("Retry-After") == "" {
		t.Errorf("post to a disk held open: %v", p)
	}
	s.logs(`"user":"alice"`)

	// Keys and local clients are not users, and without the option there is no such path.
	if out, code := s.reload(config("", "breaker_admin *\napi_key k")); code != 0 {
		t.Fatal(out)
	}
	for _, headers := range [][]string{{"Authorization: Bearer k"}, nil} {
		if a := s.do(http.MethodPost, path+"reset", "", headers...); a.status != http.StatusForbidden {
			t.Errorf("with %v: %v", headers, a)
		}
	}
	if out, code := s.reload(config(accounts, "breaker_admin *")); code != 0 {
		t.Fatal(out)
	}
	if a := s.do(http.MethodPost, path+"release", "", bob); a.status != http.StatusOK || a.text("state") != "closed" {
		t.Errorf("everybody who is authenticated: %v", a)
	}
	if out, code := s.reload(config(accounts, "")); code != 0 {
		t.Fatal(out)
	}
	if a := s.do(http.MethodPost, path+"trip", "", bob); a.body != nil {
		t.Errorf("off, and answered by the hub: %v", a)
	}
	if state, _ := s.breakerAs(bob); state != "closed" {
		t.Errorf("the breaker is %s", state)
	}
}

// breakerAs is breaker for a user.
func (s *server) breakerAs(headers ...string) (state string, health answer) {
	s.t.Helper()
	health = s.get("/api/health/circuit-breakers", headers...)
	var list struct{ CircuitBreakers []struct{ State string } }
	if err := json.Unmarshal([]byte(health.raw), &list); err != nil || len(list.CircuitBreakers) != 1 {
		s.t.Fatalf("want one breaker: %v", health)
	}
	return list.CircuitBreakers[0].State, health
}

// TestIdleHubShowsAFrozenRedis: nobody posts.
func TestIdleHubShowsAFrozenRedis(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, site("lifeline {\n storage redis "+r.URL()+"\n breaker {\n probe_every 200ms\n}\n}", ""))
	r.Freeze()
	s.waitUntil("the breaker trips", func() bool { state, _ := s.breaker(); return state == "open" })
	r.Thaw()
	s.waitUntil("all is normal", func() bool { state, h := s.breaker(); return state == "closed" && h.text("status") == "ok" })
}

// metric answers the lines of a metric as Caddy shows them.
func (s *server) metric(name string) []string {
	s.t.Helper()
	var lines []string
	for line := range strings.Lines(s.get(s.admin + "/metrics").raw) {
		if strings.HasPrefix(line, name+"{") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func TestBreakerMetrics(t *testing.T) {
	config := site("lifeline {\n storage disk DIR/events\n}", "")
	s := start(t, config)
	trip := func() {
		t.Helper()
		if a := s.do(http.MethodPost, s.admin+"/lifeline/breakers/default/disk/hold", `{"state":"forced-open","for":"forever"}`); a.status != http.StatusOK {
			t.Fatal(a)
		}
	}
	trip()
	s.post(stepEvent("s", "one", 1)) // refused
	if out, code := s.reload(config); code != 0 {
		t.Fatal(out)
	}
	if a := s.do(http.MethodPost, s.admin+"/lifeline/breakers/default/disk/release", ""); a.status != http.StatusOK {
		t.Fatal(a)
	}
	trip()
	for name, want := range map[string][]string{
		"caddy_lifeline_breaker_state": {
			`caddy_lifeline_breaker_state{breaker="disk",hub="default",state="closed"} 0`,
			`caddy_lifeline_breaker_state{breaker="disk",hub="default",state="disabled"} 0`,
			`caddy_lifeline_breaker_state{breaker="disk",hub="default",state="forced-open"} 1`,
			`caddy_lifeline_breaker_state{breaker="disk",hub="default",state="half-open"} 0`,
			`caddy_lifeline_breaker_state{breaker="disk",hub="default",state="open"} 0`,
		},
		"caddy_lifeline_breaker_transitions_total": {
			`caddy_lifeline_breaker_transitions_total{breaker="disk",hub="default",to="closed"} 1`,
			`caddy_lifeline_breaker_transitions_total{breaker="disk",hub="default",to="half-open"} 0`,
			`caddy_lifeline_breaker_transitions_total{breaker="disk",hub="default",to="open"} 2`,
		},
		"caddy_lifeline_breaker_rejected_total": {`caddy_lifeline_breaker_rejected_total{breaker="disk",hub="default"} 1`},
	} {
		if got := s.metric(name); !slices.Equal(got, want) {
			t.Errorf("%s is\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}
