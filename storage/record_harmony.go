package storage

import "time"

// HarmonyCheck says whether an answer kept to the agreed format.
type HarmonyCheck struct {
	ID              string          `json:"id"`
	SessionID       string          `json:"sessionId"`
	ProjectID       string          `json:"projectId,omitzero"`
	Timestamp       time.Time       `json:"timestamp"`
	Text            string          `json:"text"`         // its first 500 characters
	ParsedFormat    *string         `json:"parsedFormat"` // nil: none was recognised
	Result          string          `json:"result"`       // valid, degraded, violation
	MissingFields   []string        `json:"missingFields,omitzero"`
	Context         *HarmonyContext `json:"context,omitzero"`
	ContractVersion string          `json:"contractVersion"`
	Extra           Extra           `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (c HarmonyCheck) MarshalJSON() ([]byte, error) { return marshalRecord(c) }

// UnmarshalJSON implements [json.Unmarshaler].
func (c *HarmonyCheck) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, c) }

// HarmonyContext says what was going on when a check was made.
type HarmonyContext struct {
	StepNumber int    `json:"stepNumber,omitzero"`
	ChainID    string `json:"chainId,omitzero"`
	ActionType string `json:"actionType,omitzero"`
	Extra      Extra  `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (c HarmonyContext) MarshalJSON() ([]byte, error) { return marshalRecord(c) }

// UnmarshalJSON implements [json.Unmarshaler].
func (c *HarmonyContext) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, c) }

// The results of a check.
const (
	HarmonyValid     = "valid"
	HarmonyDegraded  = "degraded"
	HarmonyViolation = "violation"
)

func checkResult(result string) error {
	return checkOptional("result", result, HarmonyValid, HarmonyDegraded, HarmonyViolation)
}

func (c *HarmonyCheck) check() error {
	return firstError(
		checkID("id", c.ID), checkID("sessionId", c.SessionID), checkOptionalID("projectId", c.ProjectID),
		checkName("result", c.Result), checkResult(c.Result), checkTime("timestamp", c.Timestamp),
	)
}

// HarmonyMetrics sums up the checks that are kept.
type HarmonyMetrics struct {
	TotalChecks    int `json:"totalChecks"`
	ValidCount     int `json:"validCount"`
	DegradedCount  int `json:"degradedCount"`
	ViolationCount int `json:"violationCount"`
	// HarmonyPercentage is (valid + degraded) / total · 100; without checks 100.
	HarmonyPercentage float64        `json:"harmonyPercentage"`
	RecentViolations  []HarmonyCheck `json:"recentViolations"` // the last 10, newest first
	FormatBreakdown   map[string]int `json:"formatBreakdown"`  // checks by ParsedFormat, where there is one
	LastCheck         *time.Time     `json:"lastCheck"`        // nil: none
	// Trend has those of the last 7 days in UTC that had checks, oldest first.
	Trend []HarmonyDay `json:"trend,omitempty"`
}

// HarmonyDay is one day's checks.
type HarmonyDay struct {
	Date       string  `json:"date"` // 2006-01-02
	Percentage float64 `json:"percentage"`
	Checks     int     `json:"checks"`
}
