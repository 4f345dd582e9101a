package lifeline

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/actionflows/lifeline/watcher"
)

const watchersPath = "/lifeline/watchers"

// serveWatchers answers GET /lifeline/watchers: the watchers of every hub.
func (a *adminAPI) serveWatchers(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return notAllowed(w, http.MethodGet)
	}
	all := make(map[string][]watcher.Status)
	for name, rt := range runningHubs() {
		all[name] = rt.watchers.statuses()
	}
	return writeJSON(w, map[string]any{"hubs": all})
}

// serveWatcher answers GET /lifeline/watchers/{hub}, and POST
// /lifeline/watchers/{hub}/{session}/restart, which starts a watcher again that was
// given up, with its new status. A watcher that has not failed is left alone, so that
// a repeated call does no harm; an unknown hub or session is a 404 that names the
// known ones.
func (a *adminAPI) serveWatcher(w http.ResponseWriter, r *http.Request) error {
	hub, rest, sub := strings.Cut(strings.TrimPrefix(r.URL.Path, watchersPath+"/"), "/")
	session, restart := strings.CutSuffix(rest, "/restart")
	if sub && (!restart || session == "") {
		return apiError(http.StatusNotFound, "no such path: %s; there is POST %s/{hub}/{session}/restart", r.URL.Path, watchersPath)
	}
	method := http.MethodGet
	if sub {
		method = http.MethodPost
	}
	if r.Method != method {
		return notAllowed(w, method)
	}
	hubs := runningHubs()
	rt := hubs[hub]
	if rt == nil {
		known := strings.Join(slices.Sorted(maps.Keys(hubs)), ", ")
		return apiError(http.StatusNotFound, "unknown hub %q; running hubs: %s", hub, known)
	}
	if !sub {
		return writeJSON(w, rt.watchers.statuses())
	}
	status, err := rt.watchers.restart(session)
	if err != nil {
		return err
	}
	return writeJSON(w, status)
}

// restart starts the watcher of a session again if it was given up, and answers
// its status. An error is a caddy.APIError.
func (ws *watchers) restart(session string) (watcher.Status, error) {
	var known []string
	for _, w := range ws.list() {
		if w.settings.Session != session {
			known = append(known, w.settings.Session)
			continue
		}
		if running := w.ready(); running != nil {
			if err := running.Restart(); err != nil && !errors.Is(err, watcher.ErrNotFailed) {
				return watcher.Status{}, apiError(http.StatusConflict, "restart the watcher: %w", err)
			}
		}
		return w.status(), nil
	}
	return watcher.Status{}, apiError(http.StatusNotFound, "no watcher for session %q; watched sessions: %s", session, strings.Join(known, ", "))
}
