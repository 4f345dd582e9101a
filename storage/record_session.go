package storage

import (
	"encoding/json"
	"time"
)

// The statuses of a session. Chains and steps have them too, but are not held to
// them.
const (
	StatusPending    = "pending"
	StatusInProgress = "in_progress"
	StatusCompleted  = "completed"
	StatusFailed     = "failed"
	StatusSkipped    = "skipped"
)

// FinalStatus reports whether nothing follows a status: completed, failed, skipped.
func FinalStatus(status string) bool {
	return status == StatusCompleted || status == StatusFailed || status == StatusSkipped
}

// Session is the record of a session. Its event log exists with or without it.
type Session struct {
	ID       string `json:"id"`
	User     string `json:"user,omitzero"`
	Cwd      string `json:"cwd"`
	Hostname string `json:"hostname,omitzero"`
	Platform string `json:"platform,omitzero"`
	// Chains is filled on reading, by their time of compilation, and not stored.
	Chains               []Chain           `json:"chains"`
	CurrentChain         json.RawMessage   `json:"currentChain,omitzero"` // as the client gave it
	Status               string            `json:"status"`
	ConversationState    string            `json:"conversationState,omitzero"` // idle, awaiting_input, receiving_input, active
	LastPrompt           *Prompt           `json:"lastPrompt,omitzero"`
	StartedAt            time.Time         `json:"startedAt"`
	EndedAt              time.Time         `json:"endedAt,omitzero"`
	Duration             float64           `json:"duration,omitzero"` // ms; follows from start and end
	EndReason            string            `json:"endReason,omitzero"`
	Summary              string            `json:"summary,omitzero"`
	TotalStepsExecuted   int               `json:"totalStepsExecuted,omitzero"`
	TotalChainsCompleted int               `json:"totalChainsCompleted,omitzero"`
	CriticalErrors       []json.RawMessage `json:"criticalErrors,omitzero"`
	Metadata             Object            `json:"metadata,omitzero"`
	Extra                Extra             `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (s Session) MarshalJSON() ([]byte, error) { return marshalRecord(s) }

// UnmarshalJSON implements [json.Unmarshaler].
func (s *Session) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, s) }

// Prompt is what a session last asked its user.
type Prompt struct {
	Text           string    `json:"text"`
	Type           string    `json:"type"` // binary, text, chain_approval
	QuickResponses []string  `json:"quickResponses,omitzero"`
	Timestamp      time.Time `json:"timestamp"`
	Extra          Extra     `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (p Prompt) MarshalJSON() ([]byte, error) { return marshalRecord(p) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *Prompt) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, p) }

func (s *Session) check() error {
	err := firstError(
		checkID("id", s.ID), checkOptionalID("user", s.User),
		checkString("hostname", s.Hostname, MaxName), checkString("platform", s.Platform, MaxName),
		checkOneOf("status", s.Status, StatusPending, StatusInProgress, StatusCompleted, StatusFailed, StatusSkipped),
		checkOptional("conversationState", s.ConversationState, "idle", "awaiting_input", "receiving_input", "active"),
		checkTime("startedAt", s.StartedAt), checkTime("endedAt", s.EndedAt),
	)
	if err != nil || s.LastPrompt == nil {
		return err
	}
	return firstError(
		checkOneOf("lastPrompt.type", s.LastPrompt.Type, "binary", "text", "chain_approval"),
		checkTime("lastPrompt.timestamp", s.LastPrompt.Timestamp),
	)
}
