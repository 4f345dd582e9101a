package storage

import (
	"fmt"
	"time"
)

// SessionWindowConfig is how a session's window behaves.
type SessionWindowConfig struct {
	SessionID               string        `json:"sessionId"`
	AutoExpand              *bool         `json:"autoExpand,omitzero"`
	AutoAttachCli           *bool         `json:"autoAttachCli,omitzero"`
	EnableAnimations        *bool         `json:"enableAnimations,omitzero"`
	QuickActions            []QuickAction `json:"quickActions,omitzero"`
	AutoArchiveDelaySeconds *float64      `json:"autoArchiveDelaySeconds,omitzero"`
	Extra                   Extra         `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (c SessionWindowConfig) MarshalJSON() ([]byte, error) { return marshalRecord(c) }

// UnmarshalJSON implements [json.Unmarshaler].
func (c *SessionWindowConfig) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, c) }

// QuickAction is a button in a session's window.
type QuickAction struct {
	ID    string `json:"id"`
	Label string `json:"label"`
	Icon  string `json:"icon"`
	Extra Extra  `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (a QuickAction) MarshalJSON() ([]byte, error) { return marshalRecord(a) }

// UnmarshalJSON implements [json.Unmarshaler].
func (a *QuickAction) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, a) }

func (c *SessionWindowConfig) check() error {
	if err := checkID("sessionId", c.SessionID); err != nil {
		return err
	}
	for i, a := range c.QuickActions {
		field := fmt.Sprintf("quickActions[%d].", i)
		if err := firstError(checkID(field+"id", a.ID), checkName(field+"label", a.Label)); err != nil {
			return err
		}
	}
	if d := c.AutoArchiveDelaySeconds; d != nil && *d < 0 {
		return &FieldError{"autoArchiveDelaySeconds", "must not be negative"}
	}
	return nil
}

// follow says that a user follows a session.
type follow struct {
	UserID     string    `json:"userId"`
	SessionID  string    `json:"sessionId"`
	FollowedAt time.Time `json:"followedAt"`
}
