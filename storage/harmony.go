package storage

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// How many checks are kept, for 90 days after the last one, and how long their
// text is.
const (
	MaxSessionChecks = 100
	MaxProjectChecks = 1000
	MaxHarmonyText   = 500 // characters
)

// Harmony are the operations on the checks of answers.
type Harmony interface {
	// AddHarmonyCheck adds a check to its session and, if it has one, its project,
	// and answers it as it was written: ID is drawn and Timestamp now where they are
	// missing, Text is cut to MaxHarmonyText. A check with an id that is there
	// already is not added again.
	AddHarmonyCheck(ctx context.Context, check HarmonyCheck) (HarmonyCheck, error)
	// ListHarmony answers the checks of a session or project in the order of their
	// arrival.
	ListHarmony(ctx context.Context, of HarmonyScope, f HarmonyFilter) ([]HarmonyCheck, error)
	// HarmonyMetrics sums up the checks of a session or project.
	HarmonyMetrics(ctx context.Context, of HarmonyScope) (HarmonyMetrics, error)
}

// HarmonyScope says whose checks are meant: exactly one is set.
type HarmonyScope struct{ SessionID, ProjectID string }

// HarmonyFilter says which checks are meant; what is empty matches all.
type HarmonyFilter struct {
	Result     string
	FormatType string // ParsedFormat
	Since      time.Time
	Limit      int // the newest so many; 0: all
}

const (
	sessionHarmony = "h:s:"
	projectHarmony = "h:p:"

	recentViolations = 10
	trendDays        = 7
)

// log answers the name of the scope's log, and how many of its entries count: it
// may keep some more.
func (h HarmonyScope) log() (name string, most int, err error) {
	switch {
	case h.SessionID != "" && h.ProjectID != "":
		return "", 0, &FieldError{"projectId", "cannot be given together with sessionId"}
	case h.SessionID != "":
		return sessionHarmony + h.SessionID, MaxSessionChecks, checkID("sessionId", h.SessionID)
	}
	return projectHarmony + h.ProjectID, MaxProjectChecks, checkID("projectId", h.ProjectID)
}

// AddHarmonyCheck implements [Harmony].
func (s *Store) AddHarmonyCheck(ctx context.Context, check HarmonyCheck) (HarmonyCheck, error) {
	if check.ID == "" {
		check.ID = newID()
	}
	check.Timestamp = firstTime(check.Timestamp, now())
	if text := []rune(check.Text); len(text) > MaxHarmonyText {
		check.Text = string(text[:MaxHarmonyText])
	}
	if err := check.check(); err != nil {
		return HarmonyCheck{}, err
	}
	body, err := encode(check, MaxSmallRecord)
	if err != nil {
		return HarmonyCheck{}, err
	}
	ops := []Op{&Append{
		Log: sessionHarmony + check.SessionID, ID: check.ID, Data: body,
		MaxLen: MaxSessionChecks, MaxAge: retention,
	}}
	if check.ProjectID != "" {
		ops = append(ops, &Append{
			Log: projectHarmony + check.ProjectID, ID: check.ID, Data: body,
			MaxLen: MaxProjectChecks, MaxAge: retention,
		})
	}
	_, err = s.apply(ctx, "add harmony check", ops...)
	return check, err
}

// ListHarmony implements [Harmony].
func (s *Store) ListHarmony(ctx context.Context, of HarmonyScope, f HarmonyFilter) ([]HarmonyCheck, error) {
	if err := checkResult(f.Result); err != nil {
		return nil, err
	}
	if f.Limit < 0 {
		return nil, &FieldError{"limit", "must not be negative"}
	}
	name, most, err := of.log()
	if err != nil {
		return nil, err
	}
	checks, _, err := readRecords[HarmonyCheck](ctx, s, name, most)
	if err != nil {
		return nil, err
	}
	checks = slices.DeleteFunc(checks, func(c HarmonyCheck) bool {
		return f.Result != "" && c.Result != f.Result ||
			f.FormatType != "" && (c.ParsedFormat == nil || *c.ParsedFormat != f.FormatType) ||
			c.Timestamp.Before(f.Since)
	})
	if f.Limit > 0 && len(checks) > f.Limit {
		checks = checks[len(checks)-f.Limit:]
	}
	return checks, nil
}

// readRecords answers the newest records of a log, the oldest first, and how many
// bytes they have.
func readRecords[T any](ctx context.Context, s *Store, log string, most int) (records []T, size int, err error) {
	page, err := s.Driver.ReadLog(ctx, log, LogQuery{Limit: most})
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", log, err)
	}
	if page.Degraded { // a part would pass for the whole
		return nil, 0, fmt.Errorf("read %s: %w", log, &UnavailableError{
			Reason: "not all of it is known here while the storage is away", RetryAfter: time.Second,
		})
	}
	entries := page.Entries[max(0, len(page.Entries)-most):]
	records = make([]T, len(entries))
	for i, e := range entries {
		if records[i], err = Decode[T](e.Data); err != nil {
			return nil, 0, fmt.Errorf("entry %q of %s cannot be read: %s", e.ID, log, err)
		}
		size += len(e.Data)
	}
	return records, size, nil
}

// HarmonyMetrics implements [Harmony].
func (s *Store) HarmonyMetrics(ctx context.Context, of HarmonyScope) (HarmonyMetrics, error) {
	checks, err := s.ListHarmony(ctx, of, HarmonyFilter{})
	if err != nil {
		return HarmonyMetrics{}, err
	}
	return reduceHarmony(checks, now()), nil
}

// reduceHarmony sums up checks, which are in the order of their arrival.
func reduceHarmony(checks []HarmonyCheck, at time.Time) HarmonyMetrics {
	m := HarmonyMetrics{
		TotalChecks: len(checks), RecentViolations: []HarmonyCheck{}, FormatBreakdown: make(map[string]int),
	}
	var days [trendDays]struct{ checks, good int }
	for _, c := range slices.Backward(checks) {
		good := 1
		switch c.Result {
		case HarmonyValid:
			m.ValidCount++
		case HarmonyDegraded:
			m.DegradedCount++
		default:
			good = 0
			m.ViolationCount++
			if len(m.RecentViolations) < recentViolations {
				m.RecentViolations = append(m.RecentViolations, c)
			}
		}
		if c.ParsedFormat != nil {
			m.FormatBreakdown[*c.ParsedFormat]++
		}
		if m.LastCheck == nil || c.Timestamp.After(*m.LastCheck) {
			m.LastCheck = &c.Timestamp
		}
		if ago := daysBetween(c.Timestamp, at); ago >= 0 && ago < trendDays {
			days[ago].checks++
			days[ago].good += good
		}
	}
	m.HarmonyPercentage = percentage(m.ValidCount+m.DegradedCount, m.TotalChecks)
	for ago, day := range slices.Backward(days[:]) {
		if day.checks > 0 {
			m.Trend = append(m.Trend, HarmonyDay{date(at.AddDate(0, 0, -ago)), percentage(day.good, day.checks), day.checks})
		}
	}
	return m
}

func percentage(good, total int) float64 {
	if total == 0 {
		return 100
	}
	return float64(good) / float64(total) * 100
}

// daysBetween counts the midnights in UTC between two times.
func daysBetween(from, to time.Time) int {
	const day = 24 * 60 * 60
	return int(to.Unix()/day - from.Unix()/day)
}
