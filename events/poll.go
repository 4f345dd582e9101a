package events

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/actionflows/lifeline/storage"
)

// pollTail is how many events a poll without since answers.
const pollTail = 10

// poll answers GET /api/events/poll/:sessionId. What is wrong with a request is
// said before anything of the poll rate is spent.
func (s *Site) poll(w http.ResponseWriter, r *http.Request, session string, q query, g Grant) {
	limit := pollTail
	if q.values.Get("since") != "" {
		limit = storage.DefaultPage
	}
	q.values.Del("before") // no parameter of a poll, which only goes forward
	pq, problem := q.poll(limit)
	if problem != nil {
		writeError(w, http.StatusBadRequest, *problem)
		return
	}
	if pq.wait > 0 && r.Method != http.MethodHead {
		s.longPoll(w, r, session, pq, g)
		return
	}
	client := newPollClient(s.who(g.Peer), g.Peer.IP)
	if wait, err := s.Limiter.take(client, session, s.PollRate); err != nil {
		s.writePollRefusal(w, err, apiError{RetryAfter: retryAfter(wait)})
		return
	}
	page, err := s.readPage(r, session, pq.lq, pq.types)
	if err != nil {
		s.Limiter.giveBack(client, session, s.PollRate)
		s.writeStorageError(w, r, err)
		return
	}
	if isUnknown(page.LogPage) {
		s.Limiter.giveBack(client, session, s.PollRate)
	}
	s.writePoll(w, r, session, pq, page)
}

// poll is what the parameters of a poll ask for.
func (q query) poll(limit int) (p pollQuery, problem *apiError) {
	if p.lq, problem = q.page(limit); problem != nil {
		return p, problem
	}
	if p.types, problem = parseTypes(q.values["types"]); problem != nil {
		return p, problem
	}
	p.wait, problem = q.wait()
	return p, problem
}

func (s *Site) writePoll(w http.ResponseWriter, r *http.Request, session string, q pollQuery, page filtered) {
	s.Hub.meter(session).delivered[viaPoll].Add(uint64(len(page.Entries)))
	s.writePage(w, r, pageHead{SessionID: session}, page.LogPage, pageTail{
		Timestamp: page.Cursor.Timestamp(), PollingMode: true, Cursor: page.Cursor.String(),
		// More to be polled for; older events, which a poll without since leaves
		// out, it could not get at.
		HasMore: page.HasMore && q.lq.After != nil,
		Gap:     page.Gap, Degraded: page.Degraded,
	})
}

// isUnknown reports whether a session has never had an event. One that cannot be
// asked at present may have had some.
func isUnknown(page storage.LogPage) bool {
	return page.State.Head == (storage.Position{}) && len(page.Entries) == 0 && !page.Degraded
}

// who names the client of a poll: an API key that is one, or the user. A key
// that is none of ours names nobody, or whoever is served as anonymous could
// have a poll rate for each key he thinks up.
func (s *Site) who(p Peer) string {
	switch {
	case s.access.isKey(p.Key):
		return "key " + p.Key
	case p.User != "":
		return "user " + p.User
	}
	return ""
}

func (s *Site) writePollRefusal(w http.ResponseWriter, err error, e apiError) {
	s.Hub.meet(pollLimit(err))
	if errors.Is(err, errPollsFull) {
		e.Error, e.Message = "too many polls", err.Error()+"; use a stream or a WebSocket"
		writeError(w, http.StatusServiceUnavailable, e)
		return
	}
	e.Error = "Rate limit exceeded" // existing clients know this text
	e.Message = fmt.Sprintf("%s, try again in %d s", err, *e.RetryAfter)
	writeError(w, http.StatusTooManyRequests, e)
}
