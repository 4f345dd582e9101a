package storage

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// DefaultMaxSessions is how many sessions have a record where nothing else is
// configured.
const DefaultMaxSessions = 100_000

// Sessions are the operations on the records of sessions. A session's events and
// input exist with or without a record.
type Sessions interface {
	// GetSession answers a session with its chains.
	GetSession(ctx context.Context, id string) (Session, error)
	// SetSession writes a session and answers it as it was written: Status is
	// pending and StartedAt now where they are missing; EndedAt is now with a
	// final status that has none; Duration follows from both. Chains is ignored, and
	// nil in the answer while they cannot be read.
	// The last writer wins. When there are more than Store.MaxSessions, the oldest
	// by StartedAt go: first those with a final status, and only when there is none
	// the others. A new session is never refused.
	SetSession(ctx context.Context, session Session) (Session, error)
	// DeleteSession removes a session with its events, input, chains, commands,
	// harmony checks and window, and reports whether there was a record or event.
	// When it fails, part of that may be left; a second call removes it.
	DeleteSession(ctx context.Context, id string) (bool, error)
	// ListSessions answers sessions with their chains, by id.
	ListSessions(ctx context.Context, f SessionFilter) (Page[Session], error)
	// ActiveUsers answers the users who have a session without a final status, in
	// order. It looks at each of these sessions.
	ActiveUsers(ctx context.Context) ([]string, error)
}

// SessionFilter says which sessions are meant; what is empty matches all.
type SessionFilter struct {
	User, Status string
	// Reader: only what this user may read, his own sessions and those without a
	// user; nil: whatever its user.
	Reader *string
	Paging
}

// unfinishedRank puts sessions without a final status behind all with one in the
// order of removal. Both parts of a rank are below 2^52, so the rank is below 2^53.
const unfinishedRank = 1 << 52

// GetSession implements [Sessions].
func (s *Store) GetSession(ctx context.Context, id string) (Session, error) {
	session, err := get[Session](ctx, s, collSessions, id)
	if err != nil {
		return Session{}, err
	}
	session.Chains, err = s.ListChains(ctx, id)
	return session, err
}

// SessionRecord answers a session without its chains. The error wraps [ErrNotFound]
// where it has no record.
func (s *Store) SessionRecord(ctx context.Context, id string) (Session, error) {
	return get[Session](ctx, s, collSessions, id)
}

// SessionUser answers the user of a session, "" for nobody. The error is that of
// [Store.SessionRecord].
func (s *Store) SessionUser(ctx context.Context, id string) (string, error) {
	session, err := s.SessionRecord(ctx, id)
	return session.User, err
}

// mayRead reports whether a reader, nil for everybody, may read what belongs to a
// user.
func mayRead(reader *string, user string) bool {
	return reader == nil || user == "" || user == *reader
}

// SetSession implements [Sessions].
func (s *Store) SetSession(ctx context.Context, session Session) (Session, error) {
	session.complete(now())
	if err := session.check(); err != nil {
		return Session{}, err
	}
	session.Chains = nil
	body, err := encode(session, MaxRecord)
	if err != nil {
		return Session{}, err
	}
	results, err := s.apply(ctx, "set session", &Put{
		Collection: collSessions, ID: session.ID, Body: body,
		Indexes: session.indexes(), MaxMembers: s.maxSessions(), Rank: session.rank(),
	})
	if err != nil {
		return Session{}, err
	}
	if s.Census != nil {
		s.Census.recorded(results[0].Exists, s.maxSessions())
	}
	session.Chains, err = s.ListChains(ctx, session.ID)
	if _, away := errors.AsType[*UnavailableError](err); away {
		return session, nil // it is set, whatever its chains are
	}
	return session, err
}

func (s *Store) maxSessions() int {
	if s.MaxSessions <= 0 {
		return DefaultMaxSessions
	}
	return s.MaxSessions
}

// complete fills in what follows from the rest.
func (s *Session) complete(now time.Time) {
	if s.Status == "" {
		s.Status = StatusPending
	}
	if s.StartedAt.IsZero() {
		s.StartedAt = now
	}
	if s.EndedAt.IsZero() && FinalStatus(s.Status) {
		s.EndedAt = now
	}
	s.Duration = 0
	if !s.EndedAt.IsZero() {
		s.Duration = max(0, milliseconds(s.EndedAt.Sub(s.StartedAt)))
	}
}

func (s *Session) indexes() map[string]string {
	indexes := map[string]string{indexStatus: s.Status}
	if s.User == "" {
		return indexes
	}
	indexes[indexUser] = s.User
	if !FinalStatus(s.Status) {
		indexes[indexActive] = ""
	}
	return indexes
}

func (s *Session) rank() int64 {
	rank := rankOf(s.StartedAt)
	if !FinalStatus(s.Status) {
		rank += unfinishedRank
	}
	return rank
}

// DeleteSession implements [Sessions]. The record goes last, so that a deletion
// that failed can be seen and repeated.
func (s *Store) DeleteSession(ctx context.Context, id string) (bool, error) {
	if err := checkID("id", id); err != nil {
		return false, err
	}
	dropped, err := s.apply(ctx, "delete session", &Drop{Scope: eventLog + id}, &Drop{Scope: sessionHarmony + id})
	if err != nil {
		return false, err
	}
	for _, collection := range []string{collChains, collCommands, collFollows} {
		if _, err := s.removeAll(ctx, scan{collection, indexSession, id}); err != nil {
			return false, err
		}
	}
	if _, err := s.remove(ctx, collWindows, id); err != nil {
		return false, err
	}
	existed, err := s.remove(ctx, collSessions, id)
	return existed || dropped[0].Exists, err
}

// ListSessions implements [Sessions].
func (s *Store) ListSessions(ctx context.Context, f SessionFilter) (Page[Session], error) {
	from := scan{collection: collSessions}
	switch {
	case f.User != "":
		from.index, from.value = indexUser, f.User
	case f.Status != "":
		from.index, from.value = indexStatus, f.Status
	}
	page, err := list(ctx, s, from, f.Paging, func(session *Session) bool {
		return (f.Status == "" || session.Status == f.Status) && mayRead(f.Reader, session.User)
	})
	if err != nil {
		return page, err
	}
	err = page.complete(func(s Session) string { return s.ID }, func(session *Session) (size int, err error) {
		session.Chains, size, err = s.chains(ctx, session.ID)
		return size, err
	})
	if err != nil {
		return Page[Session]{}, err
	}
	return page, nil
}

// ActiveUsers implements [Sessions].
func (s *Store) ActiveUsers(ctx context.Context) ([]string, error) {
	users := make(map[string]struct{})
	from := scan{collSessions, indexActive, ""}
	for p := (Paging{Limit: MaxPage}); ; {
		page, err := list[Session](ctx, s, from, p, nil)
		if err != nil {
			return nil, err
		}
		for _, session := range page.Items {
			users[session.User] = struct{}{}
		}
		if page.Next == "" {
			return slices.Sorted(maps.Keys(users)), nil
		}
		p.After = page.Next
	}
}
