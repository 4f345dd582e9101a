package lifeline_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/actionflows/lifeline/internal/redistest"
)

// TestReloadKeepsConnections reloads, changed, unchanged and rejected, while
// publishers run and a WebSocket and a stream are open.
func TestReloadKeepsConnections(t *testing.T) {
	// With an access log the WebSocket is served inside ServeHTTP, without in a
	// goroutine of its own; both must outlive the configuration.
	for _, logging := range []string{"", "log {\noutput discard\n}\n"} {
		t.Run(fmt.Sprintf("log=%t", logging != ""), func(t *testing.T) {
			config := func(options string) string {
				return strings.Replace(site("lifeline {\n storage disk\n history 5000\n}", options),
					"http://localhost:PORT {\n", "http://localhost:PORT {\n"+logging, 1)
			}
			s := start(t, config(""))
			c := s.dial(nil)
			c.subscribe(t, "s", "")
			st := s.follow("s", nil)
			stop := make(chan struct{})
			var ids []string
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					id := fmt.Sprintf("p0-%04d", i)
					if !s.postAgain(stepEvent("s", id, i)) {
						return
					}
					ids = append(ids, id)
				}
			})
			for i := range 9 {
				switch i % 3 {
				case 0: // changed
					if out, code := s.reload(config(fmt.Sprintf("poll_rate %d 1s", i+1))); code != 0 {
						t.Errorf("reload: %s", out)
					}
				case 1: // unchanged
					if out, code := s.reload(config("")); code != 0 {
						t.Errorf("reload: %s", out)
					}
				case 2: // rejected
					if out, code := s.reload(config("") + "\nhttp://localhost:PORT {\n}\nhttp://localhost:PORT {\n}\n"); code == 0 {
						t.Errorf("a broken configuration was accepted: %s", out)
					}
				}
			}
			close(stop)
			wg.Wait()
			if len(ids) == 0 {
				t.Fatal("nothing was posted")
			}
			for who, l := range map[string]*readerLog{"websocket": &c.readerLog, "stream": &st.readerLog} {
				if got := l.waitFor(t, len(ids)); !slices.Equal(got, ids) {
					t.Errorf("%s: got %d events, want %d", who, len(got), len(ids))
				}
			}
		})
	}
}

// postAgain posts an event until there is an answer: the old HTTP server closes
// its idle connections at a reload, and one may carry a request just then. The
// event's id makes a repetition harmless.
func (s *server) postAgain(event string) bool {
	for range 5 {
		a, err := s.try(http.MethodPost, "/api/events", event, asJSON)
		if err != nil {
			continue
		}
		if a.status/100 != 2 {
			s.t.Errorf("post %s: %v", event, a)
		}
		return a.status/100 == 2
	}
	s.t.Errorf("post %s: no answer", event)
	return false
}

// TestAnotherAppFailing: our settings are applied, then another app of the same
// configuration refuses to start; the old settings must be back.
func TestAnotherAppFailing(t *testing.T) {
	s := start(t, site("lifeline {\n max_message 1KiB\n}", ""))
	big := `{"type":"a:b","sessionId":"s","text":"` + strings.Repeat("x", 2000) + `"}`
	for range 4 { // apps start in random order
		out, code := s.reload(site("lifeline {\n max_message 1MiB\n}", "") + "http://other.localhost:PORT {\nbind 192.0.2.1\n}\n")
		if code == 0 {
			t.Fatalf("a configuration with an address of another machine was accepted: %s", out)
		}
		if a := s.post(big); a.status != http.StatusRequestEntityTooLarge {
			t.Fatalf("the rejected configuration's limit holds: %v", a)
		}
	}
}

func TestBreakerSurvivesReload(t *testing.T) {
	r := redistest.Start(t)
	config := func(options string) string {
		return site("lifeline {\n storage redis "+r.URL()+"\n}", options)
	}
	s := start(t, config(""))
	r.Kill()
	s.post(stepEvent("s", "one", 1))
	s.waitUntil("the breaker trips", func() bool { state, _ := s.breaker(); return state == "open" })
	_, before := s.breaker()
	if out, code := s.reload(config("poll_rate 2 1s")); code != 0 {
		t.Fatalf("reload: %s", out)
	}
	state, after := s.breaker()
	trips := func(a answer) any { return a.body["circuitBreakers"].([]any)[0].(map[string]any)["totalTrips"] }
	if state == "closed" || trips(after) != trips(before) {
		t.Errorf("before %v\nafter %v", before, after)
	}
	r.Restart()
	s.waitUntil("what was pending is stored", func() bool { _, h := s.breaker(); return h.text("status") == "ok" })
	if got := inRedis(t, r, "s"); !slices.Equal(got, []string{"one"}) {
		t.Errorf("Redis has %v", got)
	}
}

func TestValidateBesideTheRunningServer(t *testing.T) {
	s := start(t, site("lifeline {\n watch w DIR/data\n}", "dashboard"))
	s.post(stepEvent("s", "one", 1))
	if out, code := s.caddy("validate", "--config", s.dir+"/Caddyfile", "--adapter", "caddyfile"); code != 0 {
		t.Errorf("validate: exit %d: %s", code, out)
	}
	s.post(stepEvent("s", "two", 2))
	if got := s.history("s"); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("history: %v", got)
	}
}

// TestReloadJudgesAccountsAgain does the same with Caddy's own accounts.
func TestReloadJudgesAccountsAgain(t *testing.T) {
	hash, code := newServer(t).caddy("hash-password", "--plaintext", "secret", "--bcrypt-cost", "4")
	if code != 0 {
		t.Fatal(hash)
	}
	config := func(accounts ...string) string {
		auth := "@api not path /health\nbasic_auth @api {\n"
		for _, name := range accounts {
			auth += name + " " + strings.TrimSpace(hash) + "\n"
		}
		return strings.Replace(site("lifeline {\n storage memory\n}", ""), "http://localhost:PORT {\n",
			"http://localhost:PORT {\n"+auth+"}\n", 1)
	}
	s := start(t, config("alice", "bob"))
	alice := s.dial(http.Header{"Authorization": {"Basic YWxpY2U6c2VjcmV0"}, "X-Forwarded-For": {"192.0.2.1"}})
	alice.subscribe(t, "s", "")
	if out, code := s.reload(config("alice", "bob") + "http://other.localhost:PORT {\nrespond x\n}\n"); code != 0 {
		t.Fatalf("reload: %s", out)
	}
	alice.send(t, `{"type":"ping"}`)
	alice.frame(t, "pong")
	if out, code := s.reload(config("bob")); code != 0 {
		t.Fatalf("reload: %s", out)
	}
	select {
	case <-alice.closed:
	case <-time.After(patience):
		t.Fatal("alice stays connected without an account")
	}
	if alice.code != 4401 {
		t.Errorf("close code %d", alice.code)
	}
}

func TestRemovedHubClosesItsClients(t *testing.T) {
	s := start(t, "{\nadmin ADMIN\nlifeline side {\nstorage memory\n}\n}\nhttp://localhost:PORT {\nlifeline side\n}\n")
	c := s.dial(nil)
	c.subscribe(t, "s", "")
	if out, code := s.reload(site("lifeline {\n storage memory\n}", "")); code != 0 {
		t.Fatalf("reload: %s", out)
	}
	select {
	case <-c.closed:
	case <-time.After(patience):
		t.Fatal("a client of the removed hub stays connected")
	}
	if c.code != ws.StatusGoingAway {
		t.Errorf("closed with %d", c.code)
	}
	if a := s.post(stepEvent("s", "one", 1)); a.status != http.StatusCreated {
		t.Errorf("the other hub: %v", a)
	}
}

// TestExit: SIGTERM with connections open, one of them from an earlier
// configuration, ends the process at once and tells the clients.
func TestExit(t *testing.T) {
	s := start(t, site("", ""))
	c := s.dial(nil)
	c.subscribe(t, "s", "")
	early := s.follow("s", nil)
	if out, code := s.reload(site("", "poll_rate 2 1s")); code != 0 {
		t.Fatalf("reload: %s", out)
	}
	late := s.follow("s", nil)
	d := s.dial(nil)
	d.subscribe(t, "s", "")
	if took := s.terminate(); took > 2*time.Second {
		t.Errorf("the exit took %s", took)
	}
	for _, closed := range []chan struct{}{c.closed, d.closed, early.ended, late.ended} {
		select {
		case <-closed:
		case <-time.After(patience):
			t.Fatal("a connection outlives the server")
		}
	}
	if c.code != ws.StatusGoingAway || d.code != ws.StatusGoingAway {
		t.Errorf("close codes %d and %d", c.code, d.code)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestAdmin(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, site("lifeline {\n storage redis "+r.URL()+"\n}\nlifeline mem {\n storage memory\n}", ""))
	all := s.get(s.admin + "/lifeline/breakers")
	var hubs struct {
		Hubs map[string][]struct {
			Name, State string
			TotalTrips  int
		}
	}
	if err := json.Unmarshal([]byte(all.raw), &hubs); err != nil || all.status != http.StatusOK {
		t.Fatalf("breakers: %v %v", all, err)
	}
	if b := hubs.Hubs["default"]; len(b) != 1 || b[0].Name != "redis" || b[0].State != "closed" {
		t.Errorf("default hub: %v", all)
	}
	if b, ok := hubs.Hubs["mem"]; !ok || len(b) != 0 {
		t.Errorf("memory hub: %v", all)
	}
	const reset = "/lifeline/breakers/default/redis/reset"
	r.Freeze()
	for i := range 3 {
		s.post(stepEvent("s", fmt.Sprint(i), i))
	}
	s.waitUntil("the breaker trips", func() bool { state, _ := s.breaker(); return state == "open" })
	if a := s.do(http.MethodPost, s.admin+reset, ""); a.status != http.StatusOK || a.text("state") != "closed" || a.body["totalTrips"] != 1.0 {
		t.Errorf("reset: %v", a)
	}
	r.Thaw()
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/lifeline/breakers/default", 200, ""},
		{"GET", "/lifeline/breakers/none", 404, ""},
		{"POST", "/lifeline/breakers/none/redis/reset", 404, ""},
		{"POST", "/lifeline/breakers/default/none/reset", 404, ""},
		{"POST", "/lifeline/breakers/default/redis/explode", 404, ""},
		{"GET", reset, 405, "POST"},
		{"POST", "/lifeline/breakers", 405, "GET"},
		{"DELETE", "/lifeline/breakers/default", 405, "GET"},
		{"POST", reset, 200, ""},
	} {
		a := s.do(c.method, s.admin+c.path, "")
		if a.status != c.status || a.header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %v, Allow %q", c.method, c.path, a, a.header.Get("Allow"))
		}
		if c.status >= 400 && a.text("error") == "" {
			t.Errorf("%s %s: no error in %v", c.method, c.path, a)
		}
	}
}
