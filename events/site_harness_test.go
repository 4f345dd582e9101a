package events

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
	"github.com/actionflows/lifeline/storage/resilient"
)

// siteBackend is storage in memory whose answers a test can replace.
type siteBackend struct {
	storage.Store
	add    func(context.Context) (storage.Result, error)
	read   func(context.Context, storage.LogQuery) (storage.LogPage, error)
	stats  []breaker.Stats
	status resilient.Status
}

func (b *siteBackend) AddEvent(ctx context.Context, session, id string, data []byte) (storage.Result, error) {
	if b.add != nil {
		return b.add(ctx)
	}
	return b.Store.AddEvent(ctx, session, id, data)
}

func (b *siteBackend) ReadEvents(ctx context.Context, session string, q storage.LogQuery) (storage.LogPage, error) {
	if b.read != nil {
		return b.read(ctx, q)
	}
	return b.Store.ReadEvents(ctx, session, q)
}

func (b *siteBackend) Records() *storage.Store { return &b.Store }

func (b *siteBackend) CircuitBreakerStats() []breaker.Stats { return b.stats }

func (b *siteBackend) UsingFallback() bool { return b.status.Degraded }

func (b *siteBackend) Status() resilient.Status { return b.status }

func (b *siteBackend) OnStatus(func(resilient.Status)) (stop func()) { return func() {} }

// testSite is a site over storage in memory, and what stands behind it.
type testSite struct {
	*Site
	backend *siteBackend
}

// newTestSite makes one; settings change site and backend before they are used.
func newTestSite(t *testing.T, settings ...func(*Site, *siteBackend, *Config)) *testSite {
	t.Helper()
	driver := memory.New(memory.Options{})
	backend := &siteBackend{Store: storage.Store{Driver: driver, History: storage.DefaultHistory}}
	cfg := Config{Backend: backend, Driver: "memory"}
	s := &Site{}
	for _, set := range settings {
		set(s, backend, &cfg)
	}
	s.Hub = New(cfg)
	t.Cleanup(func() {
		s.Hub.Close()
		if err := driver.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Provision(); err != nil {
		t.Fatal(err)
	}
	return &testSite{s, backend}
}

// answer is what a request got.
type answer struct {
	handled bool
	status  int
	header  http.Header
	body    string
}

// json is the body as an object.
func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("body %q: %v", a.body, err)
	}
	return v
}

// do makes a request as a local client would, changed by edits.
func (s *testSite) do(method, target, body string, edits ...func(*http.Request)) answer {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, reader)
	r.Host, r.RemoteAddr = "localhost:8080", "127.0.0.1:40000"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, edit := range edits {
		edit(r)
	}
	w := httptest.NewRecorder()
	handled := s.ServeHTTP(w, r)
	return answer{handled, w.Code, w.Header(), w.Body.String()}
}

// header is an edit of do.
func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func remote(r *http.Request) { r.RemoteAddr = "203.0.113.9:40000" }

func event(id string) string {
	return `{"type":"step:started","sessionId":"s","id":"` + id + `","timestamp":"2026-02-10T04:15:00.000Z"}`
}

// want compares status and, where it is not "", the error text.
func (a answer) want(t *testing.T, status int, errorText string) {
	t.Helper()
	if !a.handled || a.status != status {
		t.Fatalf("handled %v, status %d %s, want %d", a.handled, a.status, a.body, status)
	}
	if errorText != "" && a.json(t)["error"] != errorText {
		t.Fatalf("error %s, want %q", a.body, errorText)
	}
}

func keysOf(v map[string]any) []string { return slices.Sorted(maps.Keys(v)) }
