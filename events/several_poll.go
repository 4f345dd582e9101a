package events

import (
	"net/http"

	"github.com/actionflows/lifeline/storage"
)

// maxSeveralEvents bounds the events in one answer about several sessions.
const maxSeveralEvents = 5000

// pollSeveral answers GET /api/events/poll?session=…: of each session what a poll of
// that one would.
func (s *Site) pollSeveral(w http.ResponseWriter, r *http.Request, g Grant) {
	m, problem := parseSeveral(r.URL.RawQuery, "")
	var ps *polls
	if problem == nil {
		ps, problem = m.query.polls(m.sessions, m.since, min(storage.MaxPage, maxSeveralEvents/len(m.sessions)))
	}
	if problem != nil {
		writeError(w, http.StatusBadRequest, *problem)
		return
	}
	ps.several = true
	if s.mayReadAll(w, r, g, m.sessions) && s.runPolls(w, r, ps, g) {
		s.writePolls(w, r, ps, ps.allTexts()...)
	}
}

// allTexts is the answer about all sessions.
func (ps *polls) allTexts() []pageText {
	texts := make([]pageText, 0, len(ps.sessions)+1)
	before := `{"sessions":{`
	for i, session := range ps.sessions {
		p := ps.text(i)
		name := append(appendJSON([]byte(before), session), ':')
		p.start = append(name, p.start...)
		texts = append(texts, p)
		before = ","
	}
	return append(texts, pageText{end: []byte("}}")})
}
