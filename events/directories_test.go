package events

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

// fakeDirectories watches whatever is beneath /ok, two sessions at most.
type fakeDirectories struct {
	mu    sync.Mutex
	at    map[string]Place
	ready chan struct{} // what Begin answers
	ended func(session string)
}

func (d *fakeDirectories) Look(cwd string) (Place, *NotWatched) {
	if !strings.HasPrefix(cwd, "/ok") {
		return Place{}, &NotWatched{"outside", "not there"}
	}
	return Place{Dir: cwd, Root: "/ok"}, nil
}

func (d *fakeDirectories) Begin(session string, at Place) (<-chan struct{}, *NotWatched) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.at) == 2 {
		return nil, &NotWatched{NotWatchedFull, "two are"}
	}
	d.at[session] = at
	return d.ready, nil
}

func (d *fakeDirectories) End(session string) (Place, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.at[session]
	delete(d.at, session)
	if d.ended != nil {
		d.ended(session)
	}
	return at, ok
}

func (d *fakeDirectories) Watched(session string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.at[session]
	return ok
}

func withDirectories() (*fakeDirectories, func(*Site, *siteBackend, *Config)) {
	ready := make(chan struct{})
	close(ready)
	d := &fakeDirectories{at: make(map[string]Place), ready: ready}
	return d, func(_ *Site, _ *siteBackend, c *Config) { c.Directories = d }
}

// watcherOf is what an answer says about the directory: "watching", the reason why
// it is not, or "nothing".
func watcherOf(t *testing.T, a answer) string {
	t.Helper()
	w, ok := a.json(t)["watcher"].(map[string]any)
	switch {
	case !ok:
		return "nothing"
	case w["watching"] == true && len(w) == 1:
		return "watching"
	case w["watching"] == false && w["message"] != "":
		return w["reason"].(string)
	}
	t.Errorf("watcher is %v", w)
	return ""
}

// The answer to the creation of a session says whether its directory is watched,
// which never keeps it from being created; the watch ends with the session.
func TestWatchFollowsTheSession(t *testing.T) {
	d, set := withDirectories()
	s := newTestSite(t, set)
	for _, c := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"id":"a","cwd":"/ok/a","watcher":{"watching":"mine"}}`, 201, "watching"},
		{`{"id":"a","cwd":"/no"}`, 200, "watching"}, // it is, whatever this one says
		{`{"id":"b","cwd":"/no"}`, 201, "outside"},
		{`{"id":"b","cwd":"/no"}`, 200, "outside"},
		{`{"id":"b","cwd":"/ok/b"}`, 200, "not_here"},
		{`{"id":"c"}`, 201, "nothing"},
		{`{"id":"d","cwd":"/ok/d","status":"failed"}`, 201, "ended"},
		{`{"id":"d","cwd":"/ok/d"}`, 200, "ended"},
		{`{"id":"e","cwd":"/ok/e"}`, 201, "watching"},
		{`{"id":"f","cwd":"/ok/f"}`, 201, "full"},
	} {
		a := s.do("POST", "/api/sessions", c.body)
		a.want(t, c.status, "")
		if got := watcherOf(t, a); got != c.want {
			t.Errorf("%s: %s, want %s", c.body, got, c.want)
		}
	}
	s.Hub.wantMet(t, LimitWatched, 1)
	if a := s.do("GET", "/api/sessions/a", ""); watcherOf(t, a) != "nothing" {
		t.Errorf("the record has a watcher: %s", a.body)
	}
	for _, step := range []struct {
		method, body string
		watched      bool
	}{
		{"PUT", `{"status":"in_progress"}`, true},
		{"PUT", `{"summary":"x"}`, true},
		{"PUT", `{"status":"completed"}`, false},
		{"PUT", `{"summary":"y"}`, false},
		{"PUT", `{"status":"in_progress"}`, true},
		{"DELETE", "", false},
	} {
		s.do(step.method, "/api/sessions/a", step.body).want(t, 200, "")
		if d.Watched("a") != step.watched {
			t.Errorf("%s %s: watched is %v", step.method, step.body, !step.watched)
		}
	}
}

// What is a path nowhere is an error of the request.
func TestImpossibleDirectories(t *testing.T) {
	_, set := withDirectories()
	s := newTestSite(t, set)
	for name, cwd := range map[string]string{
		"NUL": `/ok/\u0000`, "too long": "/ok/" + strings.Repeat("x", maxCwd), "not UTF-8": "/ok/\xff",
	} {
		a := s.do("POST", "/api/sessions", `{"id":"x","cwd":"`+cwd+`"}`)
		a.want(t, 400, "invalid request")
		if field := a.json(t)["field"]; name != "not UTF-8" && field != "cwd" {
			t.Errorf("%s: field %v", name, field)
		}
	}
	s.do("GET", "/api/sessions/x", "").want(t, 404, "not found")
	s.do("POST", "/api/sessions", `{"id":"x","cwd":"/ok/`+strings.Repeat("x", maxCwd-4)+`"}`).want(t, 201, "")
}

// Only who may write a session has it watched or ends that.
func TestWatchOfAnotherUser(t *testing.T) {
	d, set := withDirectories()
	s := newTestSite(t, set, mixedSite)
	s.do("POST", "/api/sessions", `{"id":"a","cwd":"/ok"}`, as("ann")).want(t, 201, "")
	for _, method := range []string{"PUT", "DELETE"} {
		s.do(method, "/api/sessions/a", `{"status":"failed"}`, as("bob")).want(t, 403, "forbidden")
		s.do(method, "/api/sessions/a", `{"status":"failed"}`, remote).want(t, 403, "forbidden")
	}
	s.do("POST", "/api/sessions", `{"id":"a","cwd":"/ok/other"}`, as("bob")).want(t, 403, "forbidden")
	if got := d.at["a"]; got.Dir != "/ok" {
		t.Errorf("watched at %v", got)
	}
	s.Access.AnonymousWrite = false
	if err := s.Provision(); err != nil {
		t.Fatal(err)
	}
	s.do("POST", "/api/sessions", `{"id":"b","cwd":"/ok"}`, remote).want(t, 403, "forbidden")
	if d.Watched("b") {
		t.Error("watched for who may only read")
	}
}

// Health shows the watchers of the sessions that the client may read, and while the
// owners cannot be found out, none to whom that matters.
func TestHealthOfOthersWatchers(t *testing.T) {
	away, over := withAway(t)
	s := newTestSite(t, over, mixedSite, func(_ *Site, _ *siteBackend, c *Config) {
		c.Watchers = func() (all []WatcherState) {
			for _, session := range []string{"ann's", "bob's", "nobody's"} {
				all = append(all, WatcherState{session, json.RawMessage(`"` + session + `"`)})
			}
			return all
		}
	})
	s.do("POST", "/api/sessions", `{"id":"ann's"}`, as("ann")).want(t, 201, "")
	s.do("POST", "/api/sessions", `{"id":"bob's"}`, as("bob")).want(t, 201, "")
	shown := func(a answer) string {
		a.want(t, 200, "")
		return string(appendJSON(nil, a.json(t)["watchers"]))
	}
	check := func(who, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s is shown %s, want %s", who, got, want)
		}
	}
	const path = "/api/health/circuit-breakers"
	check("ann", shown(s.do("GET", path, "", as("ann"))), `["ann's","nobody's"]`)
	check("nobody", shown(s.do("GET", path, "", remote)), `["nobody's"]`)
	check("a key", shown(s.do("GET", path, "", remote, withKey)), `["ann's","bob's","nobody's"]`)
	for _, session := range []string{"ann's", "bob's", "nobody's"} {
		s.Hub.owners.forget(session)
	}
	away.away.Store(true)
	check("ann, in an outage", shown(s.do("GET", path, "", as("ann"))), `[]`)
	check("a key, in an outage", shown(s.do("GET", path, "", remote, withKey)), `["ann's","bob's","nobody's"]`)
}

// The watch ends before the session is deleted, since an event of it would bring
// the session back; where the deletion fails it goes on.
func TestDeletionEndsTheWatchFirst(t *testing.T) {
	away, over := withAway(t)
	d, set := withDirectories()
	s := newTestSite(t, over, set)
	s.do("POST", "/api/sessions", `{"id":"a","cwd":"/ok"}`).want(t, 201, "")
	d.ended = func(session string) {
		if _, err := s.Hub.store().SessionRecord(t.Context(), session); err != nil {
			t.Errorf("the record is gone: %v", err)
		}
		away.away.Store(true) // from here on
	}
	s.do("DELETE", "/api/sessions/a", "").want(t, 503, "storage unavailable")
	if !d.Watched("a") {
		t.Error("the watch of a session that is there has ended")
	}
	away.away.Store(false)
	d.ended = nil
	s.do("DELETE", "/api/sessions/a", "").want(t, 200, "")
	if d.Watched("a") {
		t.Error("watched still")
	}
}

// A session is answered when its directory is watched, or its client is gone.
func TestAnswerWaitsForTheWatch(t *testing.T) {
	d, set := withDirectories()
	s := newTestSite(t, set)
	d.ready = make(chan struct{})
	answered := make(chan answer)
	go func() { answered <- s.do("POST", "/api/sessions", `{"id":"a","cwd":"/ok"}`) }()
	eventually(t, "the beginning", func() bool { return d.Watched("a") })
	// Whoever else wants something of the session does not wait for that.
	s.do("PUT", "/api/sessions/a", `{"summary":"x"}`).want(t, 200, "")
	select {
	case a := <-answered:
		t.Fatalf("answered %s", a.body)
	default:
	}
	close(d.ready)
	if a := <-answered; watcherOf(t, a) != "watching" {
		t.Error(a.body)
	}
}

// RefreshWatch makes the watch what the record says.
func TestRefreshWatch(t *testing.T) {
	away, over := withAway(t)
	d, set := withDirectories()
	s := newTestSite(t, over, set)
	put := func(id, cwd, status string) {
		t.Helper()
		if _, err := s.Hub.store().SetSession(t.Context(), storage.Session{ID: id, Cwd: cwd, Status: status}); err != nil {
			t.Fatal(err)
		}
	}
	put("on", "/ok", "")
	put("out", "/no", "in_progress")
	for range 2 {
		if over, no, err := s.Hub.RefreshWatch(t.Context(), "on"); over || no != nil || err != nil || !d.Watched("on") {
			t.Errorf("over %v, %v, %v", over, no, err)
		}
	}
	if over, no, err := s.Hub.RefreshWatch(t.Context(), "out"); over || no == nil || no.Reason != "outside" || err != nil {
		t.Errorf("over %v, %v, %v", over, no, err)
	}
	away.away.Store(true)
	if over, _, err := s.Hub.RefreshWatch(t.Context(), "on"); over || err == nil || !d.Watched("on") {
		t.Errorf("storage is away: over %v, %v", over, err)
	}
	away.away.Store(false)
	put("on", "/ok", "skipped")
	for _, id := range []string{"on", "unknown"} {
		if over, _, err := s.Hub.RefreshWatch(t.Context(), id); !over || err != nil || d.Watched(id) {
			t.Errorf("%s: over %v, %v", id, over, err)
		}
	}
}

// EnsureSession leaves a record alone.
func TestEnsureSession(t *testing.T) {
	s := newTestSite(t)
	for range 2 {
		if err := s.Hub.EnsureSession(t.Context(), storage.Session{ID: "a", Status: "in_progress"}); err != nil {
			t.Fatal(err)
		}
		if got := s.do("GET", "/api/sessions/a", "").json(t)["status"]; got != "in_progress" {
			t.Errorf("status %v", got)
		}
	}
	s.do("PUT", "/api/sessions/a", `{"status":"completed"}`).want(t, 200, "")
	if err := s.Hub.EnsureSession(t.Context(), storage.Session{ID: "a", Status: "in_progress"}); err != nil {
		t.Fatal(err)
	}
	if got := s.do("GET", "/api/sessions/a", "").json(t)["status"]; got != "completed" {
		t.Errorf("status %v", got)
	}
}
