package storage

import (
	"encoding/json"
	"time"
)

// CommandPayload is a command for whoever runs a session. ID and Type repeat
// CommandID and Command.Type at the top, where clients look for them.
type CommandPayload struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	CommandID string    `json:"commandId"`
	Command   Command   `json:"command"`
	IssuedAt  time.Time `json:"issuedAt"`
	SessionID string    `json:"sessionId,omitzero"`
	ChainID   string    `json:"chainId,omitzero"`
	UserID    string    `json:"userId,omitzero"`
	Context   Object    `json:"context,omitzero"`
	Extra     Extra     `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (c CommandPayload) MarshalJSON() ([]byte, error) { return marshalRecord(c) }

// UnmarshalJSON implements [json.Unmarshaler].
func (c *CommandPayload) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, c) }

// Command says what is to be done.
type Command struct {
	Type       string `json:"type"` // pause, resume, cancel, abort, retry, skip
	Payload    Object `json:"payload"`
	StepNumber int    `json:"stepNumber,omitzero"`
	Reason     string `json:"reason,omitzero"`
	Extra      Extra  `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (c Command) MarshalJSON() ([]byte, error) { return marshalRecord(c) }

// UnmarshalJSON implements [json.Unmarshaler].
func (c *Command) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, c) }

func (c *CommandPayload) check() error {
	err := firstError(
		checkOneOf("command.type", c.Command.Type, "pause", "resume", "cancel", "abort", "retry", "skip"),
		checkID("sessionId", c.SessionID), checkOptionalID("chainId", c.ChainID), checkOptionalID("userId", c.UserID),
		checkTime("issuedAt", c.IssuedAt),
	)
	if err != nil {
		return err
	}
	if session, ok := CommandSession(c.CommandID); !ok || session != c.SessionID {
		return &FieldError{"commandId", "must be the session's id, a colon and more"}
	}
	if c.Command.StepNumber < 0 {
		return &FieldError{"command.stepNumber", "must be 1 or more"}
	}
	return checkString("commandId", c.CommandID, 2*MaxID)
}

// Input is something that a user has sent to a session.
type Input struct {
	ID         string          `json:"id"`
	Input      json.RawMessage `json:"input"` // any JSON value
	ReceivedAt time.Time       `json:"receivedAt,omitzero"`
}
