package storage

import (
	"encoding/json"
	"fmt"
	"time"
)

// Chain is a plan of steps within a session.
type Chain struct {
	ID                string    `json:"id"`
	SessionID         string    `json:"sessionId"`
	UserID            string    `json:"userId,omitzero"`
	Title             string    `json:"title"`
	Steps             []Step    `json:"steps"`
	Source            string    `json:"source"` // flow, composed, meta-task
	Ref               string    `json:"ref,omitzero"`
	Status            string    `json:"status"`
	CompiledAt        time.Time `json:"compiledAt"`
	StartedAt         time.Time `json:"startedAt,omitzero"`
	CompletedAt       time.Time `json:"completedAt,omitzero"`
	Duration          float64   `json:"duration,omitzero"` // ms
	SuccessfulSteps   int       `json:"successfulSteps,omitzero"`
	FailedSteps       int       `json:"failedSteps,omitzero"`
	SkippedSteps      int       `json:"skippedSteps,omitzero"`
	Summary           string    `json:"summary,omitzero"`
	ExecutionMode     string    `json:"executionMode,omitzero"` // sequential, parallel, mixed
	CurrentStep       int       `json:"currentStep,omitzero"`
	EstimatedDuration float64   `json:"estimatedDuration,omitzero"` // ms
	Extra             Extra     `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (c Chain) MarshalJSON() ([]byte, error) { return marshalRecord(c) }

// UnmarshalJSON implements [json.Unmarshaler].
func (c *Chain) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, c) }

// Step is one step of a chain.
type Step struct {
	StepNumber  int             `json:"stepNumber"` // from 1
	Action      string          `json:"action"`
	Model       string          `json:"model"`
	Inputs      Object          `json:"inputs"`
	WaitsFor    []int           `json:"waitsFor"` // numbers of steps
	Status      string          `json:"status"`
	Description string          `json:"description,omitzero"`
	StartedAt   time.Time       `json:"startedAt,omitzero"`
	CompletedAt time.Time       `json:"completedAt,omitzero"`
	Duration    float64         `json:"duration,omitzero"` // ms
	Result      json.RawMessage `json:"result,omitzero"`
	Error       json.RawMessage `json:"error,omitzero"`
	Learning    json.RawMessage `json:"learning,omitzero"`
	Extra       Extra           `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (s Step) MarshalJSON() ([]byte, error) { return marshalRecord(s) }

// UnmarshalJSON implements [json.Unmarshaler].
func (s *Step) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, s) }

// MaxSteps is how many steps a chain has at most.
const MaxSteps = 1000

func (c *Chain) check() error {
	err := firstError(
		checkID("id", c.ID), checkID("sessionId", c.SessionID), checkOptionalID("userId", c.UserID),
		checkOneOf("source", c.Source, "flow", "composed", "meta-task"),
		checkName("status", c.Status),
		checkOptional("executionMode", c.ExecutionMode, "sequential", "parallel", "mixed"),
		checkTime("compiledAt", c.CompiledAt), checkTime("startedAt", c.StartedAt), checkTime("completedAt", c.CompletedAt),
	)
	if err != nil {
		return err
	}
	if len(c.Steps) > MaxSteps {
		return &FieldError{"steps", fmt.Sprintf("are %d, at most %d are allowed", len(c.Steps), MaxSteps)}
	}
	seen := make(map[int]bool, len(c.Steps))
	for i, step := range c.Steps {
		field := fmt.Sprintf("steps[%d].", i)
		switch n := step.StepNumber; {
		case n < 1:
			return &FieldError{field + "stepNumber", "must be 1 or more"}
		case seen[n]:
			return &FieldError{field + "stepNumber", fmt.Sprintf("%d is given twice", n)}
		}
		seen[step.StepNumber] = true
		if err := checkName(field+"status", step.Status); err != nil {
			return err
		}
	}
	return nil
}
