package events

import (
	"errors"
	"net/http"
	"slices"

	"github.com/actionflows/lifeline/storage"
)

const pathMetrics = "harmony/metrics"

// recordOps are all operations on records.
func recordOps() []recordOp {
	const small, large = storage.MaxSmallRecord, storage.MaxRecord
	type store = storage.Store
	return []recordOp{
		{"GET", "frequencies", listed("frequencies", (*call).topFrequencies)},
		{"GET", "frequencies/:id", (*call).frequency},
		{"POST", "frequencies/:id/track", (*call).trackFrequency},

		{"GET", "bookmarks", listed("bookmarks", (*call).listBookmarks)},
		{"POST", "bookmarks", added(small, (*call).prepareBookmark, (*store).AddBookmark)},
		{"GET", "bookmarks/:id", got((*store).GetBookmark, (*call).mayBookmark)},
		{"PUT", "bookmarks/:id", put(small, func(b *storage.Bookmark) *string { return &b.ID }, (*call).prepareBookmark, (*store).AddBookmark)},
		{"DELETE", "bookmarks/:id", removed((*call).mayReplaceBookmark, (*store).RemoveBookmark)},

		{"GET", "patterns", listed("patterns", (*call).listPatterns)},
		{"POST", "patterns", added(small, nil, (*store).AddPattern)},
		{"GET", "patterns/:id", got((*store).GetPattern, nil)},
		{"PUT", "patterns/:id", put(small, func(p *storage.DetectedPattern) *string { return &p.ID }, nil, (*store).AddPattern)},
		{"DELETE", "patterns/:id", removed(nil, (*store).RemovePattern)},

		{"GET", "harmony", listed("checks", (*call).listHarmony)},
		{"POST", "harmony", added(large, (*call).prepareHarmony, (*store).AddHarmonyCheck)}, // its text is cut
		{"GET", pathMetrics, (*call).harmonyMetrics},

		{"GET", "dossiers", listed("dossiers", (*call).listDossiers)},
		{"POST", "dossiers", added(large, nil, (*store).SetDossier)},
		{"GET", "dossiers/:id", got((*store).GetDossier, nil)},
		{"PUT", "dossiers/:id", put(large, func(d *storage.IntelDossier) *string { return &d.ID }, nil, (*store).SetDossier)},
		{"DELETE", "dossiers/:id", removed(nil, (*store).DeleteDossier)},
		{"POST", "dossiers/:id/history", (*call).appendHistory},

		{"GET", "suggestions", listed("suggestions", (*call).listSuggestions)},
		{"POST", "suggestions", added(small, nil, (*store).AddSuggestion)},
		{"GET", "suggestions/:id", got((*store).GetSuggestion, nil)},
		{"DELETE", "suggestions/:id", removed(nil, (*store).DeleteSuggestion)},
		{"POST", "suggestions/:id/increment", (*call).incrementSuggestion},

		{"GET", "windows", listed("sessions", (*call).followed)},
		{"GET", "windows/:id", (*call).window},
		{"PUT", "windows/:id", (*call).setWindow},
		{"PUT", "windows/:id/follow", (*call).follow},
		{"DELETE", "windows/:id/follow", (*call).unfollow},
	}
}

// user is the user whom a request is about: for API keys and local clients whom
// they name, for others themselves.
func (c *call) user() (string, error) {
	named := c.query.values.Get("userId")
	if c.grant.All {
		return named, nil
	}
	if named != "" && named != c.grant.Peer.User {
		return "", &refusedError{http.StatusForbidden, apiError{
			Error: "forbidden", Message: "these are another user's", Field: "userId",
		}}
	}
	return c.grant.Peer.User, nil
}

// topFrequencies and frequency count for all users where none is named.
func (c *call) topFrequencies() (storage.Page[storage.FrequencyRecord], error) {
	p := parameters{query: c.query}
	limit := p.limit()
	scope, err := c.frequencyScope()
	if err := errors.Join(p.err, err); err != nil {
		return storage.Page[storage.FrequencyRecord]{}, err
	}
	return whole(c.store().TopFrequencies(c.ctx(), scope, limit))
}

func (c *call) frequencyScope() (storage.FrequencyScope, error) {
	_, err := c.user()
	return storage.FrequencyScope{
		ProjectID: c.query.values.Get("projectId"), UserID: c.query.values.Get("userId"),
	}, err
}

func (c *call) frequency() (int, any, error) {
	scope, err := c.frequencyScope()
	if err != nil {
		return 0, nil, err
	}
	record, err := c.store().GetFrequency(c.ctx(), c.route.id, scope)
	return http.StatusOK, record, err
}

func (c *call) trackFrequency() (int, any, error) {
	user, err := c.user()
	if err != nil {
		return 0, nil, err
	}
	scope := storage.FrequencyScope{ProjectID: c.query.values.Get("projectId"), UserID: user}
	err = c.store().TrackFrequency(c.ctx(), c.route.id, scope)
	return http.StatusOK, map[string]any{"success": true, "actionType": c.route.id}, err
}

func (c *call) listBookmarks() (storage.Page[storage.Bookmark], error) {
	p := parameters{query: c.query}
	f := storage.BookmarkFilter{
		Category: p.text("category"), Since: p.time("since"), User: p.text("userId"),
		Tags: c.query.values["tag"], Reader: c.reader(), Paging: p.paging(),
	}
	if p.err != nil {
		return storage.Page[storage.Bookmark]{}, p.err
	}
	return c.store().ListBookmarks(c.ctx(), f) //nolint:wrapcheck // says itself what it is about
}

func (c *call) mayBookmark(b *storage.Bookmark) error {
	if !(owner{user: b.UserID}).mayUse(c.grant) {
		return &refusedError{http.StatusForbidden, apiError{
			Error: "forbidden", Message: "this bookmark belongs to another user",
		}}
	}
	return nil
}

// mayReplaceBookmark decides about the bookmark that has an id now, if there is one.
func (c *call) mayReplaceBookmark(id string) error {
	if c.grant.All || id == "" {
		return nil
	}
	old, err := c.store().GetBookmark(c.ctx(), id)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err //nolint:wrapcheck // says itself what it is about
	}
	return c.mayBookmark(&old)
}

// prepareBookmark makes a bookmark that of its user.
func (c *call) prepareBookmark(b *storage.Bookmark) error {
	if !c.grant.All {
		b.UserID = c.grant.Peer.User
	}
	if err := c.mayReplaceBookmark(b.ID); err != nil {
		return err
	}
	return c.maySession(b.SessionID, useWrite)
}

// maySession decides about a session that a record names; what is no session id is
// refused with the record.
func (c *call) maySession(session string, to use) error {
	if validSessionID(session) != nil {
		return nil
	}
	return c.hub.authorize(c.ctx(), c.grant, session, to)
}

func (c *call) listPatterns() (storage.Page[storage.DetectedPattern], error) {
	p := parameters{query: c.query}
	f := storage.PatternFilter{
		Project: p.text("projectId"), Type: p.text("patternType"),
		MinConfidence: p.share("minConfidence"), Since: p.time("since"), Paging: p.paging(),
	}
	if p.err != nil {
		return storage.Page[storage.DetectedPattern]{}, p.err
	}
	return c.store().ListPatterns(c.ctx(), f) //nolint:wrapcheck // says itself what it is about
}

func (c *call) prepareHarmony(check *storage.HarmonyCheck) error {
	return c.maySession(check.SessionID, useWrite)
}

// harmonyScope is the session or project that a request is about.
func (c *call) harmonyScope() (storage.HarmonyScope, error) {
	of := storage.HarmonyScope{SessionID: c.query.values.Get("sessionId"), ProjectID: c.query.values.Get("projectId")}
	if of == (storage.HarmonyScope{}) {
		return of, badRequest(badParameter("sessionId", "or projectId must be given"))
	}
	return of, c.maySession(of.SessionID, useRead)
}

func (c *call) listHarmony() (storage.Page[storage.HarmonyCheck], error) {
	p := parameters{query: c.query}
	f := storage.HarmonyFilter{
		Result: p.text("result"), FormatType: p.text("formatType"), Since: p.time("since"),
	}
	limit := p.limit()
	of, err := c.harmonyScope()
	if err := errors.Join(p.err, err); err != nil {
		return storage.Page[storage.HarmonyCheck]{}, err
	}
	checks, err := c.store().ListHarmony(c.ctx(), of, f)
	if err == nil {
		checks, err = c.visible(checks)
	}
	if limit > 0 && len(checks) > limit {
		checks = checks[len(checks)-limit:]
	}
	return whole(checks, err)
}

// visible leaves out the checks of sessions that are not the client's to see, as a
// project may have some.
func (c *call) visible(checks []storage.HarmonyCheck) ([]storage.HarmonyCheck, error) {
	var failed error
	checks = slices.DeleteFunc(checks, func(check storage.HarmonyCheck) bool {
		if failed != nil {
			return true
		}
		err := c.hub.authorize(c.ctx(), c.grant, check.SessionID, useRead)
		if err != nil && !errors.Is(err, errOtherUser) {
			failed = err
		}
		return err != nil
	})
	return checks, failed
}

// harmonyMetrics counts all checks; of the violations it shows those that the client
// may see.
func (c *call) harmonyMetrics() (int, any, error) {
	of, err := c.harmonyScope()
	if err != nil {
		return 0, nil, err
	}
	m, err := c.store().HarmonyMetrics(c.ctx(), of)
	if err != nil {
		return 0, nil, err //nolint:wrapcheck // says itself what it is about
	}
	m.RecentViolations, err = c.visible(m.RecentViolations)
	return http.StatusOK, m, err
}

func (c *call) listDossiers() (storage.Page[storage.IntelDossier], error) {
	p, err := c.query.paging()
	if err != nil {
		return storage.Page[storage.IntelDossier]{}, err
	}
	return c.store().ListDossiers(c.ctx(), p) //nolint:wrapcheck // says itself what it is about
}

func (c *call) appendHistory() (int, any, error) {
	entry, err := decodeBody[storage.DossierEntry](c, storage.MaxSmallRecord)
	if err != nil {
		return 0, nil, err
	}
	err = c.store().AppendDossierHistory(c.ctx(), c.route.id, entry)
	return http.StatusCreated, removal{Success: true, ID: c.route.id}, err
}

func (c *call) listSuggestions() (storage.Page[storage.SuggestionEntry], error) {
	return whole(c.store().ListSuggestions(c.ctx()))
}

func (c *call) incrementSuggestion() (int, any, error) {
	s, err := c.store().IncrementSuggestion(c.ctx(), c.route.id)
	return http.StatusOK, s, err
}

func (c *call) followed() (storage.Page[string], error) {
	user, err := c.user()
	if err != nil {
		return storage.Page[string]{}, err
	}
	return whole(c.store().Followed(c.ctx(), user))
}

// windowSession is the session in the path of a window, if the client may use it.
func (c *call) windowSession(to use) (string, error) {
	if err := validSessionID(c.route.id); err != nil {
		return "", &storage.FieldError{Field: "sessionId", Problem: err.Error()}
	}
	return c.route.id, c.hub.authorize(c.ctx(), c.grant, c.route.id, to)
}

func (c *call) window() (int, any, error) {
	session, err := c.windowSession(useRead)
	if err != nil {
		return 0, nil, err
	}
	config, err := c.store().GetWindowConfig(c.ctx(), session)
	return http.StatusOK, config, err
}

func (c *call) setWindow() (int, any, error) {
	session, err := c.windowSession(useWrite)
	if err != nil {
		return 0, nil, err
	}
	config, err := decodeBody[storage.SessionWindowConfig](c, storage.MaxSmallRecord)
	if err != nil {
		return 0, nil, err
	}
	config.SessionID = session
	return http.StatusOK, config, c.store().SetWindowConfig(c.ctx(), config)
}

type following struct {
	Success   bool   `json:"success"`
	SessionID string `json:"sessionId"`
	Following bool   `json:"following"`
}

func (c *call) follow() (int, any, error) {
	user, err := c.user()
	if err != nil {
		return 0, nil, err
	}
	session, err := c.windowSession(useRead)
	if err != nil {
		return 0, nil, err
	}
	_, err = c.store().Follow(c.ctx(), user, session)
	return http.StatusOK, following{true, session, true}, err
}

func (c *call) unfollow() (int, any, error) {
	user, err := c.user()
	if err != nil {
		return 0, nil, err
	}
	_, err = c.store().Unfollow(c.ctx(), user, c.route.id)
	return http.StatusOK, following{true, c.route.id, false}, err
}
