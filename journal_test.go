package lifeline_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
)

// outage is a hub before Redis, killed with kill -9 while Redis is dead.
type outage struct {
	*server
	redis  *redistest.Server
	config string
	// acked are the ids that were acknowledged, by publisher; unsure is how many
	// posts more got no answer, at most one of each publisher.
	acked  [][]string
	unsure int
}

const outageSession = "outage"

// startOutage posts while Redis works, kills it, posts on from several publishers,
// and kills the hub under that load.
func startOutage(t *testing.T, redisArgs ...string) *outage {
	t.Helper()
	const publishers, before, during = 4, 10, 100
	r := redistest.Start(t, redisArgs...)
	config := site("lifeline {\n storage redis "+r.URL()+"\n}", "")
	o := &outage{server: start(t, config), redis: r, config: config, acked: make([][]string, publishers)}
	o.publish(func(p int) bool { return len(o.acked[p]) < before })
	r.Kill()
	var posted atomic.Int64
	o.publish(func(int) bool {
		if posted.Add(1) == during {
			_ = o.cmd.Process.Kill()
		}
		return true
	})
	o.awaitEnd()
	return o
}

// publish posts from all publishers until again says no or the hub is gone.
func (o *outage) publish(again func(publisher int) bool) {
	o.t.Helper()
	var wg sync.WaitGroup
	var unanswered atomic.Int64
	for p := range o.acked {
		wg.Go(func() {
			for again(p) {
				n := len(o.acked[p])
				id := fmt.Sprintf("p%d-%04d", p, n)
				a, err := o.try(http.MethodPost, "/api/events", stepEvent(outageSession, id, n), asJSON)
				if err != nil {
					unanswered.Add(1)
					return
				}
				if _, told := a.body["durable"]; a.status != http.StatusCreated || told {
					o.t.Errorf("post %s: %v", id, a)
					return
				}
				o.acked[p] = append(o.acked[p], id)
			}
		})
	}
	wg.Wait()
	o.unsure += int(unanswered.Load())
}

// awaitEnd waits until the process has ended by itself.
func (s *server) awaitEnd() {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Fatalf("the server runs on:\n%s", s.log)
	}
}

// check compares Redis and the history with what was acknowledged: each event once,
// each publisher's in order, and nothing else but what was in flight.
func (o *outage) check() {
	o.t.Helper()
	o.waitUntil("nothing is pending", func() bool {
		_, h := o.breakers()
		return h.text("status") == "ok"
	})
	stored := inRedis(o.t, o.redis, outageSession)
	if got := o.history(outageSession); !slices.Equal(got, stored) {
		o.t.Errorf("the history has\n%v\nand Redis\n%v", got, stored)
	}
	var extra int
	for p, want := range o.acked {
		var got []string
		for _, id := range stored {
			if strings.HasPrefix(id, fmt.Sprintf("p%d-", p)) {
				got = append(got, id)
			}
		}
		if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
			o.t.Errorf("publisher %d: stored are\n%v\nacknowledged were\n%v", p, got, want)
			continue
		}
		extra += len(got) - len(want)
	}
	if extra > o.unsure {
		o.t.Errorf("%d events were stored that nobody was told of, want at most the %d unanswered ones", extra, o.unsure)
	}
}

// breakers answers the states of the hub's breakers, and the whole answer.
func (s *server) breakers() (states []string, health answer) {
	s.t.Helper()
	health = s.get("/api/health/circuit-breakers")
	list, _ := health.body["circuitBreakers"].([]any)
	for _, entry := range list {
		state, _ := entry.(map[string]any)["state"].(string)
		states = append(states, state)
	}
	return states, health
}

// TestHubAndRedisKilled is the heart of the promise: what was acknowledged while
// Redis was dead survives kill -9 of the hub.
func TestHubAndRedisKilled(t *testing.T) {
	keeps := []string{"--appendonly", "yes", "--appendfsync", "always"}
	t.Run("Redis first", func(t *testing.T) {
		o := startOutage(t, keeps...)
		o.redis.Restart()
		o.start(o.config)
		o.check()
	})
	t.Run("hub first", func(t *testing.T) {
		o := startOutage(t, keeps...)
		o.start(o.config)
		id := fmt.Sprintf("p0-%04d", len(o.acked[0])+o.unsure) // behind one that may have been in flight
		if a := o.post(stepEvent("later", id, 0)); a.status != http.StatusCreated || a.body["pending"] != true {
			t.Errorf("post before Redis is back: %v", a)
		}
		if lines := o.metric("caddy_lifeline_journal_bytes"); len(lines) != 1 || strings.HasSuffix(lines[0], " 0") {
			t.Errorf("journal_bytes is %v", lines)
		}
		o.redis.Restart()
		o.check()
		if got := inRedis(t, o.redis, "later"); !slices.Equal(got, []string{id}) {
			t.Errorf("what came after the start: %v", got)
		}
	})
	t.Run("Redis comes back empty", func(t *testing.T) {
		o := startOutage(t)
		o.redis.Restart()
		o.start(o.config)
		o.check()
	})
}

// TestBreakerOffShipsTheJournalFirst: who turns the journal off while events wait in
// it is refused until Redis has them.
func TestBreakerOffShipsTheJournalFirst(t *testing.T) {
	for name, off := range map[string]func(o *outage) (config string){
		"breaker off": func(o *outage) string {
			return strings.Replace(o.config, "lifeline {\n storage", "lifeline {\n breaker off\n storage", 1)
		},
		"journal off": func(o *outage) string {
			return strings.Replace(o.config, "lifeline {\n storage", "lifeline {\n journal off\n storage", 1)
		},
		"the environment": func(o *outage) string {
			o.env = append(o.env, "AFW_DISABLE_CIRCUIT_BREAKER=true")
			return o.config
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := startOutage(t)
			config := off(o)
			dir := filepath.Join(o.dir, "data", "caddy", "lifeline", "default", "journal")
			o.launch(o.write(config))
			o.awaitEnd()
			for _, want := range []string{"events wait in the journal in " + dir + ": ", "make the redis storage available"} {
				if !strings.Contains(o.log.String(), want) {
					t.Errorf("%q is missing in\n%s", want, o.log)
				}
			}
			o.redis.Restart()
			o.start(config)
			o.check()
			if _, err := os.Stat(dir); err != nil {
				t.Errorf("the journal's directory: %v", err)
			}
		})
	}
}

// TestJournalOff: the journal is in memory, and each answer and the log say so.
func TestJournalOff(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, site("lifeline {\n storage redis "+r.URL()+"\n journal off\n}", ""))
	ids := []string{"p0-0000"}
	if a := s.post(stepEvent("off", ids[0], 0)); a.status != http.StatusCreated {
		t.Errorf("with Redis: %v", a)
	}
	r.Kill()
	for n := 1; n <= 20; n++ {
		ids = append(ids, fmt.Sprintf("p0-%04d", n))
		if a := s.post(stepEvent("off", ids[n], n)); a.status != http.StatusAccepted || a.body["pending"] != true || a.body["durable"] != false {
			t.Fatalf("without Redis: %v", a)
		}
	}
	r.Restart()
	s.waitUntil("all is normal", func() bool { _, h := s.breaker(); return h.text("status") == "ok" })
	if got := inRedis(t, r, "off"); !slices.Equal(got, ids) {
		t.Errorf("Redis has %v", got)
	}
	s.logs("kept in memory only")
	if _, err := os.Stat(filepath.Join(s.dir, "data", "caddy", "lifeline", "default", "journal")); !os.IsNotExist(err) {
		t.Errorf("a journal was made: %v", err)
	}
}

// TestJournalSomewhereElse: the directory of the option is used, and a second hub
// process on it is refused.
func TestJournalSomewhereElse(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, site("lifeline {\n storage redis "+r.URL()+"\n journal DIR/elsewhere {\n max_size 8MiB\n retain 10m\n}\n}", ""))
	if a := s.post(stepEvent("s", "one", 1)); a.status != http.StatusCreated {
		t.Errorf("post: %v", a)
	}
	if files, err := os.ReadDir(s.dir + "/elsewhere"); err != nil || len(files) == 0 {
		t.Errorf("files of the journal: %v, %v", files, err)
	}
	if strings.Contains(s.log.String(), "kept in memory only") {
		t.Error("a warning that pending events die with the process")
	}
	other := newServer(t)
	other.launch(other.write(site("lifeline {\n storage redis "+r.URL()+"\n journal "+s.dir+"/elsewhere\n}", "")))
	other.awaitEnd()
	if !strings.Contains(other.log.String(), s.dir+"/elsewhere") || !strings.Contains(other.log.String(), "in use") {
		t.Errorf("the second server said:\n%s", other.log)
	}
}
