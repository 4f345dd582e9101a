package events

import (
	"errors"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

// everyRoute is one request to each route; public: anyone is answered.
var everyRoute = []struct {
	method, path, body string
	public             bool
	write              bool
}{
	{method: "POST", path: "/api/events", body: event("1"), write: true},
	{method: "GET", path: "/api/events/s"},
	{method: "GET", path: "/api/events/s/recent"},
	{method: "GET", path: "/api/events/poll/s"},
	{method: "GET", path: "/api/events/stream/s"},
	{method: "GET", path: "/api/events/poll?session=s"},
	{method: "GET", path: "/api/events/stream?session=s"},
	{method: "GET", path: "/ws"},
	{method: "GET", path: "/api/health/circuit-breakers"},
	{method: "GET", path: "/health", public: true},
	{method: "POST", path: "/api/sessions", body: `{"id":"s","cwd":"/srv"}`, write: true},
	{method: "GET", path: "/api/sessions"},
	{method: "GET", path: "/api/sessions/s"},
	{method: "PUT", path: "/api/sessions/s", body: `{"status":"completed"}`, write: true},
	{method: "GET", path: "/api/sessions/s/chains"},
	{method: "POST", path: "/api/sessions/s/input", body: `{"text":"yes"}`, write: true},
	{method: "GET", path: "/api/sessions/s/input", write: true}, // takes it away
	{method: "POST", path: "/api/sessions/s/commands", body: `{"type":"pause"}`, write: true},
	{method: "GET", path: "/api/sessions/s/commands"},
	{method: "POST", path: "/api/commands/s/commands", body: `{"type":"pause"}`, write: true},
	{method: "GET", path: "/api/commands/s/commands"},
	{method: "POST", path: "/api/commands/s:1/ack", write: true},

	{method: "GET", path: "/api/records/frequencies"},
	{method: "GET", path: "/api/records/frequencies/f"},
	{method: "POST", path: "/api/records/frequencies/f/track", write: true},
	{method: "GET", path: "/api/records/bookmarks"},
	{method: "POST", path: "/api/records/bookmarks", body: `{"sessionId":"s","category":"other"}`, write: true},
	{method: "GET", path: "/api/records/bookmarks/b"},
	{method: "PUT", path: "/api/records/bookmarks/b", body: `{"sessionId":"s","category":"other"}`, write: true},
	{method: "DELETE", path: "/api/records/bookmarks/b", write: true},
	{method: "GET", path: "/api/records/patterns"},
	{method: "POST", path: "/api/records/patterns", body: `{"projectId":"x","patternType":"temporal"}`, write: true},
	{method: "GET", path: "/api/records/patterns/p"},
	{method: "PUT", path: "/api/records/patterns/p", body: `{"projectId":"x","patternType":"temporal"}`, write: true},
	{method: "DELETE", path: "/api/records/patterns/p", write: true},
	{method: "GET", path: "/api/records/harmony?sessionId=s"},
	{method: "POST", path: "/api/records/harmony", body: `{"sessionId":"s","result":"valid"}`, write: true},
	{method: "GET", path: "/api/records/harmony/metrics?sessionId=s"},
	{method: "GET", path: "/api/records/dossiers"},
	{method: "POST", path: "/api/records/dossiers", body: `{"name":"x"}`, write: true},
	{method: "GET", path: "/api/records/dossiers/d"},
	{method: "PUT", path: "/api/records/dossiers/d", body: `{"name":"x"}`, write: true},
	{method: "POST", path: "/api/records/dossiers/d/history", body: `{"layoutDescriptor":{}}`, write: true},
	{method: "DELETE", path: "/api/records/dossiers/d", write: true},
	{method: "GET", path: "/api/records/suggestions"},
	{method: "POST", path: "/api/records/suggestions", body: `{"needed":"x","fallback":{"type":"raw"}}`, write: true},
	{method: "GET", path: "/api/records/suggestions/g"},
	{method: "POST", path: "/api/records/suggestions/g/increment", write: true},
	{method: "DELETE", path: "/api/records/suggestions/g", write: true},
	{method: "GET", path: "/api/records/windows"},
	{method: "GET", path: "/api/records/windows/s"},
	{method: "PUT", path: "/api/records/windows/s", body: `{"autoExpand":true}`, write: true},
	{method: "PUT", path: "/api/records/windows/s/follow", write: true},
	{method: "DELETE", path: "/api/records/windows/s/follow", write: true},

	{method: "DELETE", path: "/api/sessions/s", write: true},
}

// seed makes what everyRoute asks for.
func (s *testSite) seed(t *testing.T) {
	t.Helper()
	store := s.Hub.store()
	ctx := t.Context()
	_, session := store.SetSession(ctx, storage.Session{ID: "s"})
	_, command := store.QueueCommand(ctx, storage.CommandPayload{
		CommandID: "s:1", SessionID: "s", Command: storage.Command{Type: "pause"},
	})
	_, bookmark := store.AddBookmark(ctx, storage.Bookmark{ID: "b", SessionID: "s", Category: "other"})
	_, pattern := store.AddPattern(ctx, storage.DetectedPattern{ID: "p", ProjectID: "x", PatternType: "temporal"})
	_, dossier := store.SetDossier(ctx, storage.IntelDossier{ID: "d", Name: "x"})
	_, suggestion := store.AddSuggestion(ctx, storage.SuggestionEntry{ID: "g", Needed: "x", Fallback: storage.Fallback{Type: "raw"}})
	err := errors.Join(session, command, bookmark, pattern, dossier, suggestion,
		store.TrackFrequency(ctx, "f", storage.FrequencyScope{}),
		store.SetWindowConfig(ctx, storage.SessionWindowConfig{SessionID: "s"}))
	if err != nil {
		t.Fatal(err)
	}
}

// TestRoutes: Routes has every kind of route, and each path leads where it says.
func TestRoutes(t *testing.T) {
	if len(routePaths) != len(allow) || len(allow) != int(routeRecords) {
		t.Fatalf("%d kinds have paths and %d methods, of %d", len(routePaths), len(allow), routeRecords)
	}
	for kind, paths := range routePaths {
		if len(paths) == 0 {
			t.Errorf("kind %d has no path", kind)
		}
		for _, path := range paths {
			if rt, ok := matchRoute(path); !ok || int(rt.kind) != kind {
				t.Errorf("%s leads to kind %d, want %d", path, rt.kind, kind)
			}
		}
	}
	for _, r := range Routes() {
		if rt, ok := matchRoute(r.Path); !ok || rt.allows() != r.Allow {
			t.Errorf("%s takes %q, want %q", r.Path, rt.allows(), r.Allow)
		}
	}
}
