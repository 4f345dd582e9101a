package lifeline_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
)

const statusPath, statusStream = "/lifeline/status", "/lifeline/status/stream"

// shownStatus is what a test looks at in a status.
type shownStatus struct {
	Hub, Status string
	Uptime      float64
	Reasons     []string
	Storage     struct {
		Driver        string
		UsingFallback bool
		Pending       int
		JournalBytes  int64
	}
	History  map[string]any
	Breakers []struct {
		Name, State, LastError string
		Held                   *struct{ State string }
		Transitions            []struct{ From, To, Reason, Held, Cause string }
	}
	Sessions []struct {
		SessionID string
		Clients   int
		LastEvent *struct {
			Type string
			At   time.Time
		}
		Watcher *struct {
			Root, State, LastError string
			Attempts, MaxAttempts  int
		}
	}
	SessionCount int
	Clients      []struct {
		ID, Transport, User, IP string
		Since                   time.Time
		Sessions                int
	}
	ClientCount int
	May         struct {
		Operate bool
		User    string
	}
}

func parseStatus(t *testing.T, text string) (st shownStatus) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &st); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return st
}

// series is one of the history, null as -1.
func (st shownStatus) series(t *testing.T, name string) (values []float64) {
	t.Helper()
	list, ok := st.History[name].([]any)
	if !ok {
		t.Fatalf("no series %s in %v", name, st.History)
	}
	for _, v := range list {
		n, ok := v.(float64)
		if !ok {
			n = -1
		}
		values = append(values, n)
	}
	return values
}

func (s *server) status(headers ...string) shownStatus {
	s.t.Helper()
	a := s.get(statusPath, headers...)
	if a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" {
		s.t.Fatalf("status: %v %v", a, a.header)
	}
	return parseStatus(s.t, a.raw)
}

// statusEvents is an open stream of the status.
type statusEvents struct {
	t      *testing.T
	in     *bufio.Reader
	status int
	header http.Header
}

// watchStatus opens a stream; url is a path or whole.
func (s *server) watchStatus(url string, headers ...string) *statusEvents {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	s.t.Cleanup(cancel)
	resp := s.open(ctx, url, headers)
	s.t.Cleanup(func() { _ = resp.Body.Close() })
	return &statusEvents{s.t, bufio.NewReader(resp.Body), resp.StatusCode, resp.Header}
}

// next is the next event; ok is false at the stream's end.
func (e *statusEvents) next() (name, data string, ok bool) {
	for {
		line, err := e.in.ReadString('\n')
		if err != nil {
			return "", "", false
		}
		line = strings.TrimSuffix(line, "\n")
		switch field, value, _ := strings.Cut(line, ": "); {
		case field == "event":
			name = value
		case field == "data":
			data = value
		case line == "" && data != "":
			return name, data, true
		}
	}
}

// until reads up to an event that ok accepts.
func (e *statusEvents) until(what string, ok func(st shownStatus) bool) shownStatus {
	e.t.Helper()
	var last string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		_, data, more := e.next()
		if !more {
			e.t.Fatalf("the stream ended before %s", what)
		}
		if st := parseStatus(e.t, data); ok(st) {
			return st
		}
		last = data
	}
	e.t.Fatalf("%s: waited in vain; last %s", what, last)
	return shownStatus{}
}

// TestStatusInAnOutage: what a person sees of Redis being killed, and of its return.
func TestStatusInAnOutage(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, site("lifeline {\n storage redis "+r.URL()+"\n breaker {\n reset_timeout 1s\n}\n}", "dashboard"))
	s.dial(nil).subscribe(t, "seen", "")
	s.post(stepEvent("seen", "a", 1))
	before := s.status()
	if before.Status != "live" || before.Storage.Driver != "redis" || len(before.Reasons) != 0 || before.Hub != "default" {
		t.Errorf("before: %+v", before)
	}
	if len(before.Sessions) != 1 || before.Sessions[0].SessionID != "seen" || before.Sessions[0].LastEvent.Type != "step:started" {
		t.Errorf("sessions: %+v", before.Sessions)
	}
	st := s.watchStatus(statusStream)
	name, data, _ := st.next()
	if first := parseStatus(t, data); name != "status" || len(first.series(t, "received")) != 120 || first.History["seconds"] != 120.0 {
		t.Errorf("first event %s: %s", name, data)
	}
	name, data, _ = st.next()
	if err := loadSpec(t, "openapi.yaml").valid("/components/schemas/Status", data); err != nil {
		t.Errorf("a tick: %v", err)
	}
	if tick := parseStatus(t, data); name != "tick" || len(tick.series(t, "delayP99")) != 1 || len(tick.Breakers) != 1 {
		t.Errorf("second event %s: %s", name, data)
	}
	r.Kill()
	for i := range 20 {
		if a := s.post(stepEvent("seen", fmt.Sprint(i), i)); a.status != http.StatusCreated {
			t.Fatal(a)
		}
	}
	down := st.until("degraded", func(st shownStatus) bool {
		return st.Status == "degraded" && st.Storage.Pending == 20 && st.Storage.UsingFallback && len(st.Breakers[0].Transitions) > 0
	})
	b := down.Breakers[0]
	if trip := b.Transitions[len(b.Transitions)-1]; trip.From != "closed" || trip.To != "open" || trip.Cause == "" || b.LastError == "" {
		t.Errorf("the breaker: %+v", b)
	}
	if text := strings.Join(down.Reasons, "; "); !strings.Contains(text, "circuit breaker") || !strings.Contains(text, "20 events wait") {
		t.Errorf("reasons: %s", text)
	}
	s.waitUntil("the depth is in the history", func() bool {
		pending := s.status().series(t, "pending")
		return pending[len(pending)-1] == 20
	})
	raw := s.get(statusPath)
	loadSpec(t, "openapi.yaml").checkAnswer(http.MethodGet, statusPath, raw)
	if strings.Contains(raw.raw, strings.TrimPrefix(r.URL(), "redis://")) || strings.Contains(raw.raw, s.dir) {
		t.Errorf("it tells an address or a path: %v", raw)
	}
	if raw.header.Get("Lifeline-Degraded") != "true" {
		t.Errorf("headers: %v", raw.header)
	}
	r.Restart()
	st.until("live again", func(st shownStatus) bool {
		return st.Status == "live" && st.Storage.Pending == 0 && st.Breakers[0].State == "closed"
	})
	after := s.status()
	sum := 0.0
	for _, n := range after.series(t, "received") {
		sum += max(n, 0)
	}
	if sum != 21 || after.Breakers[0].Transitions[0].To != "closed" {
		t.Errorf("afterwards %v were received: %+v", sum, after)
	}
}

// TestStatusOfAnOperatedBreaker: tripped and held, on the admin endpoint, and still
// there after a reload.
func TestStatusOfAnOperatedBreaker(t *testing.T) {
	config := site("lifeline {\n storage disk DIR/hub\n}", "dashboard")
	s := start(t, config)
	st := s.watchStatus(s.admin + "/lifeline/status/default/stream")
	if first := st.until("the first", func(shownStatus) bool { return true }); !first.May.Operate || first.May.User != "" {
		t.Errorf("may: %+v", first.May)
	}
	operate := func(operation, body string) {
		t.Helper()
		if a := s.do(http.MethodPost, s.admin+"/lifeline/breakers/default/disk/"+operation, body); a.status != http.StatusOK {
			t.Fatal(a)
		}
	}
	operate("trip", `{"cause":"the disk smells"}`)
	operate("hold", `{"state":"forced-open","for":"10m"}`)
	held := st.until("held", func(st shownStatus) bool { return st.Breakers[0].Held != nil && st.Status == "degraded" })
	list := held.Breakers[0].Transitions
	if trip := list[len(list)-1]; held.Breakers[0].Held.State != "forced-open" || list[0].Held != "forced-open" ||
		list[0].Reason != "hold" || trip.Cause != "the disk smells" || trip.Reason != "trip" {
		t.Errorf("held: %+v", held.Breakers[0])
	}
	for range 6 {
		operate("release", "")
		operate("hold", `{"state":"disabled","for":"forever"}`)
	}
	if output, code := s.reload(config); code != 0 {
		t.Fatal(output)
	}
	if kept := s.status(); len(kept.Breakers[0].Transitions) != 10 || kept.Breakers[0].Held.State != "disabled" || kept.May.Operate {
		t.Errorf("after the reload: %+v %+v", kept.Breakers, kept.May)
	}
	for { // Caddy has replaced its admin server, which waits for its streams
		if _, _, more := st.next(); !more {
			break
		}
	}
	s.waitUntil("the old admin server has stopped", func() bool {
		return strings.Contains(s.log.String(), "stopped previous server")
	})
	if strings.Contains(s.log.String(), "stopping current admin endpoint") {
		t.Error("the admin server waited in vain for a stream")
	}
}

// TestStatusOfAFailedWatcher: with the root's own name on the site, and whole on the
// admin endpoint.
func TestStatusOfAFailedWatcher(t *testing.T) {
	root := filepath.Join(t.TempDir(), "project")
	if err := os.WriteFile(root, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, site("lifeline {\n storage memory\n watch lost "+root+" {\n retry 1 50ms\n}\n watch hidden "+root+" {\n absolute_paths off\n retry 0 50ms\n}\n}", "dashboard"))
	failed := func(st shownStatus) bool {
		n := 0
		for _, session := range st.Sessions {
			if session.Watcher != nil && session.Watcher.State == "failed" {
				n++
			}
		}
		return n == 2
	}
	st := s.watchStatus(statusStream).until("given up", failed)
	for _, session := range st.Sessions {
		w := session.Watcher
		if w.Root != "project" || w.LastError == "" || strings.Contains(w.LastError, root) {
			t.Errorf("%s on the site: %+v", session.SessionID, w)
		}
		if session.SessionID == "lost" && (w.Attempts != 1 || w.MaxAttempts != 1) {
			t.Errorf("lost: %+v", w)
		}
	}
	a := s.get(statusPath)
	if strings.Contains(a.raw, filepath.Dir(root)) {
		t.Errorf("an absolute root on the site: %v", a)
	}
	loadSpec(t, "openapi.yaml").checkAnswer(http.MethodGet, statusPath, a)
	if a := s.get(s.admin + "/lifeline/status/default"); !strings.Contains(a.raw, `"root":"`+root+`"`) {
		t.Errorf("on the admin endpoint: %v", a)
	}
}

func TestStatusOnTheAdminEndpoint(t *testing.T) {
	s := start(t, site("lifeline {\n storage memory\n}", ""))
	if a := s.get(statusPath); a.raw != "" { // it is the next handler's
		t.Errorf("without dashboard: %v", a)
	}
	for request, want := range map[string]int{
		"GET /lifeline/status/default": 200, "POST /lifeline/status/default": 405, "GET /lifeline/status/none": 404,
		"GET /lifeline/status/": 404, "GET /lifeline/status/default/elsewhere": 404, "HEAD /lifeline/status/default/stream": 405,
	} {
		method, path, _ := strings.Cut(request, " ")
		a := s.do(method, s.admin+path, "")
		if a.status != want || want == 405 && a.header.Get("Allow") != "GET" {
			t.Errorf("%s: %v, want %d", request, a, want)
		}
	}
	c := s.dial(nil)
	c.subscribe(t, "a", "")
	c.subscribe(t, "b", "")
	s.follow("b", nil)
	st := parseStatus(t, s.get(s.admin+"/lifeline/status/default").raw)
	if st.ClientCount != 2 || st.SessionCount != 2 || st.Clients[0].Transport != "sse" || st.Clients[1].Transport != "websocket" ||
		st.Clients[1].Sessions != 2 || st.Clients[1].ID == "" || st.Clients[1].IP == "" {
		t.Errorf("clients: %+v", st)
	}
	for _, session := range st.Sessions {
		if want := map[string]int{"a": 1, "b": 2}[session.SessionID]; session.Clients != want || session.LastEvent != nil {
			t.Errorf("session %+v, want %d clients", session, want)
		}
	}
}
