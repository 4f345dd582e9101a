package events

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
	"github.com/actionflows/lifeline/storage/resilient"
)

// mixedSite has users, a key, and lets everybody in.
func mixedSite(s *Site, _ *siteBackend, _ *Config) {
	s.Access = Access{Keys: []string{testKey}, User: remoteUser, AnonymousRead: true, AnonymousWrite: true}
	s.PollRate = Rate{N: 1 << 20, Per: 1}
}

// as is an edit of do: a request of a user, by a proxy.
func as(user string) func(*http.Request) {
	return func(r *http.Request) {
		remote(r)
		r.Header.Set("Remote-User", user)
	}
}

// awayDriver is a driver whose backend a test takes away.
type awayDriver struct {
	storage.Driver
	away atomic.Bool
}

func (d *awayDriver) err() error {
	if d.away.Load() {
		return &storage.UnavailableError{Reason: "the disk is gone", RetryAfter: 2}
	}
	return nil
}

func (d *awayDriver) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	if err := d.err(); err != nil {
		return make([]storage.Result, len(ops)), err
	}
	return d.Driver.Apply(ctx, ops)
}

func (d *awayDriver) Get(ctx context.Context, collection, id string) (storage.Document, error) {
	if err := d.err(); err != nil {
		return storage.Document{}, err
	}
	return d.Driver.Get(ctx, collection, id)
}

func (d *awayDriver) Scan(ctx context.Context, collection, index string, q storage.ScanQuery) ([]storage.Document, error) {
	if err := d.err(); err != nil {
		return nil, err
	}
	return d.Driver.Scan(ctx, collection, index, q)
}

func (d *awayDriver) Take(ctx context.Context, queue string, most int) ([]storage.Item, error) {
	if err := d.err(); err != nil {
		return nil, err
	}
	return d.Driver.Take(ctx, queue, most)
}

func (d *awayDriver) ReadLog(ctx context.Context, log string, q storage.LogQuery) (storage.LogPage, error) {
	if err := d.err(); err != nil {
		return storage.LogPage{}, err
	}
	return d.Driver.ReadLog(ctx, log, q)
}

func (d *awayDriver) Counters(ctx context.Context, collection, scope string, q storage.CounterQuery) ([]storage.Counter, error) {
	if err := d.err(); err != nil {
		return nil, err
	}
	return d.Driver.Counters(ctx, collection, scope, q)
}

// withAway puts a resilient storage over a driver that can be taken away under the
// site.
func withAway(t *testing.T) (*awayDriver, func(*Site, *siteBackend, *Config)) {
	t.Helper()
	d := &awayDriver{Driver: memory.New(memory.Options{})}
	return d, func(_ *Site, b *siteBackend, _ *Config) {
		br, err := breaker.New(breaker.Config{Name: "disk"})
		if err != nil {
			t.Fatal(err)
		}
		guarded := resilient.NewGuarded(resilient.GuardedConfig{Driver: d, Breaker: br})
		t.Cleanup(func() {
			if err := guarded.Close(); err != nil {
				t.Error(err)
			}
			br.Close()
		})
		b.Store.Driver = guarded
	}
}

// Every route that needs storage answers 503 while it is away, and works again
// afterwards.
func TestRESTUnavailable(t *testing.T) {
	d, over := withAway(t)
	s := newTestSite(t, over, unlimited)
	s.seed(t)
	d.away.Store(true)
	for range 2 { // before the breaker has opened, and after
		for _, rt := range everyRoute {
			if rt.public || rt.path == "/ws" || strings.Contains(rt.path, "/stream") || strings.Contains(rt.path, "circuit-breakers") {
				continue
			}
			a := s.do(rt.method, rt.path, rt.body)
			if a.status != 503 || a.header.Get("Retry-After") == "" || a.json(t)["error"] == nil {
				t.Errorf("%s %s: %d %s %v", rt.method, rt.path, a.status, a.body, a.header)
			}
		}
	}
	d.away.Store(false)
	eventually(t, "the breaker", func() bool { return s.do("PUT", "/api/sessions/s", `{"summary":"x"}`).status == 200 })
}

// What is wrong with a request is said by status, error and field.
func TestRESTErrors(t *testing.T) {
	s := newTestSite(t)
	s.seed(t)
	long := strings.Repeat("x", 201)
	big := `{"summary":"` + strings.Repeat("x", storage.MaxRecord) + `"}`
	tests := []struct {
		method, path, body string
		status             int
		error, field       string
	}{
		{"POST", "/api/sessions", `{`, 400, "invalid request", ""},
		{"POST", "/api/sessions", `[]`, 400, "invalid request", ""},
		{"POST", "/api/sessions", `{"id":7}`, 400, "invalid request", "id"},
		{"POST", "/api/sessions", `{"cwd":[]}`, 400, "invalid request", "cwd"},
		{"POST", "/api/sessions", `{"userId":1}`, 400, "invalid request", "userId"},
		{"POST", "/api/sessions", `{"userId":"` + long + `"}`, 400, "invalid request", "user"},
		{"POST", "/api/sessions", `{"id":"poll"}`, 400, "invalid request", "id"},
		{"POST", "/api/sessions", `{"id":"a\u0000"}`, 400, "invalid request", "id"},
		{"POST", "/api/sessions", `{"id":"` + long + `"}`, 400, "invalid request", "id"},
		{"POST", "/api/sessions", `{"status":"gone"}`, 400, "invalid request", "status"},
		{"POST", "/api/sessions", `{"startedAt":"soon"}`, 400, "invalid request", "startedAt"},
		{"POST", "/api/sessions", big, 413, "body too large", ""},
		{"GET", "/api/sessions?limit=0", "", 400, "invalid parameter", "limit"},
		{"GET", "/api/sessions?limit=1001", "", 400, "invalid parameter", "limit"},
		{"GET", "/api/sessions?status=gone", "", 400, "invalid parameter", "status"},
		{"GET", "/api/sessions?limit=1&limit=2", "", 400, "invalid parameter", "limit"},
		{"GET", "/api/sessions?a=%zz", "", 400, "malformed query", ""},

		{"GET", "/api/sessions/none", "", 404, "not found", ""},
		{"PUT", "/api/sessions/none", `{"status":"completed"}`, 404, "not found", ""},
		{"PUT", "/api/sessions/s", `{"status":"gone"}`, 400, "invalid request", "status"},
		{"PUT", "/api/sessions/s", `{"summary":1}`, 400, "invalid request", "summary"},
		{"PUT", "/api/sessions/s", `nothing`, 400, "invalid request", ""},
		{"PUT", "/api/sessions/s", big, 413, "body too large", ""},
		{"DELETE", "/api/sessions/none", "", 404, "not found", ""},
		{"GET", "/api/sessions/stream", "", 400, "invalid session id", "sessionId"},
		{"GET", "/api/sessions/" + long, "", 400, "invalid session id", "sessionId"},
		{"GET", "/api/sessions/%00/chains", "", 400, "invalid session id", "sessionId"},

		{"POST", "/api/sessions/s/input", `{"a":`, 400, "invalid request", "input"},
		{"POST", "/api/sessions/s/input", strings.Repeat("[", 1001) + strings.Repeat("]", 1001), 400, "invalid request", "input"},
		{"POST", "/api/sessions/s/input", big, 413, "body too large", ""},
		{"GET", "/api/sessions/s/input?wait=31s", "", 400, "invalid parameter", "wait"},
		{"GET", "/api/sessions/s/input?wait=-1", "", 400, "invalid parameter", "wait"},
		{"GET", "/api/sessions/s/input?wait=soon", "", 400, "invalid parameter", "wait"},
		{"GET", "/api/sessions/s/input?wait=99999999999999", "", 400, "invalid parameter", "wait"},
		{"GET", "/api/sessions/s/input?limit=101", "", 400, "invalid parameter", "limit"},

		{"POST", "/api/sessions/s/commands", `{}`, 400, "invalid request", "type"},
		{"POST", "/api/sessions/s/commands", `{"type":"explode"}`, 400, "invalid request", "type"},
		{"POST", "/api/sessions/s/commands", `{"type":"skip","stepNumber":-1}`, 400, "invalid request", "stepNumber"},
		{"POST", "/api/sessions/s/commands", `{"type":"skip","stepNumber":"x"}`, 400, "invalid request", "stepNumber"},
		{"POST", "/api/sessions/s/commands", `{"type":"skip","payload":7}`, 400, "invalid request", "payload"},
		{"POST", "/api/sessions/s/commands", `{"type":"skip","reason":"` + strings.Repeat("x", storage.MaxSmallRecord) + `"}`, 413, "body too large", ""},
		{"POST", "/api/commands/none/ack", "", 400, "invalid request", "commandId"},
		{"POST", "/api/commands/poll:1/ack", "", 400, "invalid request", "commandId"},
		{"POST", "/api/commands/s:2/ack", "", 404, "not found", ""},
	}
	for _, tt := range tests {
		a := s.do(tt.method, tt.path, tt.body)
		name := tt.method + " " + tt.path + " " + tt.body[:min(len(tt.body), 60)]
		if a.status != tt.status {
			t.Errorf("%s: %d %s, want %d", name, a.status, a.body, tt.status)
			continue
		}
		v := a.json(t)
		if field, _ := v["field"].(string); v["error"] != tt.error || field != tt.field || v["message"] == "" {
			t.Errorf("%s: %v, want %q of %q", name, v, tt.error, tt.field)
		}
	}
	for _, path := range []string{"/api/sessions", "/api/sessions/s/input", "/api/sessions/s/commands"} {
		a := s.do("POST", path, "{}", header("Content-Type", "text/plain"))
		a.want(t, 415, "unsupported media type")
	}
	if n := s.do("GET", "/api/sessions/s/input", "").json(t)["count"]; n != 0.0 {
		t.Errorf("%v inputs were taken in", n)
	}
}

// Ids that mean something in a path are ids like others.
func TestRESTOddIDs(t *testing.T) {
	s := newTestSite(t)
	for escaped, id := range map[string]string{
		"a%2Fb": "a/b", "%C3%BC": "ü", "%25": "%", "recent": "recent", "%7Bx%7D": "{x}", "a%3Ab": "a:b", "input": "input",
	} {
		path := "/api/sessions/" + escaped
		a := s.do("POST", "/api/sessions", string(appendJSON(nil, map[string]string{"id": id})))
		a.want(t, 201, "")
		for _, p := range []string{path, path + "/chains", path + "/input", path + "/commands"} {
			v := s.do("GET", p, "").json(t)
			if v["id"] != id && v["sessionId"] != id {
				t.Errorf("%s: %v", p, v)
			}
		}
		command, _ := s.do("POST", path+"/commands", `{"type":"abort"}`).json(t)["commandId"].(string)
		if !strings.HasPrefix(command, id+":") {
			t.Errorf("command %q of %q", command, id)
		}
		s.do("POST", "/api/commands/"+strings.Replace(command, id, escaped, 1)+"/ack", "").want(t, 200, "")
		s.do("DELETE", path, "").want(t, 200, "")
	}
	if n := s.do("GET", "/api/sessions", "").json(t)["count"]; n != 0.0 {
		t.Errorf("%v are left", n)
	}
}
