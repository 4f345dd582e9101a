package storage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
)

// chainEvent is what the events about chains and steps have in common; what an
// event does not give is zero.
type chainEvent struct {
	ID        string    `json:"id"`
	EventID   string    `json:"eventId"`
	ChainID   string    `json:"chainId"`
	User      string    `json:"user"`
	Timestamp time.Time `json:"timestamp"`
	Status    string    `json:"status"`
	Duration  float64   `json:"duration"`

	// Of chains.
	Title             string  `json:"title"`
	Steps             []Step  `json:"steps"`
	Source            string  `json:"source"`
	Ref               string  `json:"ref"`
	ExecutionMode     string  `json:"executionMode"`
	EstimatedDuration float64 `json:"estimatedDuration"`
	CurrentStep       int     `json:"currentStep"`
	OverallStatus     string  `json:"overallStatus"` // success, partial, failure
	SuccessfulSteps   *int    `json:"successfulSteps"`
	FailedSteps       *int    `json:"failedSteps"`
	SkippedSteps      *int    `json:"skippedSteps"`
	Summary           string  `json:"summary"`

	// Of steps.
	StepNumber  int             `json:"stepNumber"`
	Action      string          `json:"action"`
	Model       string          `json:"model"`
	Inputs      Object          `json:"inputs"`
	WaitsFor    []int           `json:"waitsFor"`
	Description string          `json:"description"`
	StartedAt   time.Time       `json:"startedAt"`
	Result      json.RawMessage `json:"result"`
	Error       json.RawMessage `json:"error"`
	Learning    json.RawMessage `json:"learning"`

	Extra Extra `json:"-"`
}

// UnmarshalJSON implements [json.Unmarshaler].
func (e *chainEvent) UnmarshalJSON(b []byte) error { return unmarshalRecord(b, e) }

// ApplyEvent implements [Chains].
func (s *Store) ApplyEvent(ctx context.Context, session, eventType string, data []byte) (bool, error) {
	isStep := strings.HasPrefix(eventType, "step:")
	if !isStep && !strings.HasPrefix(eventType, "chain:") {
		return false, nil
	}
	e, err := Decode[chainEvent](data)
	if err != nil {
		return false, err
	}
	e.Timestamp = firstTime(e.Timestamp, now())
	unlock, err := lock(ctx, session)
	if err != nil {
		return false, err
	}
	defer unlock()
	if eventType == "chain:compiled" {
		return s.compile(ctx, session, &e)
	}
	chain, err := s.meant(ctx, session, e.ChainID)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	changed := false
	switch {
	case isStep:
		changed = chain.applyStep(eventType, &e)
	case eventType == "chain:started":
		changed = chain.start(&e)
	case eventType == "chain:completed":
		chain.finish(&e)
		changed = true
	}
	if !changed {
		return false, nil
	}
	_, err = s.putChain(ctx, chain)
	return err == nil, err
}

// compile creates the chain of a chain:compiled event. Without a chainId it takes
// the event's own id, so that the event creates it once.
func (s *Store) compile(ctx context.Context, session string, e *chainEvent) (bool, error) {
	id := cmp.Or(e.ChainID, e.ID, e.EventID, newID())
	switch _, err := s.GetChain(ctx, session, id); {
	case err == nil:
		return false, nil
	case !errors.Is(err, ErrNotFound):
		return false, err
	}
	for i := range e.Steps {
		if e.Steps[i].StepNumber == 0 {
			e.Steps[i].StepNumber = i + 1
		}
	}
	_, err := s.putChain(ctx, Chain{
		ID: id, SessionID: session, UserID: e.User, Title: e.Title, Steps: e.Steps, Source: e.Source,
		Ref: e.Ref, CompiledAt: e.Timestamp, ExecutionMode: e.ExecutionMode, EstimatedDuration: e.EstimatedDuration,
	})
	return err == nil, err
}

// meant answers the chain with an id, or without one the latest of those that run,
// or else of those that are not completed.
func (s *Store) meant(ctx context.Context, session, id string) (Chain, error) {
	if id != "" {
		return s.GetChain(ctx, session, id)
	}
	chains, err := s.ListChains(ctx, session)
	if err != nil {
		return Chain{}, err
	}
	var latest *Chain
	for i := range slices.Backward(chains) {
		c := &chains[i]
		if c.Status == StatusInProgress {
			return *c, nil
		}
		if latest == nil && c.CompletedAt.IsZero() {
			latest = c
		}
	}
	if latest == nil {
		return Chain{}, ErrNotFound
	}
	return *latest, nil
}

// start is chain:started. One that comes after the completion it preceded changes
// nothing.
func (c *Chain) start(e *chainEvent) bool {
	if e.Timestamp.Before(c.CompletedAt) {
		return false
	}
	c.Status, c.StartedAt, c.CompletedAt, c.Duration = StatusInProgress, e.Timestamp, time.Time{}, 0
	switch {
	case e.CurrentStep > 0:
		c.CurrentStep = e.CurrentStep
	case len(c.Steps) > 0:
		c.CurrentStep = c.Steps[0].StepNumber
	}
	return true
}

// finish is chain:completed.
func (c *Chain) finish(e *chainEvent) {
	c.SuccessfulSteps = count(e.SuccessfulSteps, c.Steps, StatusCompleted)
	c.FailedSteps = count(e.FailedSteps, c.Steps, StatusFailed)
	c.SkippedSteps = count(e.SkippedSteps, c.Steps, StatusSkipped)
	c.CompletedAt = e.Timestamp
	c.Duration = duration(e, c.StartedAt, c.CompletedAt)
	c.Summary = cmp.Or(e.Summary, c.Summary)
	c.Status = StatusCompleted
	switch {
	case e.Status != "":
		c.Status = e.Status
	case e.OverallStatus == "failure", e.OverallStatus == "" && c.FailedSteps > 0:
		c.Status = StatusFailed
	}
}

// count is the number that an event gives, or else that of the steps with a status.
func count(given *int, steps []Step, status string) int {
	if given != nil {
		return *given
	}
	n := 0
	for _, s := range steps {
		if s.Status == status {
			n++
		}
	}
	return n
}

// duration is what an event gives, or else what follows from start and end, in ms.
func duration(e *chainEvent, start, end time.Time) float64 {
	if e.Duration > 0 || start.IsZero() {
		return max(e.Duration, 0)
	}
	return max(0, milliseconds(end.Sub(start)))
}

// applyStep is step:*. A step that the chain does not have is added to it.
func (c *Chain) applyStep(eventType string, e *chainEvent) bool {
	if e.StepNumber < 1 {
		return false
	}
	i := slices.IndexFunc(c.Steps, func(s Step) bool { return s.StepNumber == e.StepNumber })
	if i < 0 {
		c.Steps = append(c.Steps, Step{StepNumber: e.StepNumber})
		slices.SortStableFunc(c.Steps, func(a, b Step) int { return cmp.Compare(a.StepNumber, b.StepNumber) })
		i = slices.IndexFunc(c.Steps, func(s Step) bool { return s.StepNumber == e.StepNumber })
	}
	step := &c.Steps[i]
	step.describe(e)
	switch eventType {
	case "step:spawned", "step:started":
		// One that comes after the end it preceded says nothing new; a later one is
		// another attempt.
		if e.Timestamp.Before(step.CompletedAt) {
			return true
		}
		c.CurrentStep = e.StepNumber
		step.begin(e, eventType == "step:started")
	case "step:completed":
		step.end(e, StatusCompleted)
	case "step:failed":
		step.end(e, StatusFailed)
	case "step:skipped":
		step.end(e, StatusSkipped)
	}
	return true
}

func (s *Step) describe(e *chainEvent) {
	s.Action = cmp.Or(e.Action, s.Action)
	s.Model = cmp.Or(e.Model, s.Model)
	s.Description = cmp.Or(e.Description, s.Description)
	if e.Inputs != nil {
		s.Inputs = e.Inputs
	}
	if e.WaitsFor != nil {
		s.WaitsFor = e.WaitsFor
	}
}

// begin: a step that was spawned runs, and its start counts from there unless a
// started event tells better.
func (s *Step) begin(e *chainEvent, started bool) {
	if started || s.StartedAt.IsZero() || !s.CompletedAt.IsZero() {
		s.StartedAt = firstTime(e.StartedAt, e.Timestamp)
	}
	s.Status, s.CompletedAt, s.Duration = StatusInProgress, time.Time{}, 0
	s.Result, s.Error = nil, nil
}

func (s *Step) end(e *chainEvent, status string) {
	s.Status = cmp.Or(e.Status, status)
	s.CompletedAt = e.Timestamp
	s.Duration = duration(e, s.StartedAt, s.CompletedAt)
	if e.Result != nil {
		s.Result = e.Result
	}
	if e.Error != nil {
		s.Error = e.Error
	}
	if e.Learning != nil {
		s.Learning = e.Learning
	}
}
