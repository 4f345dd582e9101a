package events

import "net/http"

// AdmitUser decides about a request to a path beside the hub's own routes that only
// some of the site's authenticated users may make, by one method: keys, local and
// anonymous clients may not. allowed says who may. When ok is false, w has been
// answered.
func (s *Site) AdmitUser(w http.ResponseWriter, r *http.Request, method string, allowed func(user string) bool) (user string, ok bool) {
	p := s.peer(r)
	s.setCORS(w.Header(), p)
	allow := method + ", OPTIONS"
	switch {
	case s.access.foreign(p):
		_, refusal := s.Admit(p, true)
		writeRefusal(w, refusal)
	case r.Method == http.MethodOptions:
		s.preflight(w, r, p, allow)
	case p.User == "" || !allowed(p.User):
		writeError(w, http.StatusForbidden, apiError{
			Error: "forbidden", Message: "only an authenticated user whom the site names for this may do it",
		})
	case r.Method != method:
		w.Header().Set("Allow", allow)
		writeError(w, http.StatusMethodNotAllowed, apiError{
			Error: "method not allowed", Message: "this path takes " + allow,
		})
	default:
		return p.User, true
	}
	return "", false
}

// WriteError answers in the form of the hub's own errors.
func (s *Site) WriteError(w http.ResponseWriter, status int, text string) {
	writeError(w, status, apiError{Error: text})
}
