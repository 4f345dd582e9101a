package events

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/actionflows/lifeline/storage"
)

// sessionList is the answer of GET /api/sessions.
type sessionList struct {
	Sessions []storage.Session `json:"sessions"`
	Count    int               `json:"count"`
	Next     string            `json:"next,omitempty"` // continues the list as after
}

type chainList struct {
	SessionID string          `json:"sessionId"`
	Count     int             `json:"count"`
	Chains    []storage.Chain `json:"chains"`
}

// removal is the answer to DELETE, and where else there is nothing to show.
type removal struct {
	Success   bool   `json:"success"`
	SessionID string `json:"sessionId,omitempty"`
	ID        string `json:"id,omitempty"`
}

// sessions serves /api/sessions.
func (c *call) sessions() (int, any, error) {
	if c.r.Method == http.MethodPost {
		return c.createSession()
	}
	p, err := c.query.paging()
	if err != nil {
		return 0, nil, err
	}
	f := storage.SessionFilter{
		User: c.query.values.Get("user"), Status: c.query.values.Get("status"), Reader: c.reader(), Paging: p,
	}
	if err := validStatus(f.Status); err != nil {
		return 0, nil, err
	}
	page, err := c.store().ListSessions(c.ctx(), f)
	return http.StatusOK, sessionList{page.Items, len(page.Items), page.Next}, err
}

// reader is whose records the client may read beside those of nobody; nil: all.
func (c *call) reader() *string {
	if c.grant.All {
		return nil
	}
	return &c.grant.Peer.User
}

func validStatus(status string) error {
	known := []string{
		"", storage.StatusPending, storage.StatusInProgress,
		storage.StatusCompleted, storage.StatusFailed, storage.StatusSkipped,
	}
	if slices.Contains(known, status) {
		return nil
	}
	return badRequest(badParameter("status", "must be one of pending, in_progress, completed, failed, skipped"))
}

// createSession is POST /api/sessions. A session that is there already is left
// alone and answered as it is, so that a lost answer can be asked for again. The
// answer to one with a directory says whether that is watched; nothing about the
// directory keeps a session from being created.
func (c *call) createSession() (int, any, error) {
	s, err := c.newSession()
	if err != nil {
		return 0, nil, err
	}
	l := c.hub.look(s.Cwd)
	status, s, no, ready, err := c.addSession(s, l)
	if err != nil {
		return 0, nil, err
	}
	c.awaitWatch(ready)
	return status, tellWatch(s, l, no), nil
}

// awaitWatch waits until a directory is watched, so that what changes after the answer
// becomes events. With nil there is nothing to wait for.
func (c *call) awaitWatch(ready <-chan struct{}) {
	if ready == nil {
		return
	}
	select {
	case <-ready:
	case <-c.ctx().Done():
	}
}

// newSession reads the session that a client wants to create.
func (c *call) newSession() (storage.Session, error) {
	s, err := decodeBody[storage.Session](c, storage.MaxRecord)
	if err != nil {
		return s, err
	}
	if err := c.ownerOf(&s); err != nil {
		return s, err
	}
	if s.ID == "" {
		s.ID = newEventID()
	}
	if err := validSessionID(s.ID); err != nil {
		return s, &storage.FieldError{Field: "id", Problem: err.Error()}
	}
	delete(s.Extra, memberWatcher) // the answer's
	return s, checkCwd(s.Cwd)
}

// addSession writes a new session and begins to watch its directory, or answers
// the one that is there.
func (c *call) addSession(s storage.Session, l look) (status int, _ storage.Session, no *NotWatched, ready <-chan struct{}, err error) {
	unlock, err := c.hub.owners.lock(c.ctx(), s.ID)
	if err != nil {
		return 0, s, nil, nil, err
	}
	defer unlock()
	switch known, err := c.storedSession(s.ID); {
	case err == nil:
		if l.named {
			no = c.hub.watchState(known, l)
		}
		return http.StatusOK, known, no, nil, nil
	case !errors.Is(err, storage.ErrNotFound):
		return 0, s, nil, nil, err
	}
	if s, err = c.hub.setSession(c.ctx(), s); err != nil {
		return 0, s, nil, nil, err
	}
	ready, no = c.hub.beginWatch(s, l)
	return http.StatusCreated, s, no, ready, nil
}

// ownerOf gives a new session its user: who is no service gets his own sessions,
// whatever the body says, and nobody's where he is not authenticated.
func (c *call) ownerOf(s *storage.Session) error {
	if raw, ok := s.Extra["userId"]; ok {
		if err := json.Unmarshal(raw, &s.User); err != nil {
			return &storage.FieldError{Field: "userId", Problem: "must be a string"}
		}
		delete(s.Extra, "userId")
	}
	if !c.grant.All {
		s.User = c.grant.Peer.User
	}
	return nil
}

// storedSession answers a session's record, read just now, if the client may use it.
func (c *call) storedSession(id string) (storage.Session, error) {
	s, err := c.store().GetSession(c.ctx(), id)
	if err == nil && !(owner{s.User, true}).mayUse(c.grant) {
		return storage.Session{}, errOtherUser
	}
	return s, err //nolint:wrapcheck // says itself what it is about
}

// session serves /api/sessions/:id.
func (c *call) session() (int, any, error) {
	id := c.route.session
	switch c.r.Method {
	case http.MethodPut:
		return c.changeSession(id)
	case http.MethodDelete:
		return c.deleteSession(id)
	}
	s, err := c.storedSession(id)
	return http.StatusOK, s, err
}

// changeSession is PUT /api/sessions/:id: of the body status, summary and endReason
// count, where they are given.
func (c *call) changeSession(id string) (int, any, error) {
	change, err := decodeBody[storage.Session](c, storage.MaxRecord)
	if err != nil {
		return 0, nil, err
	}
	s, resumed, err := c.putSession(id, change)
	if resumed {
		// An error leaves it to the next look of whoever watches.
		_, ready, _, _ := c.hub.refreshWatch(c.ctx(), id)
		c.awaitWatch(ready)
	}
	return http.StatusOK, s, err
}

// putSession writes what a change says. resumed: the session had ended, and goes on.
func (c *call) putSession(id string, change storage.Session) (_ storage.Session, resumed bool, err error) {
	unlock, err := c.hub.owners.lock(c.ctx(), id)
	if err != nil {
		return storage.Session{}, false, err
	}
	defer unlock()
	s, err := c.storedSession(id)
	if err != nil {
		return s, false, err
	}
	ended := storage.FinalStatus(s.Status)
	if change.Status != "" {
		s.Status = change.Status
		if !storage.FinalStatus(s.Status) { // it goes on
			s.EndedAt = change.EndedAt
		}
	}
	if change.Summary != "" {
		s.Summary = change.Summary
	}
	if change.EndReason != "" {
		s.EndReason = change.EndReason
	}
	if s, err = c.hub.setSession(c.ctx(), s); err != nil {
		return s, false, err
	}
	if storage.FinalStatus(s.Status) {
		c.hub.endWatch(id)
	}
	return s, ended && !storage.FinalStatus(s.Status), nil
}

// deleteSession is DELETE /api/sessions/:id, with all that belongs to the session.
func (c *call) deleteSession(id string) (int, any, error) {
	unlock, err := c.hub.owners.lock(c.ctx(), id)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	user, err := c.store().SessionUser(c.ctx(), id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
	case err != nil:
		return 0, nil, err //nolint:wrapcheck // says itself what it is about
	case !(owner{user, true}).mayUse(c.grant):
		return 0, nil, errOtherUser
	}
	resumeWatch := c.hub.endWatch(id) // an event of it would bring the session back
	existed, err := c.store().DeleteSession(c.ctx(), id)
	if err != nil {
		resumeWatch()
		return 0, nil, err //nolint:wrapcheck // see above
	}
	c.hub.ownerChanged(id, owner{})
	if !existed {
		return 0, nil, storage.ErrNotFound
	}
	return http.StatusOK, removal{Success: true, SessionID: id}, nil
}

// chains serves /api/sessions/:id/chains.
func (c *call) chains() (int, any, error) {
	chains, err := c.store().ListChains(c.ctx(), c.route.session)
	return http.StatusOK, chainList{c.route.session, len(chains), chains}, err
}
