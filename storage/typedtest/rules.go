package typedtest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// other is a second store over the same backend.
func (e *env) other() *storage.Store {
	if e.peer != nil {
		return e.peer()
	}
	return &storage.Store{Driver: e.store.Driver}
}

func lastWriterWins(e *env) {
	a, b := e.s, e.other()
	s := session("s1", "anna", storage.StatusPending, 1)
	got(a.SetSession(e.ctx, s)).must(e)
	s.User, s.Status, s.Summary = "ben", storage.StatusInProgress, "theirs"
	got(b.SetSession(e.ctx, s)).must(e)
	got(a.GetSession(e.ctx, "s1")).is(e, s)
	s.Summary = "ours"
	got(a.SetSession(e.ctx, s)).must(e)
	got(b.GetSession(e.ctx, "s1")).is(e, s)
	// A deletion is a writer too, and so is whoever comes after it.
	got(b.DeleteSession(e.ctx, "s1")).is(e, true)
	got(a.GetSession(e.ctx, "s1")).fails(e, storage.ErrNotFound)
	got(a.SetSession(e.ctx, s)).must(e)
	got(b.GetSession(e.ctx, "s1")).is(e, s)
}

// stamps: of two writers that shipped late, the one with the higher stamp wins
// whatever the order; a write without one is later than both.
func stamps(e *env) {
	put := func(name string, at time.Time) {
		e.Helper()
		results := got(e.store.Driver.Apply(e.ctx, []storage.Op{&storage.Put{
			Collection: "bookmarks", ID: "b1", Stamp: storage.Stamp{Micros: at.UnixMicro(), Producer: 1},
			Body: []byte(`{"id":"b1","explanation":"` + name + `"}`), Indexes: map[string]string{"user": ""},
		}})).must(e)
		ok(e, results[0].Err)
	}
	want := func(name string) {
		e.Helper()
		page := got(e.s.ListBookmarks(e.ctx, storage.BookmarkFilter{})).must(e)
		if len(page.Items) != 1 || page.Items[0].Explanation != name {
			e.Fatalf("bookmarks are %s, want %q", text(e, page.Items), name)
		}
	}
	later := time.Now().Add(time.Hour)
	put("later", later)
	put("earlier", later.Add(-time.Minute))
	want("later")
	b := bookmark("b1", "", "other", 1)
	b.Explanation = "without"
	got(e.s.AddBookmark(e.ctx, b)).must(e)
	want("without")
	put("again", later)
	want("without")
	got(e.s.RemoveBookmark(e.ctx, "b1")).is(e, true)
	put("after its deletion", later)
	same(e, len(got(e.s.ListBookmarks(e.ctx, storage.BookmarkFilter{})).must(e).Items), 0)
}

// concurrentWriters leave one whole record, that of one of them, found once.
func concurrentWriters(e *env) {
	stores := []storage.Storage{e.s, e.other()}
	const writers, each = 6, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				s := session("s1", fmt.Sprint("u", w), storage.StatusPending, w)
				s.Summary = s.User
				if _, err := stores[w%2].SetSession(e.ctx, s); err != nil {
					e.Errorf("set session: %v", err)
				}
				if err := stores[w%2].TrackFrequency(e.ctx, "build", both); err != nil {
					e.Errorf("track: %v", err)
				}
			}
		})
	}
	wg.Wait()
	s := got(e.s.GetSession(e.ctx, "s1")).must(e)
	same(e, s.Summary, s.User)
	got(e.s.ActiveUsers(e.ctx)).is(e, []string{s.User})
	found := 0
	for w := range writers {
		found += len(got(e.s.ListSessions(e.ctx, storage.SessionFilter{User: fmt.Sprint("u", w)})).must(e).Items)
	}
	same(e, found, 1)
	same(e, got(e.s.GetFrequency(e.ctx, "build", both)).must(e).Count, writers*each)
}

// unknownMembers: what this version does not know is kept at every level.
func unknownMembers(e *env) {
	const unknown = `"x-new":{"n":12345678901234567890,"deep":[{"a":null}]}`
	with := func(s string) string { return strings.ReplaceAll(s, "NEW", unknown) }
	keeps := func(record any, times int) {
		e.Helper()
		if s := text(e, record); strings.Count(s, unknown) != times {
			e.Fatalf("%s has %d times %s, want %d", s, strings.Count(s, unknown), unknown, times)
		}
	}
	got(e.s.SetSession(e.ctx, decode[storage.Session](e, with(`{"id":"s1","lastPrompt":{"text":"t","type":"text",NEW},NEW}`)))).must(e)
	keeps(got(e.s.GetSession(e.ctx, "s1")).must(e), 2)
	got(e.s.AddChain(e.ctx, decode[storage.Chain](e, with(`{"id":"c1","sessionId":"s1","steps":[{"stepNumber":1,NEW}],NEW}`)))).must(e)
	keeps(got(e.s.GetChain(e.ctx, "s1", "c1")).must(e), 2)
	e.event("s1", "step:completed", `{"chainId":"c1","stepNumber":1}`, true) // what is read, changed and written
	keeps(got(e.s.GetChain(e.ctx, "s1", "c1")).must(e), 2)
	keeps(got(e.s.GetSession(e.ctx, "s1")).must(e), 4)
	got(e.s.QueueCommand(e.ctx, decode[storage.CommandPayload](e, with(`{"sessionId":"s1","command":{"type":"pause",NEW},"context":{NEW},NEW}`)))).must(e)
	keeps(got(e.s.ListCommands(e.ctx, "s1")).must(e), 3)
	ok(e, e.s.SetWindowConfig(e.ctx, decode[storage.SessionWindowConfig](e, with(`{"sessionId":"s1","quickActions":[{"id":"q","label":"l",NEW}],NEW}`))))
	keeps(got(e.s.GetWindowConfig(e.ctx, "s1")).must(e), 2)
	got(e.s.AddBookmark(e.ctx, decode[storage.Bookmark](e, with(`{"sessionId":"s1","category":"other",NEW}`)))).must(e)
	keeps(got(e.s.ListBookmarks(e.ctx, storage.BookmarkFilter{})).must(e), 1)
	got(e.s.AddPattern(e.ctx, decode[storage.DetectedPattern](e, with(`{"projectId":"p","patternType":"sequence","sequence":{NEW},NEW}`)))).must(e)
	keeps(got(e.s.ListPatterns(e.ctx, storage.PatternFilter{})).must(e), 2)
	got(e.s.AddHarmonyCheck(e.ctx, decode[storage.HarmonyCheck](e, with(`{"sessionId":"s1","result":"violation","context":{NEW},NEW}`)))).must(e)
	keeps(got(e.s.ListHarmony(e.ctx, harmonySession, storage.HarmonyFilter{})).must(e), 2)
	keeps(got(e.s.HarmonyMetrics(e.ctx, harmonySession)).must(e), 2)
	got(e.s.SetDossier(e.ctx, decode[storage.IntelDossier](e, with(`{"id":"d1","name":"n",NEW}`)))).must(e)
	ok(e, e.s.AppendDossierHistory(e.ctx, "d1", decode[storage.DossierEntry](e, with(`{NEW}`))))
	keeps(got(e.s.GetDossier(e.ctx, "d1")).must(e), 2)
	got(e.s.AddSuggestion(e.ctx, decode[storage.SuggestionEntry](e, with(`{"id":"w1","needed":"n","fallback":{"type":"raw",NEW},NEW}`)))).must(e)
	keeps(got(e.s.IncrementSuggestion(e.ctx, "w1")).must(e), 2)
}

func errorsNameTheField(e *env) {
	long := strings.Repeat("x", storage.MaxID+1)
	big := json.RawMessage(`"` + strings.Repeat("x", storage.MaxRecord) + `"`)
	deep := json.RawMessage(strings.Repeat("[", storage.MaxDepth+1) + strings.Repeat("]", storage.MaxDepth+1))
	session := func(change func(*storage.Session)) func() error {
		return func() error {
			s := session("s1", "", "", 1)
			change(&s)
			_, err := e.s.SetSession(e.ctx, s)
			return err
		}
	}
	chain := func(change func(*storage.Chain)) func() error {
		return func() error {
			c := chain("s1", "c1", 1)
			c.Steps = []storage.Step{{StepNumber: 1}, {StepNumber: 2}}
			change(&c)
			_, err := e.s.AddChain(e.ctx, c)
			return err
		}
	}
	for _, tt := range []struct {
		field string
		do    func() error
	}{
		{"id", session(func(s *storage.Session) { s.ID = "" })},
		{"id", session(func(s *storage.Session) { s.ID = long })},
		{"id", session(func(s *storage.Session) { s.ID = "\xff" })},
		{"user", session(func(s *storage.Session) { s.User = "a\x00b" })},
		{"status", session(func(s *storage.Session) { s.Status = "none" })},
		{"conversationState", session(func(s *storage.Session) { s.ConversationState = "none" })},
		{"startedAt", session(func(s *storage.Session) { s.StartedAt = time.Unix(-1, 0) })},
		{"endedAt", session(func(s *storage.Session) { s.EndedAt = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) })},
		{"lastPrompt.type", session(func(s *storage.Session) { s.LastPrompt = &storage.Prompt{} })},
		{"", session(func(s *storage.Session) { s.Extra = storage.Extra{"x": big} })},
		{"", session(func(s *storage.Session) { s.Extra = storage.Extra{"x": deep} })},
		{"sessionId", chain(func(c *storage.Chain) { c.SessionID = "" })},
		{"source", chain(func(c *storage.Chain) { c.Source = "none" })},
		{"executionMode", chain(func(c *storage.Chain) { c.ExecutionMode = "none" })},
		{"steps[1].stepNumber", chain(func(c *storage.Chain) { c.Steps[1].StepNumber = 1 })},
		{"steps[0].stepNumber", chain(func(c *storage.Chain) { c.Steps[0].StepNumber = 0 })},
		{"steps", chain(func(c *storage.Chain) { c.Steps = make([]storage.Step, storage.MaxSteps+1) })},
		{"command.type", func() error { return got(e.s.QueueCommand(e.ctx, command("s1", "none"))).err }},
		{"sessionId", func() error { return got(e.s.QueueCommand(e.ctx, command("", "pause"))).err }},
		{"input", func() error { return got(e.s.PushInput(e.ctx, "s1", "", big)).err }},
		{"input", func() error { return got(e.s.PushInput(e.ctx, "s1", "", deep)).err }},
		{"category", func() error { return got(e.s.AddBookmark(e.ctx, bookmark("b", "", "", 1))).err }},
		{"confidence", func() error { return got(e.s.AddPattern(e.ctx, pattern("p", "p", "temporal", 1.1, 1))).err }},
		{"patternType", func() error { return got(e.s.AddPattern(e.ctx, pattern("p", "p", "none", 1, 1))).err }},
		{"result", func() error { return got(e.s.AddHarmonyCheck(e.ctx, check("s1", "", "none", 1))).err }},
		{"status", func() error {
			return got(e.s.SetDossier(e.ctx, storage.IntelDossier{Name: "n", Status: "none"})).err
		}},
		{"fallback.type", func() error {
			return got(e.s.AddSuggestion(e.ctx, storage.SuggestionEntry{Needed: "n"})).err
		}},
		{"frequency", func() error { return got(e.s.AddSuggestion(e.ctx, suggestion("w", -1))).err }},
		{"quickActions[0].label", func() error {
			return e.s.SetWindowConfig(e.ctx, storage.SessionWindowConfig{SessionID: "s", QuickActions: []storage.QuickAction{{ID: "q"}}})
		}},
		{"id", func() error { return got(e.s.DeleteSession(e.ctx, "")).err }},
		{"id", func() error { return got(e.s.RemoveBookmark(e.ctx, "")).err }},
		{"id", func() error { return got(e.s.DeleteDossier(e.ctx, "")).err }},
		{"id", func() error { return got(e.s.DeleteSuggestion(e.ctx, "")).err }},
		{"id", func() error { return got(e.s.IncrementSuggestion(e.ctx, "")).err }},
		{"id", func() error { return e.s.AppendDossierHistory(e.ctx, "", storage.DossierEntry{}) }},
	} {
		wantField(e, tt.do(), tt.field)
	}
	same(e, len(got(e.s.ListSessions(e.ctx, storage.SessionFilter{})).must(e).Items), 0)
}

// errorsNotFound: what cannot be an id names nothing.
func errorsNotFound(e *env) {
	for _, id := range []string{"", "unknown", "a\x00b", strings.Repeat("x", 10_000), "\xff"} {
		got(e.s.GetSession(e.ctx, id)).fails(e, storage.ErrNotFound)
		got(e.s.GetChain(e.ctx, id, id)).fails(e, storage.ErrNotFound)
		got(e.s.GetWindowConfig(e.ctx, id)).fails(e, storage.ErrNotFound)
		got(e.s.GetDossier(e.ctx, id)).fails(e, storage.ErrNotFound)
		got(e.s.GetSuggestion(e.ctx, id)).fails(e, storage.ErrNotFound)
		same(e, len(got(e.s.ListChains(e.ctx, id)).must(e)), 0)
		same(e, len(got(e.s.ListCommands(e.ctx, id)).must(e)), 0)
		same(e, len(got(e.s.Followed(e.ctx, id)).must(e)), 0)
		if id != "" {
			same(e, len(got(e.s.ListSessions(e.ctx, storage.SessionFilter{User: id})).must(e).Items), 0)
		}
	}
}

// spy notes the operations that a driver is asked for.
type spy struct {
	storage.Driver
	mu  sync.Mutex
	ops []storage.Op
}

func (s *spy) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	s.mu.Lock()
	s.ops = append(s.ops, ops...)
	s.mu.Unlock()
	return s.Driver.Apply(ctx, ops) //nolint:wrapcheck // as it is
}

// everyWriteIsBounded: nothing that the operations write can grow for ever, with
// the limits that are documented.
func everyWriteIsBounded(e *env) {
	s := &spy{Driver: e.store.Driver}
	e.store.Driver = s
	e.store.History = storage.History{MaxLen: 7}
	e.store.MaxSessions = 9
	e.fillSession("s1")
	e.track("build", both, 1)
	got(e.store.AddBookmark(e.ctx, bookmark("b1", "", "other", 1))).must(e)
	got(e.store.AddPattern(e.ctx, pattern("p1", "p", "temporal", 1, 1))).must(e)
	got(e.store.AddHarmonyCheck(e.ctx, check("s2", "p", storage.HarmonyValid, 1))).must(e)
	e.dossier("d1")
	e.append("d1", "1")
	e.suggest("w1", 1)
	e.store.Driver = s.Driver

	const quarter = 90 * 24 * time.Hour
	bound := func(most int, within string, age time.Duration) string {
		return fmt.Sprintf("%d/%s/%s", most, within, age)
	}
	bounds := make(map[string]string)
	for _, op := range s.ops {
		switch op := op.(type) {
		case *storage.Put:
			bounds[op.Collection] = bound(op.MaxMembers, op.Within, op.TTL)
		case *storage.Append:
			bounds[op.Log] = bound(op.MaxLen, "", op.MaxAge)
		case *storage.Push:
			bounds["input"] = bound(op.MaxLen, "", op.Remaining)
		case *storage.Add:
			if !op.IfExists { // those have the bound of their documents
				bounds[op.Collection] = bound(op.MaxMembers, "", 0)
			}
		}
	}
	want := map[string]string{
		"sessions": bound(9, "", 0), "windows": bound(9, "", 0), "chains": bound(storage.MaxChains, "session", quarter),
		"commands": bound(storage.MaxCommands, "session", storage.CommandAge), "follows": bound(storage.MaxFollowed, "user", 0),
		"frequencies": bound(storage.MaxActions, "", 0), "bookmarks": bound(storage.MaxBookmarks, "", 0),
		"patterns": bound(storage.MaxPatterns, "", 0), "dossiers": bound(storage.MaxDossiers, "", 0),
		"suggestions": bound(storage.MaxSuggestions, "", 0), "input": bound(storage.MaxInputs, "", storage.InputAge),
		"e:s1": bound(7, "", 0), "h:s:s1": bound(storage.MaxSessionChecks, "", quarter), "d:d1": bound(storage.MaxDossierHistory, "", 0),
		"h:s:s2": bound(storage.MaxSessionChecks, "", quarter), "h:p:p": bound(storage.MaxProjectChecks, "", quarter),
	}
	same(e, bounds, want)
}
