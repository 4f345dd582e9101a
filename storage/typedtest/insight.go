package typedtest

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func bookmark(id, user, category string, at int, tags ...string) storage.Bookmark {
	return storage.Bookmark{
		ID: id, SessionID: "s1", UserID: user, Category: category, Timestamp: day(at), Tags: tags,
	}
}

const fullBookmark = `{"id":"b1","sessionId":"s1","messageIndex":4,"messageContent":"<b>&","category":"good-output","explanation":"e",
	"timestamp":"2026-03-01T10:00:00Z","userId":"anna","projectId":"p","tags":["x","y"],"mine":{"deep":[{}]}}`

func addBookmark(e *env) {
	want := decode[storage.Bookmark](e, fullBookmark)
	got(e.s.AddBookmark(e.ctx, want)).is(e, want)
	same(e, got(e.store.ListBookmarks(e.ctx, storage.BookmarkFilter{})).must(e).Items, []storage.Bookmark{want})
	want.Explanation = "replaced"
	got(e.s.AddBookmark(e.ctx, want)).is(e, want)
	same(e, got(e.store.ListBookmarks(e.ctx, storage.BookmarkFilter{})).must(e).Items, []storage.Bookmark{want})
	b := got(e.s.AddBookmark(e.ctx, storage.Bookmark{SessionID: "s", Category: "other"})).must(e)
	recent(e, b.Timestamp)
	if b.ID == "" {
		e.Fatal("no id was drawn")
	}
}

func listBookmarks(e *env) {
	for _, b := range []storage.Bookmark{
		bookmark("b1", "anna", "other", 1, "x", "y"), bookmark("b2", "anna", "good-output", 2, "y"),
		bookmark("b3", "ben", "other", 3, "x"), bookmark("b4", "", "good-output", 4),
	} {
		got(e.store.AddBookmark(e.ctx, b)).must(e)
	}
	for _, tt := range []struct {
		filter storage.BookmarkFilter
		want   string
	}{
		{storage.BookmarkFilter{}, "b1 b2 b3 b4"},
		{storage.BookmarkFilter{Category: "other"}, "b1 b3"},
		{storage.BookmarkFilter{User: "anna"}, "b1 b2"},
		{storage.BookmarkFilter{Since: day(3)}, "b3 b4"},
		{storage.BookmarkFilter{Tags: []string{"x"}}, "b1 b3"},
		{storage.BookmarkFilter{Tags: []string{"x", "y"}}, "b1"},
		{storage.BookmarkFilter{User: "anna", Category: "other", Since: day(1), Tags: []string{"y"}}, "b1"},
		{storage.BookmarkFilter{User: "anna", Since: day(2).Add(time.Nanosecond)}, ""},
		{storage.BookmarkFilter{Paging: storage.Paging{After: "b1", Limit: 2}}, "b2 b3 and more"},
	} {
		page := got(e.s.ListBookmarks(e.ctx, tt.filter)).must(e)
		var ids []string
		for _, b := range page.Items {
			ids = append(ids, b.ID)
		}
		if page.Next != "" {
			ids = append(ids, "and more")
		}
		same(e, strings.Join(ids, " "), tt.want)
	}
	got(e.s.ListBookmarks(e.ctx, storage.BookmarkFilter{Category: "none"})).wrong(e, "category")
}

func removeBookmark(e *env) {
	got(e.s.RemoveBookmark(e.ctx, "b1")).is(e, false)
	for _, id := range []string{"b1", "b2"} {
		got(e.store.AddBookmark(e.ctx, bookmark(id, "anna", "other", 1))).must(e)
	}
	got(e.s.RemoveBookmark(e.ctx, "b1")).is(e, true)
	page := got(e.store.ListBookmarks(e.ctx, storage.BookmarkFilter{})).must(e)
	same(e, page.Items, []storage.Bookmark{bookmark("b2", "anna", "other", 1)})
}

func pattern(id, project, patternType string, confidence float64, seen int) storage.DetectedPattern {
	return storage.DetectedPattern{
		ID: id, ProjectID: project, PatternType: patternType, Confidence: confidence, DetectedAt: day(0), LastSeen: day(seen),
	}
}

const fullPattern = `{"id":"p1","projectId":"p","patternType":"sequence","confidence":0.75,"description":"d","actionType":"a",
	"sequence":{"actions":["a","b"],"count":3,"avgGapMs":1.5,"lastOccurrence":"2026-03-01T10:00:00Z","mine":1},
	"relatedBookmarkIds":["b1"],"detectedAt":"2026-03-01T10:00:00Z","lastSeen":"2026-03-02T10:00:00Z","mine":2}`

func addPattern(e *env) {
	want := decode[storage.DetectedPattern](e, fullPattern)
	got(e.s.AddPattern(e.ctx, want)).is(e, want)
	want.Confidence = 1
	got(e.s.AddPattern(e.ctx, want)).is(e, want)
	same(e, got(e.store.ListPatterns(e.ctx, storage.PatternFilter{})).must(e).Items, []storage.DetectedPattern{want})
	p := got(e.s.AddPattern(e.ctx, storage.DetectedPattern{ProjectID: "p", PatternType: "temporal"})).must(e)
	recent(e, p.DetectedAt)
	same(e, p.LastSeen, p.DetectedAt)
	if p.ID == "" {
		e.Fatal("no id was drawn")
	}
}

func listPatterns(e *env) {
	for _, p := range []storage.DetectedPattern{
		pattern("a", "p", "frequency", 0.1, 1), pattern("b", "p", "temporal", 0.5, 2),
		pattern("c", "q", "frequency", 0.9, 3), pattern("d", "p", "frequency", 1, 4),
	} {
		got(e.store.AddPattern(e.ctx, p)).must(e)
	}
	for _, tt := range []struct {
		filter storage.PatternFilter
		want   string
	}{
		{storage.PatternFilter{}, "abcd"},
		{storage.PatternFilter{Project: "p"}, "abd"},
		{storage.PatternFilter{Type: "frequency"}, "acd"},
		{storage.PatternFilter{MinConfidence: 0.5}, "bcd"},
		{storage.PatternFilter{Since: day(3)}, "cd"},
		{storage.PatternFilter{Project: "p", Type: "frequency", MinConfidence: 0.2, Since: day(1)}, "d"},
	} {
		var ids strings.Builder
		for _, p := range got(e.s.ListPatterns(e.ctx, tt.filter)).must(e).Items {
			ids.WriteString(p.ID)
		}
		same(e, ids.String(), tt.want)
	}
	got(e.s.ListPatterns(e.ctx, storage.PatternFilter{Type: "none"})).wrong(e, "patternType")
}

func check(session, project, result string, at int) storage.HarmonyCheck {
	return storage.HarmonyCheck{
		ID: fmt.Sprint("h", at), SessionID: session, ProjectID: project, Result: result, Timestamp: day(at),
	}
}

const fullCheck = `{"id":"h1","sessionId":"s1","projectId":"p","timestamp":"2026-03-01T10:00:00Z","text":"t","parsedFormat":"list",
	"result":"degraded","missingFields":["a"],"context":{"stepNumber":1,"chainId":"c1","actionType":"a","mine":1},"contractVersion":"2","mine":3}`

var (
	harmonySession = storage.HarmonyScope{SessionID: "s1"}
	harmonyProject = storage.HarmonyScope{ProjectID: "p"}
)

func addHarmonyCheck(e *env) {
	want := decode[storage.HarmonyCheck](e, fullCheck)
	for range 2 { // a known id is the same check
		got(e.s.AddHarmonyCheck(e.ctx, want)).is(e, want)
	}
	for _, scope := range []storage.HarmonyScope{harmonySession, harmonyProject} {
		got(e.store.ListHarmony(e.ctx, scope, storage.HarmonyFilter{})).is(e, []storage.HarmonyCheck{want})
	}
	c := got(e.s.AddHarmonyCheck(e.ctx, storage.HarmonyCheck{
		SessionID: "s2", Result: storage.HarmonyValid, Text: strings.Repeat("ä", storage.MaxHarmonyText+1),
	})).must(e)
	recent(e, c.Timestamp)
	if c.ID == "" || c.Text != strings.Repeat("ä", storage.MaxHarmonyText) {
		e.Fatalf("answered %s", text(e, c))
	}
	got(e.store.ListHarmony(e.ctx, storage.HarmonyScope{SessionID: "s2"}, storage.HarmonyFilter{})).is(e, []storage.HarmonyCheck{c})
}

func listHarmony(e *env) {
	same(e, len(got(e.s.ListHarmony(e.ctx, harmonySession, storage.HarmonyFilter{})).must(e)), 0)
	format := "list"
	for i, result := range []string{storage.HarmonyValid, storage.HarmonyViolation, storage.HarmonyDegraded, storage.HarmonyViolation} {
		c := check("s1", "p", result, i)
		if i >= 2 {
			c.ParsedFormat = &format
		}
		got(e.store.AddHarmonyCheck(e.ctx, c)).must(e)
	}
	got(e.store.AddHarmonyCheck(e.ctx, check("s2", "p", storage.HarmonyValid, 9))).must(e)
	for _, tt := range []struct {
		scope  storage.HarmonyScope
		filter storage.HarmonyFilter
		want   string
	}{
		{harmonySession, storage.HarmonyFilter{}, "h0h1h2h3"},
		{harmonyProject, storage.HarmonyFilter{}, "h0h1h2h3h9"},
		{harmonySession, storage.HarmonyFilter{Result: storage.HarmonyViolation}, "h1h3"},
		{harmonySession, storage.HarmonyFilter{FormatType: "list"}, "h2h3"},
		{harmonySession, storage.HarmonyFilter{Since: day(1)}, "h1h2h3"},
		{harmonySession, storage.HarmonyFilter{Limit: 2}, "h2h3"},
		{harmonySession, storage.HarmonyFilter{Result: storage.HarmonyViolation, FormatType: "list", Since: day(1), Limit: 1}, "h3"},
	} {
		var ids strings.Builder
		for _, c := range got(e.s.ListHarmony(e.ctx, tt.scope, tt.filter)).must(e) {
			ids.WriteString(c.ID)
		}
		same(e, ids.String(), tt.want)
	}
	got(e.s.ListHarmony(e.ctx, harmonySession, storage.HarmonyFilter{Result: "none"})).wrong(e, "result")
	got(e.s.ListHarmony(e.ctx, storage.HarmonyScope{}, storage.HarmonyFilter{})).wrong(e, "projectId")
	got(e.s.ListHarmony(e.ctx, storage.HarmonyScope{SessionID: "s", ProjectID: "p"}, storage.HarmonyFilter{})).wrong(e, "projectId")
}

func harmonyMetrics(e *env) {
	same(e, got(e.s.HarmonyMetrics(e.ctx, harmonySession)).must(e), storage.HarmonyMetrics{
		HarmonyPercentage: 100, RecentViolations: []storage.HarmonyCheck{}, FormatBreakdown: map[string]int{},
	})
	results := []string{storage.HarmonyValid, storage.HarmonyDegraded, storage.HarmonyViolation, storage.HarmonyValid}
	format := "list"
	checks := make([]storage.HarmonyCheck, 0, len(results))
	for i, result := range results {
		c := check("s1", "p", result, i)
		c.ParsedFormat = &format
		checks = append(checks, got(e.store.AddHarmonyCheck(e.ctx, c)).must(e))
	}
	for _, scope := range []storage.HarmonyScope{harmonySession, harmonyProject} {
		last := day(3)
		same(e, got(e.s.HarmonyMetrics(e.ctx, scope)).must(e), storage.HarmonyMetrics{
			TotalChecks: 4, ValidCount: 2, DegradedCount: 1, ViolationCount: 1, HarmonyPercentage: 75,
			RecentViolations: checks[2:3], FormatBreakdown: map[string]int{"list": 4}, LastCheck: &last,
		})
	}
}

func limitHarmony(e *env) {
	const sessions = 12 // of which each adds as many checks as it may have
	var wg sync.WaitGroup
	for s := range sessions {
		wg.Go(func() {
			for i := range storage.MaxSessionChecks + 1 {
				c := check(fmt.Sprint("s", s), "p", storage.HarmonyValid, i)
				c.ID = fmt.Sprintf("%d-%d", s, i)
				if _, err := e.store.AddHarmonyCheck(e.ctx, c); err != nil {
					e.Errorf("add check: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	checks := got(e.s.ListHarmony(e.ctx, harmonySession, storage.HarmonyFilter{})).must(e)
	same(e, len(checks), storage.MaxSessionChecks)
	same(e, checks[0].ID, "1-1")
	same(e, len(got(e.s.ListHarmony(e.ctx, harmonyProject, storage.HarmonyFilter{})).must(e)), storage.MaxProjectChecks)
	same(e, got(e.s.HarmonyMetrics(e.ctx, harmonyProject)).must(e).TotalChecks, storage.MaxProjectChecks)
}
