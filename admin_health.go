package lifeline

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

const healthPath = "/lifeline/health/"

// serveHealth answers GET /lifeline/health/live, which says that the process serves,
// and /lifeline/health/ready, which says with 200 that every hub has opened its
// storage, and with 503 that one has not yet or that the process is about to exit. A
// degraded hub is ready: it takes events and delivers them.
func (a *adminAPI) serveHealth(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return notAllowed(w, "GET, HEAD")
	}
	switch what := strings.TrimPrefix(r.URL.Path, healthPath); what {
	case "live":
		return writeJSON(w, map[string]any{"status": "live"})
	case "ready":
		return writeReadiness(w)
	default:
		return apiError(http.StatusNotFound, "no such path: %s; there are %slive and %sready", r.URL.Path, healthPath, healthPath)
	}
}

func writeReadiness(w http.ResponseWriter) error {
	hubs, ready := make(map[string]string), !caddy.Exiting()
	runtimes.Range(func(key, value any) bool {
		state := "starting"
		if s := value.(*runtime).running(); s != nil {
			state = healthOf(s.Status().Degraded)
		} else {
			ready = false
		}
		hubs[key.(string)] = state
		return true
	})
	answer := map[string]any{"status": "ready", "hubs": hubs}
	if !ready || len(hubs) == 0 {
		answer["status"] = "not ready"
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	return writeJSON(w, answer)
}

func healthOf(degraded bool) string {
	if degraded {
		return "degraded"
	}
	return "ok"
}
