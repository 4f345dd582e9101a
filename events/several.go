package events

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/actionflows/lifeline/storage"
)

// maxSeveral is how many sessions one poll or stream may ask for.
const maxSeveral = 50

// several is what a poll or stream of several sessions asks for.
type several struct {
	sessions []string
	// since are their cursors; nil: none is given.
	since []*storage.Cursor
	query query
}

// parseSeveral reads the query of a poll or stream of several sessions. resumed is
// the header Last-Event-ID, "" where it does not count.
func parseSeveral(raw, resumed string) (several, *apiError) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return several{}, malformedQuery()
	}
	m := several{sessions: values["session"], query: query{values}}
	m.since = make([]*storage.Cursor, len(m.sessions))
	if problem := checkSessions(m.sessions); problem != nil {
		return m, problem
	}
	for name, given := range values {
		if name != "session" && name != "types" && len(given) > 1 {
			if _, ofOne := sinceOf(name); ofOne || slices.Contains(onceOnly, name) {
				return m, badParameter(name, "is given twice")
			}
		}
	}
	if problem := m.sinceForAll(values.Get("since")); problem != nil {
		return m, problem
	}
	if problem := m.sinceForEach(values); problem != nil {
		return m, problem
	}
	if resumed == "" {
		return m, nil
	}
	return m, m.resume("Last-Event-ID", resumed)
}

func checkSessions(sessions []string) *apiError {
	switch n := len(sessions); {
	case n == 0:
		return badParameter("session", "is missing: give session=<id>, once for each session")
	case n > maxSeveral:
		return badParameter("session", fmt.Sprintf("is given %d times, at most %d are allowed", n, maxSeveral))
	}
	for i, session := range sessions {
		if err := validSessionID(session); err != nil {
			return badParameter("session", fmt.Sprintf("%.120q %s", session, err))
		}
		if slices.Contains(sessions[:i], session) {
			return badParameter("session", fmt.Sprintf("%q is given twice", session))
		}
	}
	return nil
}

// sinceOf is the session of a parameter since[<session>].
func sinceOf(name string) (session string, ok bool) {
	session, ok = strings.CutPrefix(name, "since[")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(session, "]")
}

// sinceForAll reads since: a time, which counts for all sessions, or the id of a
// stream.
func (m several) sinceForAll(value string) *apiError {
	if value == "" {
		return nil
	}
	c, err := storage.ParseCursor(value)
	switch {
	case err != nil:
		return m.resume("since", value)
	case !c.IsTimestamp() || len(c.Parts) > 0:
		return badParameter("since", "is the cursor of one session: give it as since[<session>]")
	}
	for i := range m.since {
		m.since[i] = &c
	}
	return nil
}

// sinceForEach reads since[<session>].
func (m several) sinceForEach(values url.Values) *apiError {
	for name, given := range values {
		session, ok := sinceOf(name)
		if !ok {
			continue
		}
		i := slices.Index(m.sessions, session)
		if i < 0 {
			if validSessionID(session) != nil {
				return badParameter("since", "[<session>] names no session that is asked for")
			}
			return badParameter(name, "is for a session that is not asked for")
		}
		if given[0] == "" {
			continue
		}
		c, err := storage.ParseCursor(given[0])
		if err != nil {
			return badParameter(name, "is "+err.Error())
		}
		m.since[i] = &c
	}
	return nil
}

// resume reads the id of a stream.
func (m several) resume(name, value string) *apiError {
	cursors, err := parseComposite(value)
	if err != nil {
		return badParameter(name, "is "+err.Error())
	}
	for session, c := range cursors {
		i := slices.Index(m.sessions, session)
		if i < 0 {
			return badParameter(name, fmt.Sprintf("has session %q, which is not asked for", session))
		}
		m.since[i] = &c
	}
	return nil
}

// sessionDetail names the session, of several, that an error is about.
type sessionDetail struct {
	SessionID string `json:"sessionId"`
}

// about says of which session an error is.
func (e apiError) about(session string) apiError {
	if e.Message == "" {
		e.Message = e.Error
	}
	e.Message = fmt.Sprintf("session %q: %s", session, e.Message)
	e.Field, e.Details = "session", sessionDetail{session}
	return e
}

// mayReadAll reports whether a grant extends to all sessions; if not, w has been
// answered.
func (s *Site) mayReadAll(w http.ResponseWriter, r *http.Request, g Grant, sessions []string) bool {
	for _, session := range sessions {
		if err := s.Hub.authorize(r.Context(), g, session, useRead); err != nil {
			status, e := s.failure(r, err)
			writeError(w, status, e.about(session))
			return false
		}
	}
	return true
}
