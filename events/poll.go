package events

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// pollTail is how many events a poll without since answers.
const pollTail = 10

// polls is a poll of one session, or of several.
type polls struct {
	sessions []string
	queries  []storage.LogQuery // of each
	types    typeFilter
	wait     time.Duration
	several  bool       // errors say which session they are about
	pages    []filtered // what has been read of each
}

// poll answers GET /api/events/poll/:sessionId.
func (s *Site) poll(w http.ResponseWriter, r *http.Request, session string, q query, g Grant) {
	since, problem := q.cursor("since")
	var ps *polls
	if problem == nil {
		ps, problem = q.polls([]string{session}, []*storage.Cursor{since}, storage.MaxPage)
	}
	if problem != nil {
		writeError(w, http.StatusBadRequest, *problem)
		return
	}
	if s.runPolls(w, r, ps, g) {
		s.writePolls(w, r, ps, ps.text(0))
	}
}

// polls is what the parameters of a poll ask for about sessions, behind their
// cursors, of which nil is none. Each may ask for most events.
func (q query) polls(sessions []string, since []*storage.Cursor, most int) (ps *polls, problem *apiError) {
	ps = &polls{
		sessions: sessions, queries: make([]storage.LogQuery, len(sessions)), pages: make([]filtered, len(sessions)),
	}
	for i, after := range since {
		def := pollTail
		if after != nil {
			def = storage.DefaultPage
		}
		ps.queries[i].After = after
		if ps.queries[i].Limit, problem = q.number("limit", def, most); problem != nil {
			return nil, problem
		}
	}
	if ps.types, problem = parseTypes(q.values["types"]); problem != nil {
		return nil, problem
	}
	ps.wait, problem = q.wait()
	return ps, problem
}

// runPolls reads the pages, at once or when there is something. If it is not ok, w
// has been answered.
func (s *Site) runPolls(w http.ResponseWriter, r *http.Request, ps *polls, g Grant) (ok bool) {
	do := s.pollNow
	if ps.wait > 0 && r.Method != http.MethodHead {
		do = s.longPoll
	}
	of, err := do(r, newPollClient(s.who(g.Peer), g.Peer.IP), ps, g)
	if err == nil {
		return true
	}
	status, e := s.pollFailure(r, err)
	_, noLonger := errors.AsType[*refusedError](err) // is no matter of a session
	if ps.several && of != "" && !noLonger {
		e = e.about(of)
	}
	writeError(w, status, e)
	return false
}

// pollNow spends a poll of each session and reads them. Of an error it says, where
// that is of one of them, of which; then nothing is spent.
func (s *Site) pollNow(r *http.Request, client pollClient, ps *polls, _ Grant) (of string, err error) {
	if of, wait, err := s.Limiter.takeAll(client, ps.sessions, s.PollRate); err != nil {
		return of, &pollRefusalError{err, wait}
	}
	for i, session := range ps.sessions {
		if err := s.readPoll(r, ps, i); err != nil {
			for k := range ps.sessions {
				if k >= i || !isUnknown(ps.pages[k].LogPage) {
					s.Limiter.giveBack(client, ps.sessions[k], s.PollRate)
				}
			}
			return session, err
		}
		if isUnknown(ps.pages[i].LogPage) {
			s.Limiter.giveBack(client, session, s.PollRate)
		}
	}
	return "", nil
}

// readPoll reads the page of session i.
func (s *Site) readPoll(r *http.Request, ps *polls, i int) (err error) {
	ps.pages[i], err = reading(s.Hub.readOn).page(r.Context(), ps.sessions[i], ps.queries[i], ps.types)
	return err
}

// tells reports whether the page of session i has something to answer: also that
// there are further events than it looked through for its types.
func (ps *polls) tells(i int) bool {
	return len(ps.pages[i].Entries) > 0 || ps.pages[i].Gap || ps.hasMore(i)
}

// hasMore reports whether there is more to be polled for; older events, which a poll
// without since leaves out, it could not get at.
func (ps *polls) hasMore(i int) bool { return ps.pages[i].HasMore && ps.queries[i].After != nil }

// text is the answer about session i.
func (ps *polls) text(i int) pageText {
	page := ps.pages[i]
	return newPageText(pageHead{SessionID: ps.sessions[i]}, page.Entries, pageTail{
		Timestamp: page.Cursor.Timestamp(), PollingMode: true, Cursor: page.Cursor.String(),
		HasMore: ps.hasMore(i), Gap: page.Gap, Degraded: page.Degraded,
	})
}

func (s *Site) writePolls(w http.ResponseWriter, r *http.Request, ps *polls, texts ...pageText) {
	for i, page := range ps.pages {
		s.Hub.meter(ps.sessions[i]).delivered[viaPoll].Add(uint64(len(page.Entries)))
		if page.Degraded {
			w.Header().Set("Lifeline-Degraded", "true")
		}
	}
	writeTexts(w, r, texts...)
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

// pollRefusalError says that there were too many polls, and when to try again.
type pollRefusalError struct {
	reason error
	wait   time.Duration
}

func (e *pollRefusalError) Error() string { return e.reason.Error() }

func (e *pollRefusalError) Unwrap() error { return e.reason }

// pollFailure is the answer to a poll that failed with err.
func (s *Site) pollFailure(r *http.Request, err error) (status int, e apiError) {
	if errors.Is(err, errLongPolls) {
		s.Hub.meet(LimitPolls)
		return http.StatusServiceUnavailable, apiError{
			Error:   "too many long polls",
			Message: "as many wait as max_polls lets; poll without wait, or use a stream or a WebSocket",
		}
	}
	refusal, refused := errors.AsType[*pollRefusalError](err)
	if !refused {
		return s.failure(r, err)
	}
	s.Hub.meet(pollLimit(err))
	if errors.Is(err, errPollsFull) {
		return http.StatusServiceUnavailable, apiError{
			Error: "too many polls", Message: err.Error() + "; use a stream or a WebSocket",
			RetryAfter: retryAfter(refusal.wait),
		}
	}
	e = apiError{Error: "Rate limit exceeded", RetryAfter: retryAfter(refusal.wait)} // existing clients know this text
	e.Message = fmt.Sprintf("%s, try again in %d s", err, *e.RetryAfter)
	return http.StatusTooManyRequests, e
}
