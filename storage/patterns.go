package storage

import (
	"context"
	"time"
)

// MaxPatterns is how many patterns there are at most.
const MaxPatterns = 10_000

// Patterns are the operations on the habits that were noticed.
type Patterns interface {
	// AddPattern writes a pattern and answers it as it was written: ID is drawn, and
	// DetectedAt and LastSeen are now where they are missing. One with the same id
	// is replaced. The one that was seen last longest ago goes when there are more
	// than MaxPatterns.
	AddPattern(ctx context.Context, pattern DetectedPattern) (DetectedPattern, error)
	// ListPatterns answers patterns by id, which for drawn ones is by time.
	ListPatterns(ctx context.Context, f PatternFilter) (Page[DetectedPattern], error)
}

// PatternFilter says which patterns are meant; what is empty matches all.
type PatternFilter struct {
	Project       string
	Type          string
	MinConfidence float64
	Since         time.Time // LastSeen at or after it
	Paging
}

// AddPattern implements [Patterns].
func (s *Store) AddPattern(ctx context.Context, p DetectedPattern) (DetectedPattern, error) {
	if p.ID == "" {
		p.ID = newID()
	}
	p.DetectedAt = firstTime(p.DetectedAt, now())
	p.LastSeen = firstTime(p.LastSeen, p.DetectedAt)
	if err := p.check(); err != nil {
		return DetectedPattern{}, err
	}
	body, err := encode(p, MaxSmallRecord)
	if err != nil {
		return DetectedPattern{}, err
	}
	_, err = s.apply(ctx, "add pattern", &Put{
		Collection: collPatterns, ID: p.ID, Body: body, Indexes: map[string]string{indexProject: p.ProjectID},
		MaxMembers: MaxPatterns, Rank: rankOf(p.LastSeen),
	})
	return p, err
}

// ListPatterns implements [Patterns].
func (s *Store) ListPatterns(ctx context.Context, f PatternFilter) (Page[DetectedPattern], error) {
	if err := checkPatternType(f.Type); err != nil {
		return Page[DetectedPattern]{}, err
	}
	from := scan{collection: collPatterns}
	if f.Project != "" {
		from.index, from.value = indexProject, f.Project
	}
	return list(ctx, s, from, f.Paging, func(p *DetectedPattern) bool {
		return (f.Type == "" || p.PatternType == f.Type) && p.Confidence >= f.MinConfidence && !p.LastSeen.Before(f.Since)
	})
}

// GetPattern answers one pattern.
func (s *Store) GetPattern(ctx context.Context, id string) (DetectedPattern, error) {
	return get[DetectedPattern](ctx, s, collPatterns, id)
}

// RemovePattern removes a pattern and reports whether it was there.
func (s *Store) RemovePattern(ctx context.Context, id string) (bool, error) {
	if err := checkID("id", id); err != nil {
		return false, err
	}
	return s.remove(ctx, collPatterns, id)
}
