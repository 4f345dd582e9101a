package lifeline_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
)

// Two servers on one Redis: what is posted at one reaches who follows, waits or may
// not follow any longer at the other, and users keep what is theirs when Redis dies.
func TestSessionsOfTwoServers(t *testing.T) {
	r := redistest.Start(t)
	options := "user {http.request.header.Remote-User}\napi_key secret"
	config := site("lifeline {\n storage redis "+r.URL()+"\n}", options)
	a, b := start(t, config), start(t, config)
	const ann, bob, key = "Remote-User: ann", "Remote-User: bob", "Authorization: Bearer secret"

	follower := b.dial(http.Header{"Remote-User": {"bob"}})
	for _, session := range []string{"free", "taken"} {
		follower.subscribe(t, session, "")
	}
	command := a.do("POST", "/api/sessions/free/commands", `{"type":"pause"}`, key, asJSON)
	if command.status != http.StatusCreated {
		t.Fatalf("command: %v", command)
	}
	if f := follower.frame(t, "command"); f["payload"].(map[string]any)["commandId"] != command.body["commandId"] {
		t.Errorf("command: %v, posted %v", f, command)
	}

	waited := make(chan answer, 1)
	go func() {
		got, _ := b.try("GET", "/api/sessions/free/input?wait=30s", "", key)
		waited <- got
	}()
	if got := a.do("POST", "/api/sessions/free/input", `{"text":"yes"}`, key, asJSON); got.status != http.StatusCreated {
		t.Errorf("input: %v", got)
	}
	if got := <-waited; got.body["count"] != 1.0 || !strings.Contains(got.raw, `{"text":"yes"}`) {
		t.Errorf("input at the other server: %v", got)
	}

	if got := a.post(stepEvent("taken", "1", 1), ann); got.status != http.StatusCreated {
		t.Fatalf("ann's first event: %v", got)
	}
	if f := follower.frame(t, "error"); f["code"] != "forbidden" || f["sessionId"] != "taken" {
		t.Errorf("bob: %v", f)
	}
	for _, s := range []*server{a, b} {
		if got := s.get("/api/events/taken", bob); got.status != http.StatusForbidden {
			t.Errorf("bob: %v", got)
		}
	}
	odd := "/api/sessions/a%2Fb%25%7Bx%7D/chains"
	if got := a.get(odd, ann); got.body["sessionId"] != "a/b%{x}" {
		t.Errorf("%s: %v", odd, got)
	}

	r.Kill()
	a.waitUntil("the outage is noticed", func() bool {
		return a.get("/api/health/circuit-breakers", key).text("status") == "degraded"
	})
	if got := a.post(stepEvent("taken", "2", 2), ann); got.status != http.StatusCreated || got.body["pending"] != true {
		t.Errorf("ann's session while Redis is away: %v", got)
	}
	if got := a.post(stepEvent("unknown", "3", 3), ann); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("a session of nobody knows whom: %v", got)
	}
	if got := a.post(stepEvent("unknown", "4", 4), key); got.status != http.StatusCreated {
		t.Errorf("a service: %v", got)
	}
	if got := a.get("/api/events/taken", bob); got.status != http.StatusForbidden {
		t.Errorf("bob while Redis is away: %v", got)
	}
}
