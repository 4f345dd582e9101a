package typedtest

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/actionflows/lifeline/storage"
)

const fullSession = `{"id":"s1","user":"anna","cwd":"/work","hostname":"box","platform":"linux","chains":[],
	"currentChain":{"id":"c9"},"status":"in_progress","conversationState":"awaiting_input",
	"lastPrompt":{"text":"Go on?","type":"binary","quickResponses":["yes","no"],"timestamp":"2026-03-01T10:00:00.5Z"},
	"startedAt":"2026-03-01T09:00:00.123456Z","endReason":"none","summary":"so far",
	"totalStepsExecuted":3,"totalChainsCompleted":1,"criticalErrors":["e",{"code":1}],"metadata":{"k":[1,2]},"mine":{"a":1}}`

func session(id, user, status string, started int) storage.Session {
	return storage.Session{ID: id, User: user, Status: status, StartedAt: day(started)}
}

func (e *env) set(sessions ...storage.Session) {
	e.Helper()
	for _, s := range sessions {
		got(e.store.SetSession(e.ctx, s)).must(e)
	}
}

func sessionIDs(p storage.Page[storage.Session]) []string {
	ids := make([]string, len(p.Items))
	for i, s := range p.Items {
		ids[i] = s.ID
	}
	return ids
}

func getSession(e *env) {
	got(e.s.GetSession(e.ctx, "s1")).fails(e, storage.ErrNotFound)
	want := decode[storage.Session](e, fullSession)
	e.set(want)
	got(e.s.GetSession(e.ctx, "s1")).is(e, want)
	chain := got(e.store.AddChain(e.ctx, storage.Chain{SessionID: "s1", Title: "t"})).must(e)
	want.Chains = []storage.Chain{chain}
	got(e.s.GetSession(e.ctx, "s1")).is(e, want)
}

func setSession(e *env) {
	want := decode[storage.Session](e, fullSession)
	got(e.s.SetSession(e.ctx, want)).is(e, want)
	got(e.store.GetSession(e.ctx, "s1")).is(e, want)

	// What is missing is filled in.
	s := got(e.s.SetSession(e.ctx, storage.Session{ID: "s2"})).must(e)
	recent(e, s.StartedAt)
	same(e, s, storage.Session{ID: "s2", Status: storage.StatusPending, StartedAt: s.StartedAt})
	s = session("s3", "", storage.StatusCompleted, 1)
	s.EndedAt = day(2)
	s = got(e.s.SetSession(e.ctx, s)).must(e)
	same(e, s.Duration, 24*60*60*1000)
	s.EndedAt = storage.Session{}.EndedAt
	recent(e, got(e.s.SetSession(e.ctx, s)).must(e).EndedAt)
	// What a client says of chains is not kept.
	big := storage.Chain{ID: "c", Summary: strings.Repeat("x", storage.MaxRecord)}
	got(e.s.SetSession(e.ctx, storage.Session{ID: "s2", Chains: []storage.Chain{big}})).must(e)
	same(e, len(got(e.store.GetSession(e.ctx, "s2")).must(e).Chains), 0)
}

// deleteSession removes what is about the session, and nothing of another.
func deleteSession(e *env) {
	got(e.s.DeleteSession(e.ctx, "s1")).is(e, false)
	for _, id := range []string{"s1", "s2"} {
		e.fillSession(id)
	}
	got(e.s.DeleteSession(e.ctx, "s1")).is(e, true)
	got(e.store.GetSession(e.ctx, "s1")).fails(e, storage.ErrNotFound)
	got(e.store.GetWindowConfig(e.ctx, "s1")).fails(e, storage.ErrNotFound)
	same(e, e.count("s1"), "0 events, 0 inputs, 0 chains, 0 commands, 0 checks, 1 followed")
	got(e.s.DeleteSession(e.ctx, "s1")).is(e, false)

	got(e.store.GetSession(e.ctx, "s2")).must(e)
	got(e.store.GetWindowConfig(e.ctx, "s2")).must(e)
	same(e, e.count("s2"), "1 events, 1 inputs, 1 chains, 1 commands, 1 checks, 1 followed")

	// Events and input exist without a record.
	got(e.store.AddEvent(e.ctx, "s1", "e2", []byte(`{}`))).must(e)
	got(e.s.DeleteSession(e.ctx, "s1")).is(e, true)
	got(e.s.DeleteSession(e.ctx, "s1")).is(e, false)
}

func (e *env) fillSession(id string) {
	e.Helper()
	e.set(session(id, "anna", storage.StatusPending, 1))
	got(e.store.AddEvent(e.ctx, id, "e1", []byte(`{}`))).must(e)
	got(e.store.PushInput(e.ctx, id, "", json.RawMessage(`1`))).must(e)
	got(e.store.AddChain(e.ctx, storage.Chain{SessionID: id})).must(e)
	got(e.store.QueueCommand(e.ctx, command(id, "pause"))).must(e)
	got(e.store.AddHarmonyCheck(e.ctx, check(id, "", storage.HarmonyValid, 1))).must(e)
	got(e.store.Follow(e.ctx, "anna", id)).must(e)
	ok(e, e.store.SetWindowConfig(e.ctx, storage.SessionWindowConfig{SessionID: id}))
}

// count sums up what there is beside a session's record, and takes its input.
func (e *env) count(id string) string {
	e.Helper()
	return fmt.Sprintf("%d events, %d inputs, %d chains, %d commands, %d checks, %d followed",
		len(got(e.store.ReadEvents(e.ctx, id, storage.LogQuery{})).must(e).Entries),
		len(got(e.store.TakeInput(e.ctx, id, 0)).must(e)),
		len(got(e.store.ListChains(e.ctx, id)).must(e)),
		len(got(e.store.ListCommands(e.ctx, id)).must(e)),
		len(got(e.store.ListHarmony(e.ctx, storage.HarmonyScope{SessionID: id}, storage.HarmonyFilter{})).must(e)),
		len(got(e.store.Followed(e.ctx, "anna")).must(e)))
}

func sessionsByUser(e *env) {
	e.set(session("a1", "anna", storage.StatusPending, 1), session("b1", "ben", storage.StatusPending, 2),
		session("a2", "anna", storage.StatusFailed, 3), session("n1", "", storage.StatusFailed, 4))
	chain := got(e.store.AddChain(e.ctx, storage.Chain{SessionID: "a2"})).must(e)
	for _, tt := range []struct {
		filter storage.SessionFilter
		want   []string
	}{
		{storage.SessionFilter{}, []string{"a1", "a2", "b1", "n1"}},
		{storage.SessionFilter{User: "anna"}, []string{"a1", "a2"}},
		{storage.SessionFilter{Status: storage.StatusFailed}, []string{"a2", "n1"}},
		{storage.SessionFilter{User: "anna", Status: storage.StatusFailed}, []string{"a2"}},
		{storage.SessionFilter{User: "nobody"}, []string{}},
	} {
		same(e, sessionIDs(got(e.s.ListSessions(e.ctx, tt.filter)).must(e)), tt.want)
	}
	page := got(e.s.ListSessions(e.ctx, storage.SessionFilter{User: "anna"})).must(e)
	same(e, page.Items[1].Chains, []storage.Chain{chain})
	// A session that changes hands is found under its new owner only.
	e.set(session("a1", "ben", storage.StatusPending, 1))
	same(e, sessionIDs(got(e.s.ListSessions(e.ctx, storage.SessionFilter{User: "anna"})).must(e)), []string{"a2"})
	same(e, sessionIDs(got(e.s.ListSessions(e.ctx, storage.SessionFilter{User: "ben"})).must(e)), []string{"a1", "b1"})
}

func activeUsers(e *env) {
	same(e, got(e.s.ActiveUsers(e.ctx)).must(e), nil)
	e.set(session("b1", "ben", storage.StatusInProgress, 1), session("a1", "anna", storage.StatusPending, 1),
		session("a2", "anna", storage.StatusPending, 1), session("c1", "cleo", storage.StatusSkipped, 1),
		session("n1", "", storage.StatusPending, 1))
	got(e.s.ActiveUsers(e.ctx)).is(e, []string{"anna", "ben"})
	e.set(session("b1", "ben", storage.StatusCompleted, 1), session("c1", "cleo", storage.StatusPending, 1))
	got(e.s.ActiveUsers(e.ctx)).is(e, []string{"anna", "cleo"})
}

func limitSessions(e *env) {
	e.store.MaxSessions = 3
	e.set(session("run1", "", storage.StatusInProgress, 1), session("done5", "", storage.StatusCompleted, 5),
		session("done4", "", storage.StatusFailed, 4))
	want := func(ids ...string) {
		e.Helper()
		same(e, sessionIDs(got(e.s.ListSessions(e.ctx, storage.SessionFilter{})).must(e)), ids)
	}
	e.set(session("run2", "", storage.StatusPending, 2))
	want("done5", "run1", "run2")
	e.set(session("run3", "", storage.StatusPending, 3))
	want("run1", "run2", "run3")
	e.set(session("run1", "", storage.StatusSkipped, 9)) // one that ended goes, however late it began
	e.set(session("run4", "", storage.StatusPending, 4))
	want("run2", "run3", "run4")
}

// limitRunningSessions: a new session is never refused, and never the one that goes.
func limitRunningSessions(e *env) {
	e.store.MaxSessions = 2
	for i, s := range []string{"r5", "r4", "r3", "r2"} {
		e.set(session(s, "", storage.StatusInProgress, 5-i))
		got(e.s.GetSession(e.ctx, s)).must(e)
	}
	same(e, sessionIDs(got(e.s.ListSessions(e.ctx, storage.SessionFilter{})).must(e)), []string{"r2", "r5"})
	e.set(session("done", "", storage.StatusCompleted, 1))
	same(e, sessionIDs(got(e.s.ListSessions(e.ctx, storage.SessionFilter{})).must(e)), []string{"done", "r5"})
}

func limitPages(e *env) {
	want := make([]string, 7)
	for i := range want {
		want[i] = fmt.Sprint("s", i)
		e.set(session(want[i], fmt.Sprint("u", i%2), storage.StatusPending, 1))
	}
	var ids []string
	f := storage.SessionFilter{Paging: storage.Paging{Limit: 3}}
	for pages := 0; ; pages++ {
		page := got(e.s.ListSessions(e.ctx, f)).must(e)
		if len(page.Items) > 3 || pages > 3 {
			e.Fatalf("page %d has %d items", pages, len(page.Items))
		}
		ids = append(ids, sessionIDs(page)...)
		if f.After = page.Next; f.After == "" {
			break
		}
	}
	same(e, ids, want)
	f = storage.SessionFilter{User: "u1", Paging: storage.Paging{Limit: 2, After: "s1"}}
	same(e, sessionIDs(got(e.s.ListSessions(e.ctx, f)).must(e)), []string{"s3", "s5"})
}
