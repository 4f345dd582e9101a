package lifeline_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
)

// TestLogOfAnOutage: what an operator reads of it does not depend on how many events
// are posted, read and refused meanwhile.
func TestLogOfAnOutage(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, site("lifeline {\n storage redis "+r.URL()+"\n}", ""))
	for i := range 50 {
		s.post(stepEvent(fmt.Sprint("s", i), "before", 0))
	}
	quiet := len(s.log.String())
	r.Kill()
	for i := range 50 {
		session := fmt.Sprint("s", i)
		s.post(stepEvent(session, "during", 1))
		s.get("/api/events/" + session)
		s.get("/api/sessions/" + session)
		s.do("POST", "/api/sessions/"+session+"/input", `{"text":"go on"}`, asJSON)
	}
	s.waitUntil("the breaker trips", func() bool { state, _ := s.breaker(); return state == "open" })
	r.Restart()
	s.logs("circuit breaker recovered", "no longer used", "stored again from the journal", "storage has recovered")
	got := map[string]int{}
	for line := range strings.Lines(s.log.String()[quiet:]) {
		var entry struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got[entry.Level+": "+entry.Msg]++
	}
	for _, once := range []string{
		"error: circuit breaker tripped",
		"warn: storage is degraded",
		"warn: circuit breaker open, fallback used",
		"warn: the backend has lost entries: what it has is compared with the journal",
		"warn: the backend has lost entries: they are stored again from the journal",
		"info: circuit breaker recovered",
		"info: circuit breaker closed, fallback no longer used",
		"info: storage has recovered",
	} {
		if got[once] != 1 {
			t.Errorf("%d times %q", got[once], once)
		}
		delete(got, once)
	}
	if len(got) > 0 {
		t.Errorf("besides: %v", got)
	}
}
