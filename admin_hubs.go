package lifeline

import (
	"net/http"
	"strings"

	"github.com/actionflows/lifeline/breaker"
)

const hubsPath = "/lifeline/hubs"

// hubStatus is what GET /lifeline/hubs tells of a hub. It has no address in it.
type hubStatus struct {
	// Storage is its driver.
	Storage  string   `json:"storage"`
	Degraded bool     `json:"degraded"`
	Reasons  []string `json:"reasons"`
	// Pending is how many events wait to be stored; JournalBytes what the journal holds,
	// stored and waiting.
	Pending      int   `json:"pending"`
	JournalBytes int64 `json:"journalBytes"`
	// Connections are counted by transport; polls are those that are held.
	Connections map[string]int `json:"connections"`
	// Breakers are the states of its circuit breakers, or of the holds on them, by name.
	Breakers map[string]string `json:"breakers"`
}

// serveHubs answers GET /lifeline/hubs: the state of every hub that runs.
func (a *adminAPI) serveHubs(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return notAllowed(w, http.MethodGet)
	}
	hubs := make(map[string]hubStatus)
	for name, rt := range runningHubs() {
		hubs[name] = rt.overview()
	}
	return writeJSON(w, map[string]any{"hubs": hubs})
}

// serveHub answers GET /lifeline/hubs/{hub}: the state of one.
func (a *adminAPI) serveHub(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return notAllowed(w, http.MethodGet)
	}
	rt, err := runningHub(strings.TrimPrefix(r.URL.Path, hubsPath+"/"))
	if err != nil {
		return err
	}
	return writeJSON(w, rt.overview())
}

func (rt *runtime) overview() hubStatus {
	now := rt.status()
	s := hubStatus{
		Storage: rt.opened().by.info.Driver, Degraded: now.Degraded, Reasons: append([]string{}, now.Reasons...),
		Pending: now.Pending, JournalBytes: now.JournalBytes,
		Connections: rt.hub.Load().Stats().Connections, Breakers: make(map[string]string),
	}
	for _, b := range rt.running().CircuitBreakerStats() {
		s.Breakers[b.Name] = stateOf(b)
	}
	return s
}

// stateOf is what a breaker does: what a hold says, else its state.
func stateOf(b breaker.Stats) string {
	if b.Held != nil {
		return b.Held.State.String()
	}
	return b.State.String()
}
