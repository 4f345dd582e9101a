package storage

import "context"

// MaxFollowed is how many sessions a user follows at most.
const MaxFollowed = 1000

// Windows are the operations on what users look at. The user "" stands for whoever
// is not authenticated.
type Windows interface {
	// Follow notes that a user follows a session, and reports whether he did not
	// before. The session that he followed first goes when there are more than
	// MaxFollowed.
	Follow(ctx context.Context, user, session string) (bool, error)
	// Unfollow takes that back, and reports whether he followed it.
	Unfollow(ctx context.Context, user, session string) (bool, error)
	// Followed answers the ids of the sessions that a user follows, in order.
	Followed(ctx context.Context, user string) ([]string, error)
	// GetWindowConfig answers the configuration of a session's window.
	GetWindowConfig(ctx context.Context, session string) (SessionWindowConfig, error)
	// SetWindowConfig writes it; the last writer wins. Of more than
	// Store.MaxSessions, the one that was written first goes.
	SetWindowConfig(ctx context.Context, config SessionWindowConfig) error
}

// followKey is the id of the document that a user follows a session.
func followKey(user, session string) string { return user + "\x00" + session }

// Follow implements [Windows].
func (s *Store) Follow(ctx context.Context, user, session string) (bool, error) {
	if err := firstError(checkOptionalID("userId", user), checkID("sessionId", session)); err != nil {
		return false, err
	}
	at := now()
	body, err := encode(follow{user, session, at}, MaxSmallRecord)
	if err != nil {
		return false, err
	}
	results, err := s.apply(ctx, "follow", &Put{
		Collection: collFollows, ID: followKey(user, session), Body: body,
		Indexes:    map[string]string{indexUser: user, indexSession: session},
		MaxMembers: MaxFollowed, Within: indexUser, Rank: rankOf(at),
	})
	if err != nil {
		return false, err
	}
	return !results[0].Exists, nil
}

// Unfollow implements [Windows].
func (s *Store) Unfollow(ctx context.Context, user, session string) (bool, error) {
	if err := firstError(checkOptionalID("userId", user), checkID("sessionId", session)); err != nil {
		return false, err
	}
	return s.remove(ctx, collFollows, followKey(user, session))
}

// Followed implements [Windows].
func (s *Store) Followed(ctx context.Context, user string) ([]string, error) {
	follows, _, err := all[follow](ctx, s, scan{collFollows, indexUser, user})
	if err != nil {
		return nil, err
	}
	sessions := make([]string, len(follows))
	for i, f := range follows {
		sessions[i] = f.SessionID
	}
	return sessions, nil
}

// GetWindowConfig implements [Windows].
func (s *Store) GetWindowConfig(ctx context.Context, session string) (SessionWindowConfig, error) {
	return get[SessionWindowConfig](ctx, s, collWindows, session)
}

// SetWindowConfig implements [Windows].
func (s *Store) SetWindowConfig(ctx context.Context, config SessionWindowConfig) error {
	if err := config.check(); err != nil {
		return err
	}
	body, err := encode(config, MaxSmallRecord)
	if err != nil {
		return err
	}
	_, err = s.apply(ctx, "set window", &Put{
		Collection: collWindows, ID: config.SessionID, Body: body, MaxMembers: s.maxSessions(), Rank: rankOf(now()),
	})
	return err
}
