package storage

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Days older than 90 do not count, though the driver may have them still.
func TestFrequencyRecordDays(t *testing.T) {
	at := time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC)
	fields := map[string]int64{fieldCount: 9, fieldFirst: 1_000_000, fieldLast: at.UnixMicro()}
	want := make(map[string]int64)
	for ago := range dailyDays + 20 {
		day := date(at.AddDate(0, 0, -ago))
		fields[fieldDay+day] = int64(ago + 1)
		if ago < 90 {
			want[day] = int64(ago + 1)
		}
	}
	r := FrequencyScope{ProjectID: "p"}.record(Counter{Member: "a", Fields: fields}, at)
	if r.Count != 9 || !r.FirstSeen.Equal(time.Unix(1, 0)) || !r.LastSeen.Equal(at) || !reflect.DeepEqual(r.DailyCounts, want) {
		t.Fatalf("record is %+v", r)
	}
}

func TestReduceHarmony(t *testing.T) {
	at := time.Date(2026, 3, 10, 0, 30, 0, 0, time.UTC)
	list, table := "list", "table"
	var checks []HarmonyCheck
	check := func(result string, format *string, before time.Duration) {
		checks = append(checks, HarmonyCheck{
			ID: fmt.Sprint(len(checks)), Result: result, ParsedFormat: format, Timestamp: at.Add(-before),
		})
	}
	const hour = time.Hour
	check(HarmonyViolation, nil, 8*24*hour)    // before the trend
	check(HarmonyValid, &list, 6*24*hour+hour) // a date 7 days ago
	check(HarmonyViolation, nil, 6*24*hour)    // its first day
	check(HarmonyDegraded, &table, 6*24*hour)
	for range 10 {
		check(HarmonyViolation, &list, hour) // yesterday
	}
	check(HarmonyValid, &list, 0)
	check(HarmonyDegraded, nil, 2*hour) // arrives last, but is not the latest
	m := reduceHarmony(checks, at)
	recent := ""
	for _, c := range m.RecentViolations {
		recent += c.ID + " "
	}
	if recent != "13 12 11 10 9 8 7 6 5 4 " {
		t.Errorf("recent violations are %s", recent)
	}
	want := HarmonyMetrics{
		TotalChecks: 16, ValidCount: 2, DegradedCount: 2, ViolationCount: 12, HarmonyPercentage: 25,
		RecentViolations: m.RecentViolations, FormatBreakdown: map[string]int{"list": 12, "table": 1}, LastCheck: &at,
		Trend: []HarmonyDay{{"2026-03-04", 50, 2}, {"2026-03-09", 100. / 11, 11}, {"2026-03-10", 100, 1}},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("metrics are\n%+v\nwant\n%+v", m, want)
	}
	if m := reduceHarmony(nil, at); m.HarmonyPercentage != 100 || m.LastCheck != nil || m.RecentViolations == nil {
		t.Errorf("without checks they are %+v", m)
	}
}

// A rank stays within what a driver takes, whatever the time, and an unfinished
// session goes after all others.
func TestSessionRank(t *testing.T) {
	far := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	done := Session{Status: StatusFailed, StartedAt: far}
	running := Session{Status: StatusInProgress, StartedAt: time.Unix(0, 0)}
	if done.rank() >= running.rank() {
		t.Errorf("%d is not below %d", done.rank(), running.rank())
	}
	running.StartedAt = far
	if r := running.rank(); r >= maxExact {
		t.Errorf("rank is %d", r)
	}
}

func TestCommandSession(t *testing.T) {
	for _, session := range []string{"s1", "a:b", ":", strings.Repeat("x", MaxID)} {
		first, second := NewCommandID(session), NewCommandID(session)
		if got, ok := CommandSession(first); !ok || got != session || first >= second {
			t.Errorf("%q: %q, %t", first, got, ok)
		}
	}
	for _, id := range []string{"", "s1", "s1:", ":x"} {
		if session, ok := CommandSession(id); ok {
			t.Errorf("%q is a command to %q", id, session)
		}
	}
}
