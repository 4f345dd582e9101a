package lifeline_test

import (
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
)

// What is answered while storage is away, with the journal on disk and in memory, and
// to who polls too often, is as the page says.
func TestOpenAPIAnswersInAnOutage(t *testing.T) {
	const events, one, page, poll = "/api/events", `{"type":"a:b","sessionId":"s","id":"first"}`, "/api/events/{sessionId}", "/api/events/poll/{sessionId}"
	type request struct {
		method, path, template, body string
		status                       int
	}
	for name, c := range map[string]struct {
		option string
		taken  int // the status of an event that waits
	}{
		"journal on disk":   {"", 201},
		"journal in memory": {"journal off", 202},
	} {
		t.Run(name, func(t *testing.T) {
			spec := loadSpec(t, "openapi.yaml")
			s := start(t, site("lifeline {\n storage redis "+redistest.Start(t).URL()+"\n"+c.option+"\n}", ""))
			if a := s.do("POST", s.admin+"/lifeline/breakers/default/redis/hold", `{"state":"forced-open","for":"forever"}`); a.status != 200 {
				t.Fatal(a)
			}
			for _, r := range []request{
				{"POST", events, events, one, c.taken},
				{"POST", events, events, one, 200}, // twice
				{"POST", events, events, `[` + one + `,{"type":"a:b","sessionId":"s"}]`, c.taken},
				{"POST", events, events, `[` + one + `,{"type":"a:b"}]`, 207},
				{"GET", "/api/events/s", page, "", 200},
				{"GET", "/api/events/s/recent", page + "/recent", "", 200},
				{"GET", "/api/events/poll/s", poll, "", 200},
				{"GET", "/api/events/poll/s", poll, "", 429},
				{"GET", "/api/events/poll?session=s&session=r", "/api/events/poll", "", 429},
				{"GET", "/api/sessions/s", "/api/sessions/{sessionId}", "", 503},
				{"GET", "/api/sessions", "/api/sessions", "", 503},
				{"GET", "/api/health/circuit-breakers", "/api/health/circuit-breakers", "", 200},
			} {
				a := s.do(r.method, r.path, r.body, asJSON)
				if a.status != r.status || a.header.Get("Lifeline-Degraded") != "true" {
					t.Errorf("%s %s: %v %v, want %d", r.method, r.path, a, a.header, r.status)
				}
				spec.checkAnswer(r.method, r.template, a)
				spec.checkRequest(r.method, r.template, r.body, a)
			}
		})
	}
}
