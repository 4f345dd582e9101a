package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// MaxSuggestions is how many suggestions there are at most.
const MaxSuggestions = 500

// Suggestions are the operations on wishes for widgets.
type Suggestions interface {
	// GetSuggestion answers one suggestion.
	GetSuggestion(ctx context.Context, id string) (SuggestionEntry, error)
	// ListSuggestions answers all suggestions, those wished for most often first.
	ListSuggestions(ctx context.Context) ([]SuggestionEntry, error)
	// AddSuggestion writes a suggestion and answers it as it was written: ID is
	// drawn, Type widget_suggestion, Frequency 1 and Timestamp now where they are
	// missing. One whose id is known is left alone, and answered as it is. The one
	// wished for least often goes when there are more than MaxSuggestions.
	AddSuggestion(ctx context.Context, suggestion SuggestionEntry) (SuggestionEntry, error)
	// DeleteSuggestion removes a suggestion and reports whether it was there.
	DeleteSuggestion(ctx context.Context, id string) (bool, error)
	// IncrementSuggestion adds 1 to a suggestion's Frequency and answers it.
	IncrementSuggestion(ctx context.Context, id string) (SuggestionEntry, error)
}

// fieldFrequency counts how often a suggestion was wished for; what its document
// says of that is only where the count began.
const fieldFrequency = "frequency"

// GetSuggestion implements [Suggestions].
func (s *Store) GetSuggestion(ctx context.Context, id string) (SuggestionEntry, error) {
	entry, err := get[SuggestionEntry](ctx, s, collSuggestions, id)
	if err != nil {
		return SuggestionEntry{}, err
	}
	counters, err := s.Driver.Counters(ctx, collSuggestions, "", CounterQuery{Member: id})
	if err != nil {
		return SuggestionEntry{}, fmt.Errorf("get suggestion: %w", err)
	}
	for _, c := range counters {
		entry.Frequency = c.Fields[fieldFrequency]
	}
	return entry, nil
}

// ListSuggestions implements [Suggestions].
func (s *Store) ListSuggestions(ctx context.Context) ([]SuggestionEntry, error) {
	entries, _, err := all[SuggestionEntry](ctx, s, scan{collection: collSuggestions})
	if err != nil {
		return nil, err
	}
	counters, err := s.Driver.Counters(ctx, collSuggestions, "", CounterQuery{Top: MaxPage})
	if err != nil {
		return nil, fmt.Errorf("list suggestions: %w", err)
	}
	frequencies := make(map[string]int64, len(counters))
	for _, c := range counters {
		frequencies[c.Member] = c.Fields[fieldFrequency]
	}
	for i, e := range entries {
		entries[i].Frequency = cmp.Or(frequencies[e.ID], e.Frequency)
	}
	slices.SortStableFunc(entries, func(a, b SuggestionEntry) int { return cmp.Compare(b.Frequency, a.Frequency) })
	return entries, nil
}

// AddSuggestion implements [Suggestions].
func (s *Store) AddSuggestion(ctx context.Context, entry SuggestionEntry) (SuggestionEntry, error) {
	entry.ID = cmp.Or(entry.ID, newID())
	entry.Type = cmp.Or(entry.Type, suggestionType)
	entry.Frequency = cmp.Or(entry.Frequency, 1)
	entry.Timestamp = firstTime(entry.Timestamp, now())
	if err := entry.check(); err != nil {
		return SuggestionEntry{}, err
	}
	body, err := encode(entry, MaxSmallRecord)
	if err != nil {
		return SuggestionEntry{}, err
	}
	unlock, err := lock(ctx, collSuggestions)
	if err != nil {
		return SuggestionEntry{}, err
	}
	defer unlock()
	if known, err := s.GetSuggestion(ctx, entry.ID); !errors.Is(err, ErrNotFound) {
		return known, err
	}
	_, err = s.apply(ctx, "add suggestion",
		&Put{Collection: collSuggestions, ID: entry.ID, Body: body, MaxMembers: MaxSuggestions, Rank: entry.Frequency},
		addFrequency(entry.ID, entry.Frequency))
	return entry, err
}

func addFrequency(id string, n int64) *Add {
	return &Add{
		Collection: collSuggestions, Member: id, IfExists: true,
		Deltas: map[string]int64{fieldFrequency: n}, RankBy: fieldFrequency,
	}
}

// DeleteSuggestion implements [Suggestions].
func (s *Store) DeleteSuggestion(ctx context.Context, id string) (bool, error) {
	if err := checkID("id", id); err != nil {
		return false, err
	}
	return s.remove(ctx, collSuggestions, id)
}

// IncrementSuggestion implements [Suggestions].
func (s *Store) IncrementSuggestion(ctx context.Context, id string) (SuggestionEntry, error) {
	if err := checkID("id", id); err != nil {
		return SuggestionEntry{}, err
	}
	results, err := s.apply(ctx, "increment suggestion", addFrequency(id, 1))
	if err != nil {
		return SuggestionEntry{}, err
	}
	if !results[0].Exists {
		return SuggestionEntry{}, fmt.Errorf("increment suggestion: %w", ErrNotFound)
	}
	return s.GetSuggestion(ctx, id)
}
