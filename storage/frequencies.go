package storage

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	// MaxActions is how many actions are counted in one scope.
	MaxActions = 10_000
	// dailyDays is for how many days counts are kept by the day, today included.
	dailyDays = 90
)

// Frequencies are the operations on how often actions are taken.
type Frequencies interface {
	// TrackFrequency counts an action of 1 to MaxID bytes once, now: in the scope of
	// its project and user together, of each of them, and of all. Of more than
	// MaxActions in a scope, the one that was taken least often goes.
	TrackFrequency(ctx context.Context, action string, scope FrequencyScope) error
	// GetFrequency answers how often an action was taken in a scope.
	GetFrequency(ctx context.Context, action string, scope FrequencyScope) (FrequencyRecord, error)
	// TopFrequencies answers the actions taken most often in a scope, at most n of
	// them; 0: DefaultPage; more than MaxPage is MaxPage.
	TopFrequencies(ctx context.Context, scope FrequencyScope, n int) ([]FrequencyRecord, error)
}

// FrequencyScope says whose actions are counted: of a project, of a user, of a user
// in a project, or with neither of all.
type FrequencyScope struct{ ProjectID, UserID string }

// name is the scope's name for the driver. Ids have no control characters, so that
// no two scopes share one.
func (f FrequencyScope) name() string { return "s:" + f.ProjectID + "\x00" + f.UserID }

func (f FrequencyScope) check() error {
	return firstError(checkOptionalID("projectId", f.ProjectID), checkOptionalID("userId", f.UserID))
}

// around answers the scope and all that it is part of.
func (f FrequencyScope) around() []FrequencyScope {
	scopes := []FrequencyScope{{}}
	if f.ProjectID != "" {
		scopes = append(scopes, FrequencyScope{ProjectID: f.ProjectID})
	}
	if f.UserID != "" {
		scopes = append(scopes, FrequencyScope{UserID: f.UserID})
	}
	if f.ProjectID != "" && f.UserID != "" {
		scopes = append(scopes, f)
	}
	return scopes
}

// The fields of a counted action; one for each day begins with fieldDay.
const (
	fieldCount = "count"
	fieldFirst = "first" // µs
	fieldLast  = "last"  // µs
	fieldDay   = "d:"
)

// TrackFrequency implements [Frequencies].
func (s *Store) TrackFrequency(ctx context.Context, action string, scope FrequencyScope) error {
	if err := firstError(checkID("actionType", action), scope.check()); err != nil {
		return err
	}
	at := now()
	var ops []Op
	for _, f := range scope.around() {
		ops = append(ops, &Add{
			Collection: collFrequencies, Scope: f.name(), Member: action,
			Deltas:   map[string]int64{fieldCount: 1, fieldDay + date(at): 1},
			Low:      map[string]int64{fieldFirst: at.UnixMicro()},
			High:     map[string]int64{fieldLast: at.UnixMicro()},
			TrimFrom: fieldDay, TrimTo: firstDay(at),
			RankBy: fieldCount, MaxMembers: MaxActions,
		})
	}
	_, err := s.apply(ctx, "track frequency", ops...)
	return err
}

// firstDay is the field of the oldest day that counts.
func firstDay(at time.Time) string { return fieldDay + date(at.AddDate(0, 0, 1-dailyDays)) }

// GetFrequency implements [Frequencies].
func (s *Store) GetFrequency(ctx context.Context, action string, scope FrequencyScope) (FrequencyRecord, error) {
	if err := firstError(checkID("actionType", action), scope.check()); err != nil {
		return FrequencyRecord{}, err
	}
	counters, err := s.Driver.Counters(ctx, collFrequencies, scope.name(), CounterQuery{Member: action})
	if err != nil {
		return FrequencyRecord{}, fmt.Errorf("get frequency: %w", err)
	}
	if len(counters) == 0 {
		return FrequencyRecord{}, fmt.Errorf("get frequency: %w", ErrNotFound)
	}
	return scope.record(counters[0], now()), nil
}

// TopFrequencies implements [Frequencies].
func (s *Store) TopFrequencies(ctx context.Context, scope FrequencyScope, n int) ([]FrequencyRecord, error) {
	if err := scope.check(); err != nil {
		return nil, err
	}
	if n < 0 {
		return nil, &FieldError{"limit", "must not be negative"}
	}
	if n == 0 {
		n = DefaultPage
	}
	counters, err := s.Driver.Counters(ctx, collFrequencies, scope.name(), CounterQuery{Top: min(n, MaxPage)})
	if err != nil {
		return nil, fmt.Errorf("list frequencies: %w", err)
	}
	records, at := make([]FrequencyRecord, len(counters)), now()
	for i, c := range counters {
		records[i] = scope.record(c, at)
	}
	return records, nil
}

// record reads a counted action. Days may be kept for longer than they count.
func (f FrequencyScope) record(c Counter, at time.Time) FrequencyRecord {
	r := FrequencyRecord{
		ActionType: c.Member, ProjectID: f.ProjectID, UserID: f.UserID, Count: c.Fields[fieldCount],
		FirstSeen: time.UnixMicro(c.Fields[fieldFirst]).UTC(), LastSeen: time.UnixMicro(c.Fields[fieldLast]).UTC(),
		DailyCounts: make(map[string]int64),
	}
	for field, n := range c.Fields {
		if day, ok := strings.CutPrefix(field, fieldDay); ok && field >= firstDay(at) {
			r.DailyCounts[day] = n
		}
	}
	return r
}
