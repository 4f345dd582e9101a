package lifeline

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// statusPath is where the status of a hub is, on the site and, with its name, on the
// admin endpoint; its stream is beneath.
const statusPath = "/lifeline/status"

// serveStatus answers GET /lifeline/status and /lifeline/status/stream on a site with
// the option dashboard. false: the path is not one of these.
func (h *Handler) serveStatus(w http.ResponseWriter, r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.URL.Path, statusPath)
	if !ok || !h.Dashboard || rest != "" && rest != "/stream" {
		return false
	}
	allow := "GET, HEAD, OPTIONS"
	if rest == "/stream" {
		allow = "GET, OPTIONS"
	}
	grant, admitted := h.site.AdmitOverview(w, r, allow)
	if !admitted {
		return true
	}
	hub := h.rt.ready(r.Context(), startWait)
	if hub == nil {
		h.site.WriteError(w, http.StatusServiceUnavailable, fmt.Sprintf("hub %s has not started yet", h.Hub))
		return true
	}
	if hub.Degraded() {
		w.Header().Set("Lifeline-Degraded", "true")
	}
	if rest == "" {
		writeStatus(w, statusMay{grant.Operate, grant.Peer.User}.with(h.rt.feed.now(forSite)))
		return true
	}
	held, granted, release := hub.Hold(r.Context(), grant)
	defer release()
	may := func() (statusMay, bool) {
		g := granted()
		return statusMay{g.Operate, g.Peer.User}, g.Overview
	}
	if !h.rt.feed.serve(held, w, forSite, nil, may) {
		h.site.WriteError(w, http.StatusServiceUnavailable, tooManyReaders)
	}
	return true
}

var tooManyReaders = "the status has " + strconv.Itoa(maxStatusReaders) + " readers, which is as many as may be, or the hub is shutting down"

func writeStatus(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may be gone; there is nobody to tell
}

// operator is who reads the status on the admin endpoint.
func operator() (statusMay, bool) { return statusMay{Operate: true}, true }

// serveStatus answers GET /lifeline/status/{hub} and /lifeline/status/{hub}/stream.
func (a *adminAPI) serveStatus(w http.ResponseWriter, r *http.Request) error {
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, statusPath+"/"), "/")
	hubs := runningHubs()
	rt := hubs[name]
	switch {
	case rt == nil:
		return apiError(http.StatusNotFound, "unknown hub %q; running hubs: %s", name, strings.Join(slices.Sorted(maps.Keys(hubs)), ", "))
	case rest != "" && rest != "stream":
		return apiError(http.StatusNotFound, "no such path: %s; there are GET %s/{hub} and %s/{hub}/stream", r.URL.Path, statusPath, statusPath)
	case r.Method != http.MethodGet:
		return notAllowed(w, http.MethodGet)
	}
	if rest == "" {
		may, _ := operator()
		writeStatus(w, may.with(rt.feed.now(forAdmin)))
		return nil
	}
	server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	rt.feed.endWith(server)
	if !rt.feed.serve(r.Context(), w, forAdmin, server, operator) {
		w.Header().Set("Retry-After", "1")
		return apiError(http.StatusServiceUnavailable, "%s", tooManyReaders)
	}
	return nil
}
