package storage

import (
	"encoding/json"
	"fmt"
	"time"
)

// IntelDossier is what is known of some part of a project.
type IntelDossier struct {
	ID               string          `json:"id"`
	Name             string          `json:"name"`
	Targets          []string        `json:"targets"`
	Context          string          `json:"context"`
	CreatedAt        time.Time       `json:"createdAt"`
	UpdatedAt        time.Time       `json:"updatedAt"`
	AnalysisCount    int             `json:"analysisCount"`
	Status           string          `json:"status"`           // idle, analyzing, error
	LayoutDescriptor json.RawMessage `json:"layoutDescriptor"` // nil: null
	// History is filled on reading, oldest first, and not stored with the dossier.
	History []DossierEntry `json:"history"`
	Error   *string        `json:"error"`
	Extra   Extra          `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (d IntelDossier) MarshalJSON() ([]byte, error) { return marshalRecord(d) }

// UnmarshalJSON implements [json.Unmarshaler].
func (d *IntelDossier) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, d) }

// DossierEntry is one analysis in a dossier's history.
type DossierEntry struct {
	Timestamp        time.Time       `json:"timestamp"`
	LayoutDescriptor json.RawMessage `json:"layoutDescriptor"`
	ChangedFiles     []string        `json:"changedFiles,omitzero"`
	Extra            Extra           `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (e DossierEntry) MarshalJSON() ([]byte, error) { return marshalRecord(e) }

// UnmarshalJSON implements [json.Unmarshaler].
func (e *DossierEntry) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, e) }

func (d *IntelDossier) check() error {
	err := firstError(
		checkID("id", d.ID), checkName("name", d.Name),
		checkOneOf("status", d.Status, "idle", "analyzing", "error"),
		checkTime("createdAt", d.CreatedAt),
	)
	if err == nil && d.AnalysisCount < 0 {
		return &FieldError{"analysisCount", "must not be negative"}
	}
	return err
}

// SuggestionEntry is a wish for a widget that is not there.
type SuggestionEntry struct {
	ID          string    `json:"id"`
	Type        string    `json:"type"` // widget_suggestion
	RequestedBy string    `json:"requestedBy"`
	Needed      string    `json:"needed"`
	Reason      string    `json:"reason"`
	Fallback    Fallback  `json:"fallback"`
	Frequency   int64     `json:"frequency"` // how often it was wished for, from 1
	Timestamp   time.Time `json:"timestamp"`
	Extra       Extra     `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (s SuggestionEntry) MarshalJSON() ([]byte, error) { return marshalRecord(s) }

// UnmarshalJSON implements [json.Unmarshaler].
func (s *SuggestionEntry) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, s) }

// Fallback is what was shown instead.
type Fallback struct {
	Type    string `json:"type"` // raw, markdown
	Content string `json:"content"`
	Extra   Extra  `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (f Fallback) MarshalJSON() ([]byte, error) { return marshalRecord(f) }

// UnmarshalJSON implements [json.Unmarshaler].
func (f *Fallback) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, f) }

const suggestionType = "widget_suggestion"

func (s *SuggestionEntry) check() error {
	err := firstError(
		checkID("id", s.ID), checkOneOf("type", s.Type, suggestionType), checkPresent("needed", s.Needed),
		checkOneOf("fallback.type", s.Fallback.Type, "raw", "markdown"), checkTime("timestamp", s.Timestamp),
	)
	if err == nil && (s.Frequency < 1 || s.Frequency > maxFrequency) {
		return &FieldError{"frequency", fmt.Sprintf("must be between 1 and %d", int64(maxFrequency))}
	}
	return err
}

// maxFrequency bounds what a client may claim, so that counting on never passes
// what a rank can hold.
const maxFrequency = 1 << 40
