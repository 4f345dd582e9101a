package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

const (
	// MaxInputs is how many inputs wait in a session at most.
	MaxInputs = 100
	// InputAge is how long an input waits to be taken.
	InputAge = 5 * time.Minute
)

// Inputs are the operations on what users send to a session. An input is handed
// out at most once, and never when the answer that hands it out is lost.
type Inputs interface {
	// PushInput puts any JSON value of at most MaxRecord bytes and MaxDepth levels
	// into a session's queue and answers the id under which it waits, which is drawn if it is empty;
	// one that waits already, or has been taken within InputAge, is not queued
	// again. The error wraps [ErrFull] while MaxInputs are waiting.
	PushInput(ctx context.Context, session, id string, input json.RawMessage) (string, error)
	// TakeInput takes the oldest inputs out of a session's queue, at most so many;
	// 0 takes all.
	TakeInput(ctx context.Context, session string, most int) ([]Input, error)
	// ClearInput empties a session's queue and answers how many inputs it had.
	ClearInput(ctx context.Context, session string) (int, error)
}

// PushInput implements [Inputs].
func (s *Store) PushInput(ctx context.Context, session, id string, input json.RawMessage) (string, error) {
	if id == "" {
		id = newID()
	}
	if err := firstError(checkID("sessionId", session), checkID("id", id)); err != nil {
		return "", err
	}
	switch {
	case len(input) > MaxRecord:
		return "", &FieldError{"input", fmt.Sprintf("has %d bytes, at most %d are allowed", len(input), MaxRecord)}
	case !utf8.Valid(input), !json.Valid(input):
		return "", &FieldError{"input", "must be a JSON value"}
	case tooDeep(input):
		return "", &FieldError{"input", deeper}
	}
	_, err := s.apply(ctx, "push input", &Push{
		Queue: eventLog + session, ID: id, Data: input, Remaining: InputAge, MaxLen: MaxInputs,
	})
	return id, err
}

// TakeInput implements [Inputs].
func (s *Store) TakeInput(ctx context.Context, session string, most int) ([]Input, error) {
	if most < 0 {
		return nil, &FieldError{"limit", "must not be negative"}
	}
	items, err := s.Driver.Take(ctx, eventLog+session, most)
	if err != nil {
		return nil, fmt.Errorf("take input: %w", err)
	}
	inputs := make([]Input, len(items))
	for i, item := range items {
		inputs[i] = Input{ID: item.ID, Input: item.Data, ReceivedAt: item.Received.UTC()}
	}
	return inputs, nil
}

// ClearInput implements [Inputs]. A queue holds no more than one Take answers.
func (s *Store) ClearInput(ctx context.Context, session string) (int, error) {
	items, err := s.Driver.Take(ctx, eventLog+session, MaxPage)
	if err != nil {
		return 0, fmt.Errorf("clear input: %w", err)
	}
	return len(items), nil
}
