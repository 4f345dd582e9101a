package typedtest

import (
	"fmt"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func followSession(e *env) {
	got(e.s.Follow(e.ctx, "anna", "s2")).is(e, true)
	got(e.s.Follow(e.ctx, "anna", "s2")).is(e, false)
	got(e.s.Follow(e.ctx, "anna", "s1")).is(e, true)
	got(e.s.Follow(e.ctx, "", "s3")).is(e, true)
	got(e.store.Followed(e.ctx, "anna")).is(e, []string{"s1", "s2"})
	got(e.store.Followed(e.ctx, "")).is(e, []string{"s3"})
	got(e.s.Follow(e.ctx, "anna", "")).wrong(e, "sessionId")
	got(e.s.Follow(e.ctx, "an\nna", "s1")).wrong(e, "userId")
}

func unfollowSession(e *env) {
	for _, user := range []string{"anna", "ben"} {
		got(e.store.Follow(e.ctx, user, "s1")).must(e)
	}
	got(e.s.Unfollow(e.ctx, "anna", "s1")).is(e, true)
	got(e.s.Unfollow(e.ctx, "anna", "s1")).is(e, false)
	got(e.store.Followed(e.ctx, "anna")).is(e, []string{})
	got(e.store.Followed(e.ctx, "ben")).is(e, []string{"s1"})
	got(e.store.Follow(e.ctx, "anna", "s1")).is(e, true)
}

func followedSessions(e *env) {
	same(e, got(e.s.Followed(e.ctx, "anna")).must(e), []string{})
	want := make([]string, 120) // more than one page
	for i := range want {
		want[i] = fmt.Sprintf("s%03d", i)
		got(e.store.Follow(e.ctx, "anna", want[i])).must(e)
	}
	got(e.s.Followed(e.ctx, "anna")).is(e, want)
}

const fullWindow = `{"sessionId":"s1","autoExpand":false,"autoAttachCli":true,"enableAnimations":false,
	"quickActions":[{"id":"q1","label":"Go","icon":"i","mine":1}],"autoArchiveDelaySeconds":0,"mine":2}`

func setWindowConfig(e *env) {
	want := decode[storage.SessionWindowConfig](e, fullWindow)
	ok(e, e.s.SetWindowConfig(e.ctx, want))
	got(e.store.GetWindowConfig(e.ctx, "s1")).is(e, want)
	want.AutoExpand = nil
	ok(e, e.s.SetWindowConfig(e.ctx, want))
	got(e.store.GetWindowConfig(e.ctx, "s1")).is(e, want)
	wantField(e, e.s.SetWindowConfig(e.ctx, storage.SessionWindowConfig{}), "sessionId")
}

func getWindowConfig(e *env) {
	got(e.s.GetWindowConfig(e.ctx, "s1")).fails(e, storage.ErrNotFound)
	want := decode[storage.SessionWindowConfig](e, fullWindow)
	ok(e, e.store.SetWindowConfig(e.ctx, want))
	got(e.s.GetWindowConfig(e.ctx, "s1")).is(e, want)
}

var (
	everybody = storage.FrequencyScope{}
	inProject = storage.FrequencyScope{ProjectID: "p"}
	byAnna    = storage.FrequencyScope{UserID: "anna"}
	both      = storage.FrequencyScope{ProjectID: "p", UserID: "anna"}
)

func (e *env) track(action string, scope storage.FrequencyScope, times int) {
	e.Helper()
	for range times {
		ok(e, e.store.TrackFrequency(e.ctx, action, scope))
	}
}

// trackFrequency counts in a scope and in all that it is part of.
func trackFrequency(e *env) {
	for _, scope := range []storage.FrequencyScope{both, both, inProject, byAnna, everybody} {
		ok(e, e.s.TrackFrequency(e.ctx, "build", scope))
	}
	for scope, want := range map[storage.FrequencyScope]int64{
		everybody: 5, inProject: 3, byAnna: 3, both: 2,
	} {
		same(e, got(e.store.GetFrequency(e.ctx, "build", scope)).must(e).Count, want)
	}
	wantField(e, e.s.TrackFrequency(e.ctx, "", both), "actionType")
	wantField(e, e.s.TrackFrequency(e.ctx, "a", storage.FrequencyScope{ProjectID: "\x00"}), "projectId")
	got(e.s.GetFrequency(e.ctx, "build", storage.FrequencyScope{UserID: "\x00"})).wrong(e, "userId")
}

func getFrequency(e *env) {
	got(e.s.GetFrequency(e.ctx, "build", both)).fails(e, storage.ErrNotFound)
	before := time.Now().Truncate(time.Microsecond)
	e.track("build", both, 3)
	r := got(e.s.GetFrequency(e.ctx, "build", both)).must(e)
	if r.FirstSeen.Before(before) || r.LastSeen.Before(r.FirstSeen) || r.LastSeen.After(time.Now()) {
		e.Fatalf("seen from %s to %s", r.FirstSeen, r.LastSeen)
	}
	days := make(map[string]int64)
	for day, n := range r.DailyCounts { // midnight may have come between
		if day != r.FirstSeen.Format(time.DateOnly) && day != r.LastSeen.Format(time.DateOnly) {
			e.Fatalf("days are %v", r.DailyCounts)
		}
		days["all"] += n
	}
	same(e, days, map[string]int64{"all": 3})
	r.FirstSeen, r.LastSeen, r.DailyCounts = time.Time{}, time.Time{}, nil
	same(e, r, storage.FrequencyRecord{ActionType: "build", ProjectID: "p", UserID: "anna", Count: 3})
}

func topFrequencies(e *env) {
	same(e, len(got(e.s.TopFrequencies(e.ctx, inProject, 0)).must(e)), 0)
	e.track("build", inProject, 2)
	e.track("test", inProject, 3)
	e.track("ship", inProject, 1)
	e.track("other", byAnna, 9)
	top := func(n int, want ...string) {
		e.Helper()
		records := got(e.s.TopFrequencies(e.ctx, inProject, n)).must(e)
		names := make([]string, len(records))
		for i, r := range records {
			names[i] = fmt.Sprint(r.ActionType, r.Count)
		}
		same(e, names, want)
	}
	top(2, "test3", "build2")
	top(0, "test3", "build2", "ship1")
	got(e.s.TopFrequencies(e.ctx, inProject, -1)).wrong(e, "limit")
}
