package lifeline

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/actionflows/lifeline/watcher"
)

const watchersPath = "/lifeline/watchers/"

// serveWatcher answers POST /lifeline/watchers/{hub}/{session}/restart, which
// starts a watcher again that was given up, with its new status. A watcher that
// has not failed is left alone, so that a repeated call does no harm; an unknown
// hub or session is a 404 that names the known ones.
func (a *adminAPI) serveWatcher(w http.ResponseWriter, r *http.Request) error {
	hub, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, watchersPath), "/")
	session, restart := strings.CutSuffix(rest, "/restart")
	if !restart || session == "" {
		return apiError(http.StatusNotFound, "no such path: %s; there is POST %s{hub}/{session}/restart", r.URL.Path, watchersPath)
	}
	if r.Method != http.MethodPost {
		return notAllowed(w, http.MethodPost)
	}
	hubs := runningHubs()
	rt := hubs[hub]
	if rt == nil {
		known := strings.Join(slices.Sorted(maps.Keys(hubs)), ", ")
		return apiError(http.StatusNotFound, "unknown hub %q; running hubs: %s", hub, known)
	}
	status, known, err := rt.watchers.restart(session)
	if err != nil {
		return err
	}
	if status == nil {
		return apiError(http.StatusNotFound, "no watcher for session %q; watched sessions: %s", session, strings.Join(known, ", "))
	}
	return writeJSON(w, status)
}

// restart starts the watcher of a session again if it was given up, and answers
// its status; nil, and the sessions that are watched, where there is none.
func (ws *watchers) restart(session string) (status *watcher.Status, known []string, err error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.running[session]
	if w == nil {
		return nil, slices.Sorted(maps.Keys(ws.running)), nil
	}
	if err := w.watcher.Restart(); err != nil && !errors.Is(err, watcher.ErrNotFailed) {
		return nil, nil, err
	}
	st := w.status()
	return &st, nil, nil
}
