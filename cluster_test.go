package lifeline_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
)

// lane is a breaker as the health page shows it.
type lane struct {
	Name  string
	State string
	Held  *struct{ State string }
}

// lanes answers the hub's breakers in their order, and the whole answer.
func (s *server) lanes() ([]lane, answer) {
	s.t.Helper()
	h := s.get("/api/health/circuit-breakers")
	var body struct{ CircuitBreakers []lane }
	if err := json.Unmarshal([]byte(h.raw), &body); err != nil {
		s.t.Fatalf("health: %v: %v", err, h)
	}
	return body.CircuitBreakers, h
}

// notClosed are the names of the breakers that are not.
func (s *server) notClosed() (names []string) {
	s.t.Helper()
	all, _ := s.lanes()
	for _, l := range all {
		if l.State != "closed" {
			names = append(names, l.Name)
		}
	}
	return names
}

func laneNames() []string {
	var names []string
	for p := range 16 {
		names = append(names, fmt.Sprintf("redis-p%02d", p))
	}
	return append(names, "redis-documents")
}

// startCluster is a hub on three masters which notices soon when one is away.
func startCluster(t *testing.T) (c *redistest.Cluster, s *server, config string) {
	t.Helper()
	c = redistest.StartCluster(t, 3)
	config = site("lifeline {\n storage redis redis:// {\n cluster "+strings.Join(c.Addrs(), " ")+
		"\n}\n breaker {\n probe_every 200ms\n}\n}", "")
	return c, start(t, config), config
}

// placed answers which node has a session's stream, and its partition.
func placed(t *testing.T, c *redistest.Cluster, session string) (node *redistest.Server, partition string) {
	t.Helper()
	for _, n := range c.Nodes {
		for _, key := range n.MustDo("KEYS", "afw:{p*}:e:"+session).([]any) {
			key := key.(string)
			return n, key[strings.Index(key, "{")+1 : strings.Index(key, "}")]
		}
	}
	t.Fatalf("nobody has the session %s", session)
	return nil, ""
}

// TestClusterMasterFrozen: the sessions of one master wait in the journal, the others
// go on as if nothing were.
func TestClusterMasterFrozen(t *testing.T) {
	c, s, _ := startCluster(t)
	all, h := s.lanes()
	var names []string
	for _, l := range all {
		names = append(names, l.Name)
	}
	if !slices.Equal(names, laneNames()) || h.text("status") != "ok" {
		t.Fatalf("breakers are %v: %v", names, h)
	}
	const sessions = 24
	frozen := c.Nodes[1]
	nodes, acked := map[string]*redistest.Server{}, map[string][]string{}
	post := func(session string) answer {
		t.Helper()
		id := fmt.Sprintf("%s-%03d", session, len(acked[session]))
		a := s.post(stepEvent(session, id, len(acked[session])))
		if a.status != http.StatusCreated {
			t.Fatalf("post %s: %v", id, a)
		}
		acked[session] = append(acked[session], id)
		return a
	}
	for i := range sessions {
		session := fmt.Sprintf("s%02d", i)
		if a := post(session); a.body["pending"] != nil {
			t.Fatalf("with all masters: %v", a)
		}
		nodes[session], _ = placed(t, c, session)
	}
	var fails []string
	for p := range 16 {
		if c.Owner(fmt.Sprintf("{p%02d}", p)) == frozen {
			fails = append(fails, fmt.Sprintf("redis-p%02d", p))
		}
	}
	if len(fails) == 0 || len(fails) == 16 {
		t.Fatalf("partitions of one master: %v", fails)
	}

	frozen.Freeze()
	s.waitUntil("the breakers of the frozen master are open", func() bool { return slices.Equal(s.notClosed(), fails) })
	for range 5 {
		for session, node := range nodes {
			a := post(session)
			if pending := a.body["pending"] == true; pending != (node == frozen) {
				t.Errorf("session %s, on the frozen master: %t: %v", session, node == frozen, a)
			}
		}
	}
	if got := s.notClosed(); !slices.Equal(got, fails) {
		t.Errorf("not closed are %v, want %v", got, fails)
	}
	_, h = s.lanes()
	waiting, _ := h.body["storage"].(map[string]any)
	if h.text("status") != "degraded" || waiting["pending"] == 0.0 || !strings.Contains(fmt.Sprint(waiting["reasons"]), fails[0]+": circuit breaker open") {
		t.Errorf("health: %v", h)
	}
	s.logs("fallback used")
	if used := strings.Count(s.log.String(), "fallback used"); used != 1 || strings.Contains(s.log.String(), `"breakers":["redis-p00"]`) {
		t.Errorf("the fallback is told %d times:\n%s", used, s.log)
	}

	frozen.Thaw()
	s.waitUntil("all is normal", func() bool { _, h := s.lanes(); return len(s.notClosed()) == 0 && h.text("status") == "ok" })
	for session, want := range acked {
		if got := inRedis(t, nodes[session], session); !slices.Equal(got, want) {
			t.Errorf("session %s: Redis has %v, want %v", session, got, want)
		}
		if got := s.history(session); !slices.Equal(got, want) {
			t.Errorf("session %s: the history is %v, want %v", session, got, want)
		}
	}
}

// TestHoldsInACluster: one lane by its name and all by the storage's, across a reload.
func TestHoldsInACluster(t *testing.T) {
	c, s, config := startCluster(t)
	operate := func(breaker, operation, body string) {
		t.Helper()
		if a := s.do(http.MethodPost, s.admin+"/lifeline/breakers/default/"+breaker+"/"+operation, body); a.status != http.StatusOK {
			t.Fatalf("%s %s: %v", operation, breaker, a)
		}
	}
	// held checks health and metrics.
	held := func(when string, want ...string) {
		t.Helper()
		var shown []string
		all, h := s.lanes()
		for _, l := range all {
			if l.Held != nil && l.Held.State == "forced-open" && l.State == "open" {
				shown = append(shown, l.Name)
			}
		}
		if !slices.Equal(shown, want) {
			t.Errorf("%s: held are %v, want %v: %v", when, shown, want, h)
		}
		lines := strings.Join(s.metric("caddy_lifeline_breaker_state"), "\n") + "\n"
		for _, name := range laneNames() {
			value := 0
			if slices.Contains(want, name) {
				value = 1
			}
			line := fmt.Sprintf(`{breaker=%q,hub="default",state="forced-open"} %d`, name, value)
			if !strings.Contains(lines, line+"\n") {
				t.Errorf("%s: %s is missing in the metrics", when, line)
			}
		}
	}
	s.post(stepEvent("s", "first", 0))
	_, partition := placed(t, c, "s")
	operate("redis-"+partition, "hold", `{"state":"forced-open","for":"forever"}`)
	held("one lane", "redis-"+partition)
	if a := s.post(stepEvent("s", "second", 1)); a.status != http.StatusCreated || a.body["pending"] != true {
		t.Errorf("post in the lane that is held: %v", a)
	}
	if out, code := s.reload(strings.Replace(config, "\tlifeline {\n\n", "\tlifeline {\npoll_rate 2 1s\n", 1)); code != 0 {
		t.Fatal(out)
	}
	held("after a reload", "redis-"+partition)
	operate("redis", "hold", `{"state":"forced-open","for":"10m"}`)
	held("all lanes", laneNames()...)
	if out, code := s.reload(config); code != 0 {
		t.Fatal(out)
	}
	held("all lanes, after a reload", laneNames()...)
	operate("redis-"+partition, "release", "")
	others := slices.DeleteFunc(laneNames(), func(name string) bool { return name == "redis-"+partition })
	held("one is released", others...)
	operate("redis", "release", "")
	held("all are released")
	s.waitUntil("what was pending is stored", func() bool { _, h := s.lanes(); return h.text("status") == "ok" })
	if node, _ := placed(t, c, "s"); !slices.Equal(inRedis(t, node, "s"), []string{"first", "second"}) {
		t.Errorf("Redis has %v", inRedis(t, node, "s"))
	}
}
