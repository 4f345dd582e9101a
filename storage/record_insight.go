package storage

import (
	"time"
)

// FrequencyRecord says how often an action was taken, in one scope.
type FrequencyRecord struct {
	ActionType string    `json:"actionType"`
	ProjectID  string    `json:"projectId,omitempty"`
	UserID     string    `json:"userId,omitempty"`
	Count      int64     `json:"count"`
	FirstSeen  time.Time `json:"firstSeen"`
	LastSeen   time.Time `json:"lastSeen"`
	// DailyCounts are those of the last 90 days in UTC, by date (2006-01-02).
	DailyCounts map[string]int64 `json:"dailyCounts"`
}

// Bookmark is a message that a user marked.
type Bookmark struct {
	ID             string    `json:"id"`
	SessionID      string    `json:"sessionId"`
	MessageIndex   int       `json:"messageIndex"`
	MessageContent string    `json:"messageContent"`
	Category       string    `json:"category"` // useful-pattern, good-output, want-to-automate, reference-material, other
	Explanation    string    `json:"explanation"`
	Timestamp      time.Time `json:"timestamp"`
	UserID         string    `json:"userId,omitzero"`
	ProjectID      string    `json:"projectId,omitzero"`
	Tags           []string  `json:"tags"`
	Extra          Extra     `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (b Bookmark) MarshalJSON() ([]byte, error) { return marshalRecord(b) }

// UnmarshalJSON implements [json.Unmarshaler].
func (b *Bookmark) UnmarshalJSON(data []byte) error { return unmarshalRecord(data, b) }

func checkCategory(category string) error {
	return checkOptional("category", category,
		"useful-pattern", "good-output", "want-to-automate", "reference-material", "other")
}

func (b *Bookmark) check() error {
	err := firstError(
		checkID("id", b.ID), checkID("sessionId", b.SessionID), checkName("category", b.Category), checkCategory(b.Category),
		checkOptionalID("userId", b.UserID), checkOptionalID("projectId", b.ProjectID), checkTime("timestamp", b.Timestamp),
	)
	if err == nil && b.MessageIndex < 0 {
		return &FieldError{"messageIndex", "must not be negative"}
	}
	return err
}

// DetectedPattern is a habit that was noticed in a project.
type DetectedPattern struct {
	ID                 string           `json:"id"`
	ProjectID          string           `json:"projectId"`
	PatternType        string           `json:"patternType"` // frequency, sequence, temporal, error-recovery, preference
	Confidence         float64          `json:"confidence"`  // from 0 to 1
	Description        string           `json:"description"`
	ActionType         string           `json:"actionType,omitzero"`
	Sequence           *PatternSequence `json:"sequence,omitzero"`
	RelatedBookmarkIDs []string         `json:"relatedBookmarkIds"`
	DetectedAt         time.Time        `json:"detectedAt"`
	LastSeen           time.Time        `json:"lastSeen"`
	Extra              Extra            `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (p DetectedPattern) MarshalJSON() ([]byte, error) { return marshalRecord(p) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *DetectedPattern) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, p) }

// PatternSequence is actions that follow each other.
type PatternSequence struct {
	Actions        []string  `json:"actions"`
	Count          int       `json:"count"`
	AvgGapMs       float64   `json:"avgGapMs"`
	LastOccurrence time.Time `json:"lastOccurrence"`
	Extra          Extra     `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (s PatternSequence) MarshalJSON() ([]byte, error) { return marshalRecord(s) }

// UnmarshalJSON implements [json.Unmarshaler].
func (s *PatternSequence) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, s) }

func checkPatternType(patternType string) error {
	return checkOptional("patternType", patternType, "frequency", "sequence", "temporal", "error-recovery", "preference")
}

func (p *DetectedPattern) check() error {
	err := firstError(
		checkID("id", p.ID), checkID("projectId", p.ProjectID),
		checkName("patternType", p.PatternType), checkPatternType(p.PatternType),
		checkTime("detectedAt", p.DetectedAt), checkTime("lastSeen", p.LastSeen),
	)
	if err != nil {
		return err
	}
	if !(p.Confidence >= 0 && p.Confidence <= 1) { // also when it is not a number
		return &FieldError{"confidence", "must be between 0 and 1"}
	}
	if p.Sequence != nil {
		return checkTime("sequence.lastOccurrence", p.Sequence.LastOccurrence)
	}
	return nil
}
