package lifeline_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
)

// breaker answers the state of the hub's only breaker, and the whole answer.
func (s *server) breaker() (state string, health answer) {
	s.t.Helper()
	health = s.get("/api/health/circuit-breakers")
	list, _ := health.body["circuitBreakers"].([]any)
	if len(list) != 1 {
		s.t.Fatalf("want one breaker: %v", health)
	}
	state, _ = list[0].(map[string]any)["state"].(string)
	return state, health
}

// awaitStatus reads status messages up to one with the only breaker in a state. None
// may have the storage's address in it.
func (c *socket) awaitStatus(t *testing.T, state, url string) {
	t.Helper()
	for {
		payload, _ := c.frame(t, "status")["payload"].(map[string]any)
		breakers, _ := payload["breakers"].([]any)
		if len(breakers) != 1 || strings.Contains(fmt.Sprint(payload), strings.TrimPrefix(url, "redis://")) {
			t.Fatalf("status %v", payload)
		}
		one, _ := breakers[0].(map[string]any)
		if one["state"] == state && payload["degraded"] == (state != "closed") {
			return
		}
	}
}

// inRedis answers the event ids in a session's stream, in order.
func inRedis(t *testing.T, r *redistest.Server, session string) []string {
	t.Helper()
	keys, err := r.Do(context.Background(), "KEYS", "afw:{p*}:e:"+session)
	if err != nil {
		t.Fatal(err)
	}
	found, _ := keys.([]any)
	if len(found) != 1 {
		t.Fatalf("stream keys of %s: %v", session, found)
	}
	answer, err := r.Do(context.Background(), "XRANGE", found[0], "-", "+")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, entry := range answer.([]any) {
		for _, field := range entry.([]any)[1].([]any) {
			if text := fmt.Sprint(field); strings.HasPrefix(text, "{") {
				ids = append(ids, eventID([]byte(text)))
			}
		}
	}
	return ids
}

// TestRedisKilled is the promise of the README: Redis dies under load and comes
// back empty; no post is refused and nothing is lost.
func TestRedisKilled(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, site("lifeline {\n storage redis "+r.URL()+"\n}", ""))
	const session, quiet = "outage", "quiet"
	s.post(stepEvent(quiet, "quiet", 1)) // gets no event after the kill
	c := s.dial(nil)
	c.subscribe(t, session, "")
	st := s.follow(session, nil)

	published := [][]string{nil}
	var pending int
	post := func(n int) {
		t.Helper()
		for range n {
			id := fmt.Sprintf("p0-%04d", len(published[0]))
			begin := time.Now()
			a := s.post(stepEvent(session, id, len(published[0])))
			if a.status != http.StatusCreated {
				t.Fatalf("post %s: %v", id, a)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("post %s took %s", id, took)
			}
			published[0] = append(published[0], id)
			if a.body["pending"] == true {
				pending++
			}
		}
	}
	post(20)
	if state, h := s.breaker(); state != "closed" || h.text("status") != "ok" || pending > 0 {
		t.Fatalf("before the outage: %d pending, %v", pending, h)
	}
	r.Kill()
	post(30)
	s.waitUntil("the breaker trips", func() bool { state, _ := s.breaker(); return state == "open" })
	c.awaitStatus(t, "open", r.URL())
	post(30)
	if pending < 55 {
		t.Errorf("%d of 60 posts were pending", pending)
	}
	_, h := s.breaker()
	if storage, _ := h.body["storage"].(map[string]any); h.text("status") != "degraded" ||
		storage["usingFallback"] != true || storage["pending"] != float64(pending) {
		t.Errorf("during the outage: %v", h)
	}
	if h.header.Get("Lifeline-Degraded") != "true" {
		t.Errorf("Lifeline-Degraded is missing: %v", h.header)
	}
	if strings.Contains(h.raw, strings.TrimPrefix(r.URL(), "redis://")) {
		t.Errorf("the health page tells an address: %v", h)
	}
	// Subscribers of this node see pending events at once.
	for who, l := range map[string]*readerLog{"websocket": &c.readerLog, "stream": &st.readerLog} {
		inPublisherOrder(t, who, l.waitFor(t, len(published[0])), published)
	}
	during := s.get("/api/events/" + session + "?limit=1000")
	if during.status != http.StatusOK || during.body["degraded"] != true || during.body["count"] != float64(len(published[0])) {
		t.Errorf("reading during the outage: %v", during)
	}

	r.Restart()
	s.waitUntil("the breaker closes", func() bool { state, _ := s.breaker(); return state == "closed" })
	s.waitUntil("nothing is pending", func() bool {
		_, h := s.breaker()
		storage, _ := h.body["storage"].(map[string]any)
		return storage["pending"] == 0.0 && h.text("status") == "ok"
	})
	c.awaitStatus(t, "closed", r.URL())
	for told := 0; told < 2; { // of the outage, and of its end
		select {
		case name := <-st.named:
			if name == "lifeline.status" {
				told++
			}
		case <-time.After(patience):
			t.Fatal("the stream is not told")
		}
	}
	post(20)
	if got := inRedis(t, r, session); !slices.Equal(got, published[0]) {
		t.Errorf("Redis has %d events: %v\nwant %v", len(got), got, published[0])
	}
	if got := inRedis(t, r, quiet); !slices.Equal(got, []string{"quiet"}) {
		t.Errorf("the quiet session: %v", got)
	}
	if got := s.history(session); !slices.Equal(got, published[0]) {
		t.Errorf("history: %v", got)
	}
	for who, l := range map[string]*readerLog{"websocket": &c.readerLog, "stream": &st.readerLog} {
		inPublisherOrder(t, who+" in the end", l.waitFor(t, len(published[0])), published)
	}
	s.logs("circuit breaker tripped", "circuit breaker recovered")
}

// TestNotEvenTheFirstFive posts from many clients at the moment of the kill.
func TestNotEvenTheFirstFive(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, site("lifeline {\n storage redis "+r.URL()+"\n history 10000\n}", ""))
	const publishers, count = 8, 80
	posted := make([][]string, publishers)
	killed, restarted := make(chan struct{}), make(chan struct{})
	var wg, halfway, outage sync.WaitGroup
	halfway.Add(publishers)
	outage.Add(publishers)
	for p := range publishers {
		wg.Go(func() {
			for i := range count {
				switch i {
				case count / 4:
					halfway.Done() // the kill may happen from here on, under traffic
				case count / 2:
					<-killed
					outage.Done()
				case 3 * count / 4:
					<-restarted
				}
				id := fmt.Sprintf("p%d-%04d", p, i)
				a, err := s.try(http.MethodPost, "/api/events", stepEvent("burst", id, i), asJSON)
				if err != nil || a.status/100 != 2 {
					t.Errorf("post %s: %v %v", id, a, err)
				}
				posted[p] = append(posted[p], id)
			}
		})
	}
	halfway.Wait()
	r.Kill()
	close(killed)
	outage.Wait()
	s.waitUntil("the breaker trips", func() bool { state, _ := s.breaker(); return state != "closed" })
	r.Restart()
	close(restarted)
	wg.Wait()
	s.waitUntil("nothing is pending", func() bool { _, h := s.breaker(); return h.text("status") == "ok" })
	inPublisherOrder(t, "Redis", inRedis(t, r, "burst"), posted)
}

func TestRedisFrozen(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, site("lifeline {\n storage redis "+r.URL()+"\n}", ""))
	s.post(stepEvent("frozen", "p0-0000", 0))
	ids := []string{"p0-0000"}
	r.Freeze()
	for i := 1; i <= 20; i++ {
		ids = append(ids, fmt.Sprintf("p0-%04d", i))
		if a := s.post(stepEvent("frozen", ids[i], i)); a.status/100 != 2 {
			t.Fatalf("post %d: %v", i, a)
		}
	}
	s.waitUntil("its failures are counted", func() bool {
		return s.value(`caddy_lifeline_storage_errors_total{hub="default",op="apply"}`) > 0
	})
	r.Thaw()
	s.waitUntil("all is normal", func() bool { _, h := s.breaker(); return h.text("status") == "ok" })
	if got := inRedis(t, r, "frozen"); !slices.Equal(got, ids) {
		t.Errorf("Redis has %v", got)
	}
	if n := s.value(`caddy_lifeline_storage_seconds_count{hub="default",op="apply"}`); n < 2 {
		t.Errorf("%v calls were counted", n)
	}
}

func TestRedisAwayAtTheStart(t *testing.T) {
	r := redistest.Start(t)
	r.Kill()
	s := start(t, site("lifeline {\n storage redis "+r.URL()+"\n}", ""))
	a := s.post(stepEvent("early", "p0-0000", 0))
	if a.status != http.StatusCreated || a.body["pending"] != true {
		t.Errorf("without Redis: %v", a)
	}
	r.Restart()
	s.waitUntil("all is normal", func() bool { _, h := s.breaker(); return h.text("status") == "ok" })
	if got := inRedis(t, r, "early"); !slices.Equal(got, []string{"p0-0000"}) {
		t.Errorf("Redis has %v", got)
	}
}

func TestBreakerDisabledByTheEnvironment(t *testing.T) {
	r := redistest.Start(t)
	s := newServer(t)
	s.env = append(s.env, "AFW_DISABLE_CIRCUIT_BREAKER=TRUE")
	s.start(site("lifeline {\n storage redis "+r.URL()+"\n}", ""))
	if a := s.post(stepEvent("raw", "one", 1)); a.status != http.StatusCreated {
		t.Errorf("with Redis: %v", a)
	}
	r.Kill()
	a := s.post(stepEvent("raw", "two", 2))
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("the raw driver without Redis: %v", a)
	}
	s.logs("AFW_DISABLE_CIRCUIT_BREAKER")
}

// TestRepeatedPostAfterARestart: a client that got no answer posts again under the
// same id, and meets another process; the event is there once.
func TestRepeatedPostAfterARestart(t *testing.T) {
	r := redistest.Start(t)
	config := site("lifeline {\n storage redis "+r.URL()+"\n}", "")
	s := start(t, config)
	first := s.post(stepEvent("again", "p0-0000", 0))
	s.terminate()
	s.start(config)
	second := s.post(stepEvent("again", "p0-0000", 0))
	if second.status != http.StatusOK || second.body["duplicate"] != true || second.text("cursor") != first.text("cursor") {
		t.Errorf("first %v\nsecond %v", first, second)
	}
	third := s.post(stepEvent("again", "p0-0001", 1))
	if third.status != http.StatusCreated {
		t.Errorf("third %v", third)
	}
	if got := inRedis(t, r, "again"); !slices.Equal(got, []string{"p0-0000", "p0-0001"}) {
		t.Errorf("Redis has %v", got)
	}
}

// TestDiskSurvivesAKill: what was answered with 201 is there after SIGKILL.
func TestDiskSurvivesAKill(t *testing.T) {
	s := start(t, site("", ""))
	published := s.publishers("kept", 4, 25)
	_ = s.cmd.Process.Kill()
	<-s.done
	s.start(site("", ""))
	inPublisherOrder(t, "after the kill", s.history("kept"), published)
}

// TestDiskDirectoryInUse: a second server on one directory says so.
func TestDiskDirectoryInUse(t *testing.T) {
	s := start(t, site("lifeline {\n storage disk DIR/events\n}", ""))
	if _, err := os.Stat(s.dir + "/events/lifeline.db"); err != nil {
		t.Fatal(err)
	}
	other := newServer(t)
	other.launch(other.write(site("lifeline {\n storage disk "+s.dir+"/events\n}", "")))
	select {
	case <-other.done:
	case <-time.After(patience):
		t.Fatal("a second server runs on the same directory")
	}
	if !strings.Contains(other.log.String(), s.dir+"/events") || !strings.Contains(other.log.String(), "in use") {
		t.Errorf("the second server said:\n%s", other.log)
	}
}
