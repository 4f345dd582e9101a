package lifeline

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/actionflows/lifeline/breaker"
)

// adminAPI serves /lifeline/ on Caddy's admin endpoint. Caddy provisions it
// before any app and never cleans it up, so it holds nothing and looks at the
// running hubs for each request.
type adminAPI struct{}

// CaddyModule implements caddy.Module.
func (*adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.lifeline", New: func() caddy.Module { return new(adminAPI) }}
}

const breakersPath = "/lifeline/breakers"

// Routes implements caddy.AdminRouter.
func (a *adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: hubsPath, Handler: caddy.AdminHandlerFunc(a.serveHubs)},
		{Pattern: hubsPath + "/", Handler: caddy.AdminHandlerFunc(a.serveHub)},
		{Pattern: breakersPath, Handler: caddy.AdminHandlerFunc(a.serveBreakers)},
		{Pattern: breakersPath + "/", Handler: caddy.AdminHandlerFunc(a.serveBreaker)},
		{Pattern: statusPath + "/", Handler: caddy.AdminHandlerFunc(a.serveStatus)},
		{Pattern: healthPath, Handler: caddy.AdminHandlerFunc(a.serveHealth)},
		{Pattern: watchersPath, Handler: caddy.AdminHandlerFunc(a.serveWatchers)},
		{Pattern: watchersPath + "/", Handler: caddy.AdminHandlerFunc(a.serveWatcher)},
	}
}

// serveBreakers answers GET /lifeline/breakers: the breakers of every hub.
func (a *adminAPI) serveBreakers(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return notAllowed(w, http.MethodGet)
	}
	stats := make(map[string][]breaker.Stats)
	for name, rt := range runningHubs() {
		stats[name] = nonNil(rt.running().CircuitBreakerStats())
	}
	return writeJSON(w, map[string]any{"hubs": stats})
}

// serveBreaker answers GET /lifeline/breakers/{hub} and POST
// /lifeline/breakers/{hub}/{breaker}/{operation}.
func (a *adminAPI) serveBreaker(w http.ResponseWriter, r *http.Request) error {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, breakersPath+"/"), "/")
	rt, err := runningHub(parts[0])
	if err != nil {
		return err
	}
	switch {
	case len(parts) == 1 && r.Method == http.MethodGet:
		return writeJSON(w, nonNil(rt.running().CircuitBreakerStats()))
	case len(parts) == 1:
		return notAllowed(w, http.MethodGet)
	case len(parts) != 3:
		return apiError(http.StatusNotFound, "no such path: %s; there is POST %s/{hub}/{breaker}/{%s}",
			r.URL.Path, breakersPath, operationNames)
	case r.Method != http.MethodPost:
		return notAllowed(w, http.MethodPost)
	}
	stats, err := rt.operate(parts[1], parts[2], r.Body)
	if err != nil {
		return err
	}
	return writeJSON(w, stats)
}

// runningHubs answers the hubs whose storage is open, by name.
func runningHubs() map[string]*runtime {
	hubs := make(map[string]*runtime)
	runtimes.Range(func(key, value any) bool {
		hubs[key.(string)] = value.(*runtime)
		return true
	})
	maps.DeleteFunc(hubs, func(_ string, rt *runtime) bool { return rt.running() == nil })
	return hubs
}

// runningHub answers the hub of a name; an error is a 404 that names those that run.
func runningHub(name string) (*runtime, error) {
	hubs := runningHubs()
	if rt := hubs[name]; rt != nil {
		return rt, nil
	}
	known := strings.Join(slices.Sorted(maps.Keys(hubs)), ", ")
	return nil, apiError(http.StatusNotFound, "unknown hub %q; running hubs: %s", name, known)
}

func nonNil(stats []breaker.Stats) []breaker.Stats {
	if stats == nil {
		return []breaker.Stats{}
	}
	return stats
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

func notAllowed(w http.ResponseWriter, allow string) error {
	w.Header().Set("Allow", allow)
	return apiError(http.StatusMethodNotAllowed, "method not allowed; use %s", allow)
}

func apiError(status int, format string, args ...any) error {
	return caddy.APIError{HTTPStatus: status, Err: fmt.Errorf(format, args...)}
}

var _ caddy.AdminRouter = (*adminAPI)(nil)
