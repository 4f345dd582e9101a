package events

import "net/http"

// Requests to paths beside the hub's own routes, which whoever serves them has the
// site decide about.

// AdmitOperator decides about a request that only those of the site's users may make
// who operate on the hub, by one method: keys, local and anonymous clients may not.
// When ok is false, w has been answered.
func (s *Site) AdmitOperator(w http.ResponseWriter, r *http.Request, method string) (user string, ok bool) {
	p := s.peer(r)
	switch allow := method + ", OPTIONS"; {
	case s.answered(w, r, p, allow):
	case !s.operates(p):
		writeError(w, http.StatusForbidden, apiError{
			Error: "forbidden", Message: "only an authenticated user whom the site names for this may do it",
		})
	case r.Method != method:
		writeNotAllowed(w, allow)
	default:
		return p.User, true
	}
	return "", false
}

// AdmitOverview decides about a request to read the status of the whole hub, by one of
// the methods of allow. When ok is false, w has been answered.
func (s *Site) AdmitOverview(w http.ResponseWriter, r *http.Request, allow string) (g Grant, ok bool) {
	p := s.peer(r)
	g, refusal := s.Admit(p, false)
	switch {
	case s.answered(w, r, p, allow):
	case !takes(allow, r.Method):
		writeNotAllowed(w, allow)
	case refusal != nil:
		writeRefusal(w, refusal)
	case !g.Overview:
		writeError(w, http.StatusForbidden, apiError{
			Error: "forbidden", Message: "the status of the whole hub is for API keys, local clients and the users of breaker_admin",
		})
	default:
		return g, true
	}
	return Grant{}, false
}

// answered sets what every answer carries, and answers pages that may not use the site,
// and preflights.
func (s *Site) answered(w http.ResponseWriter, r *http.Request, p Peer, allow string) bool {
	s.setCORS(w.Header(), p)
	switch {
	case s.access.foreign(p):
		_, refusal := s.Admit(p, true)
		writeRefusal(w, refusal)
	case r.Method == http.MethodOptions:
		s.preflight(w, r, p, allow)
	default:
		return false
	}
	return true
}

// WriteError answers in the form of the hub's own errors.
func (s *Site) WriteError(w http.ResponseWriter, status int, text string) {
	writeError(w, status, apiError{Error: text})
}
