package lifeline_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
)

const operationPath = "/api/health/circuit-breakers/{breaker}/"

// The health page of a hub with a breaker for each partition, and operations on one
// of them and on all by the storage's name, are answered as the page says.
func TestOpenAPIAnswersOfSeveralBreakers(t *testing.T) {
	spec := loadSpec(t, "openapi.yaml")
	c := redistest.StartCluster(t, 1)
	s := start(t, site("lifeline {\n storage redis redis:// {\n cluster "+strings.Join(c.Addrs(), " ")+"\n}\n}", specSite))
	const key, alice = "Authorization: Bearer k", "Remote-User: alice"
	const health = "/api/health/circuit-breakers"
	several := len(laneNames())
	for _, o := range []struct {
		breaker, operation, body string
		answered                 int // breakers: 0 is one object
		open                     int // breakers that are not closed afterwards
	}{
		{"redis-p03", "hold", `{"state":"forced-open","for":"10m"}`, 0, 1},
		{"redis-p03", "release", "", 0, 0},
		{"redis", "hold", `{"state":"forced-open","for":"forever"}`, several, several},
		{"redis", "release", `{}`, several, 0},
		{"redis", "trip", `{"cause":"a test"}`, several, -1}, // the probes close them again
		{"redis", "reset", "", several, 0},
	} {
		what := o.operation + " " + o.breaker
		a := s.do(http.MethodPost, health+"/"+o.breaker+"/"+o.operation, o.body, alice, asJSON)
		if a.status != http.StatusOK {
			t.Fatalf("%s: %v", what, a)
		}
		spec.checkAnswer(http.MethodPost, operationPath+o.operation, a)
		spec.checkRequest(http.MethodPost, operationPath+o.operation, o.body, a)
		var answered []lane
		if err := json.Unmarshal([]byte(a.raw), &answered); (err == nil) != (o.answered > 0) || len(answered) != o.answered {
			t.Errorf("%s: %d breakers answered, want %d: %v", what, len(answered), o.answered, err)
		}
		h := s.get(health, key)
		spec.checkAnswer(http.MethodGet, health, h)
		var page struct{ CircuitBreakers []lane }
		if err := json.Unmarshal([]byte(h.raw), &page); err != nil || len(page.CircuitBreakers) != several {
			t.Fatalf("%s: %d breakers on the page, want %d: %v", what, len(page.CircuitBreakers), several, err)
		}
		open := 0
		for _, l := range page.CircuitBreakers {
			if l.State != "closed" {
				open++
			}
		}
		if o.open >= 0 && open != o.open {
			t.Errorf("%s: %d breakers are not closed, want %d", what, open, o.open)
		}
	}
	a := s.do(http.MethodPost, health+"/redis-p99/reset", "", alice)
	if a.status != http.StatusNotFound || !strings.Contains(a.text("error"), "and redis for all of them") {
		t.Errorf("an unknown partition: %v", a)
	}
	spec.checkAnswer(http.MethodPost, operationPath+"reset", a)
}

// A hub without a breaker, since its storage needs none or it is off, answers each
// operation 409 as the page says.
func TestOpenAPIAnswersWithoutBreaker(t *testing.T) {
	for name, storage := range map[string]string{
		"memory":      "storage memory",
		"breaker off": "storage disk DIR/hub\n\t\tbreaker off",
	} {
		t.Run(name, func(t *testing.T) {
			spec := loadSpec(t, "openapi.yaml")
			s := start(t, site("\tlifeline {\n\t\t"+storage+"\n\t}", specSite))
			for operation, body := range map[string]string{
				"reset": "", "trip": `{"cause":"a test"}`, "hold": `{"state":"disabled","for":"10m"}`, "release": "",
			} {
				a := s.do(http.MethodPost, "/api/health/circuit-breakers/disk/"+operation, body, "Remote-User: alice", asJSON)
				if a.status != http.StatusConflict || !strings.Contains(a.text("error"), "has no breaker") {
					t.Errorf("%s: %v", operation, a)
				}
				spec.checkAnswer(http.MethodPost, operationPath+operation, a)
			}
			spec.checkAnswer(http.MethodGet, "/api/health/circuit-breakers", s.get("/api/health/circuit-breakers", "Authorization: Bearer k"))
		})
	}
}
