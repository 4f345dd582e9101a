package events

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func TestSessionLife(t *testing.T) {
	s := newTestSite(t)
	a := s.do("POST", "/api/sessions", `{"id":"x","cwd":"/srv","hostname":"h","platform":"linux","userId":"ann","metadata":{"a":1},"color":"red"}`)
	a.want(t, 201, "")
	v := a.json(t)
	if v["user"] != "ann" || v["userId"] != nil || v["cwd"] != "/srv" || v["hostname"] != "h" || v["platform"] != "linux" ||
		v["color"] != "red" || v["status"] != "pending" || v["startedAt"] == nil {
		t.Errorf("created: %v", v)
	}
	// Again: a lost answer is answered again, and nothing is changed.
	a = s.do("POST", "/api/sessions", `{"id":"x","cwd":"/other"}`)
	a.want(t, 200, "")
	if a.json(t)["cwd"] != "/srv" {
		t.Errorf("created again: %s", a.body)
	}
	a = s.do("PUT", "/api/sessions/x", `{"status":"failed","summary":"no","endReason":"crash","cwd":"/tmp","user":"bob"}`)
	a.want(t, 200, "")
	v = a.json(t)
	_, hasDuration := v["duration"]
	if v["status"] != "failed" || v["summary"] != "no" || v["endReason"] != "crash" || v["endedAt"] == nil ||
		v["cwd"] != "/srv" || v["user"] != "ann" || v["color"] != "red" {
		t.Errorf("ended: %v (duration %v)", v, hasDuration)
	}
	v = s.do("PUT", "/api/sessions/x", `{"status":"in_progress"}`).json(t)
	if v["endedAt"] != nil || v["summary"] != "no" {
		t.Errorf("goes on: %v", v)
	}
	a = s.do("DELETE", "/api/sessions/x", "")
	a.want(t, 200, "")
	if a.body != `{"success":true,"sessionId":"x"}` {
		t.Error(a.body)
	}
	s.do("GET", "/api/sessions/x", "").want(t, 404, "not found")
}

func TestSessionList(t *testing.T) {
	s := newTestSite(t, mixedSite)
	for _, body := range []string{
		`{"id":"1","userId":"ann"}`, `{"id":"2","userId":"bob","status":"failed"}`, `{"id":"3"}`, `{"id":"4","userId":"ann","status":"failed"}`,
	} {
		s.do("POST", "/api/sessions", body, withKey).want(t, 201, "")
	}
	ids := func(a answer) (ids []string, next any) {
		a.want(t, 200, "")
		v := a.json(t)
		for _, session := range v["sessions"].([]any) {
			ids = append(ids, session.(map[string]any)["id"].(string))
		}
		if v["count"] != float64(len(ids)) {
			t.Errorf("count %v", v["count"])
		}
		return ids, v["next"]
	}
	for _, tt := range []struct {
		query string
		who   func() answer
		want  string
	}{
		{"all", func() answer { return s.do("GET", "/api/sessions", "", withKey) }, "1 2 3 4"},
		{"user", func() answer { return s.do("GET", "/api/sessions?user=ann", "", withKey) }, "1 4"},
		{"status", func() answer { return s.do("GET", "/api/sessions?status=failed", "", withKey) }, "2 4"},
		{"both", func() answer { return s.do("GET", "/api/sessions?status=failed&user=bob", "", withKey) }, "2"},
		{"ann", func() answer { return s.do("GET", "/api/sessions", "", as("ann")) }, "1 3 4"},
		{"ann of bob", func() answer { return s.do("GET", "/api/sessions?user=bob", "", as("ann")) }, ""},
		{"nobody", func() answer { return s.do("GET", "/api/sessions", "", remote) }, "3"},
	} {
		if got, next := ids(tt.who()); strings.Join(got, " ") != tt.want || next != nil {
			t.Errorf("%s: %v, next %v", tt.query, got, next)
		}
	}
	var all []string
	for path := "/api/sessions?limit=2"; path != ""; {
		page, next := ids(s.do("GET", path, "", as("bob")))
		all = append(all, page...)
		path = ""
		if n, ok := next.(string); ok {
			path = "/api/sessions?limit=2&after=" + n
		}
	}
	if !slices.Equal(all, []string{"2", "3"}) {
		t.Errorf("paged: %v", all)
	}
}

// Whoever is not let in to a session gets at nothing of it, by any route.
func TestOtherUsersSession(t *testing.T) {
	s := newTestSite(t, mixedSite)
	if _, err := s.Hub.store().SetSession(t.Context(), storage.Session{ID: "s", User: "ann"}); err != nil {
		t.Fatal(err)
	}
	ann, nobody := as("ann"), remote
	for _, rt := range everyRoute {
		switch rt.path {
		case "/ws", "/health", "/api/health/circuit-breakers":
			continue
		case "/api/sessions":
			if rt.method == "GET" {
				continue // see TestSessionList
			}
		}
		if strings.Contains(rt.path, "/records/") {
			continue // see TestOtherUsersRecords
		}
		s.do(rt.method, rt.path, rt.body, as("bob")).want(t, 403, "forbidden")
		s.do(rt.method, rt.path, rt.body, nobody).want(t, 403, "forbidden")
	}
	for _, rt := range everyRoute {
		if rt.path == "/ws" || strings.Contains(rt.path, "/stream") || strings.Contains(rt.path, "/ack") || strings.Contains(rt.path, "/records/") {
			continue
		}
		if a := s.do(rt.method, rt.path, rt.body, ann); a.status > 201 {
			t.Errorf("his own: %s %s: %d %s", rt.method, rt.path, a.status, a.body)
		}
	}
	s.do("POST", "/api/sessions", `{"id":"s","userId":"ann"}`, withKey).want(t, 201, "")
	s.do("GET", "/api/sessions/s", "", withKey).want(t, 200, "")
}

// What a user writes first makes a session his; reading, and what others write,
// does not.
func TestClaim(t *testing.T) {
	s := newTestSite(t, mixedSite)
	ownerOf := func(id string) any {
		a := s.do("GET", "/api/sessions/"+id, "", withKey)
		if a.status == 404 {
			return "none"
		}
		return a.json(t)["user"]
	}
	s.do("GET", "/api/events/a", "", as("ann")).want(t, 200, "")
	s.do("GET", "/api/sessions/a/input", "", as("ann")).want(t, 200, "")
	s.do("POST", "/api/events", strings.Replace(event("0"), `"s"`, `"a"`, 1), remote).want(t, 201, "")
	s.do("POST", "/api/events", strings.Replace(event("1"), `"s"`, `"a"`, 1), withKey).want(t, 201, "")
	s.do("PUT", "/api/sessions/a", `{"status":"failed"}`, as("ann")).want(t, 404, "")
	if got := ownerOf("a"); got != "none" {
		t.Errorf("owner %v", got)
	}
	s.do("POST", "/api/events", strings.Replace(event("2"), `"s"`, `"a"`, 1), as("ann")).want(t, 201, "")
	s.do("POST", "/api/sessions/b/input", `1`, as("ann")).want(t, 201, "")
	s.do("POST", "/api/sessions/c/commands", `{"type":"pause"}`, as("ann")).want(t, 201, "")
	s.do("POST", "/api/sessions", `{"id":"d","userId":"bob"}`, as("ann")).want(t, 201, "")
	for _, id := range []string{"a", "b", "c", "d"} {
		if got := ownerOf(id); got != "ann" {
			t.Errorf("owner of %s: %v", id, got)
		}
		s.do("GET", "/api/events/"+id, "", as("bob")).want(t, 403, "forbidden")
	}
	// A record without a user stays without one.
	s.do("POST", "/api/sessions", `{"id":"e","userId":"bob"}`, remote).want(t, 201, "")
	s.do("POST", "/api/events", strings.Replace(event("3"), `"s"`, `"e"`, 1), as("ann")).want(t, 201, "")
	if got := ownerOf("e"); got != nil {
		t.Errorf("owner of e: %v", got)
	}
}

// A hub asks storage once in a while, not for each event, and goes by what it
// knows while storage is away; what it does not know then is unavailable.
func TestOwnerUnknown(t *testing.T) {
	d, over := withAway(t)
	s := newTestSite(t, over, mixedSite)
	s.do("POST", "/api/sessions", `{"id":"s"}`, as("ann")).want(t, 201, "")
	d.away.Store(true)
	s.Hub.owners.age("s", 2*ownerLife)
	s.do("GET", "/api/sessions/s", "", as("bob")).want(t, 403, "forbidden")
	s.do("GET", "/api/sessions/s", "", as("ann")).want(t, 503, "storage unavailable")
	a := s.do("POST", "/api/events", strings.Replace(event("1"), `"s"`, `"new"`, 1), as("ann"))
	a.want(t, 503, "storage unavailable")
	s.do("GET", "/api/sessions/new", "", remote).want(t, 503, "storage unavailable")
}

// age lets time pass for what is known of a session.
func (o *owners) age(session string, d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.known[session]
	k.at = k.at.Add(-d)
	o.known[session] = k
}

// A session that becomes somebody's is no longer followed by others, on whatever
// way they came.
func TestExpelled(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	server := hubServer(t, h)
	bob, ann, service := connect(t, server, "?user=bob"), connect(t, server, "?user=ann"), connect(t, server, "")
	for _, c := range []*wsClient{bob, ann, service} {
		c.subscribe("s")
	}
	w := httptest.NewRecorder()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.ServeStream(w, httptest.NewRequestWithContext(t.Context(), "GET", "/s", nil), "s", Grant{Peer: Peer{User: "bob"}, Read: true})
	}()
	eventually(t, "the stream", func() bool { return len(h.Clients("s")) == 4 })
	ann.send(`{"type":"input","sessionId":"s","payload":"mine"}`)
	bob.want(`{"type":"error","code":"forbidden","sessionId":"s"}`)
	<-ended
	if n := len(h.Clients("s")); n != 2 {
		t.Errorf("%d follow it", n)
	}
	bob.send(`{"type":"subscribe","sessionId":"s"}`)
	bob.want(`{"type":"error","code":"forbidden","sessionId":"s"}`)
	bob.send(`{"type":"input","sessionId":"s","payload":1}`)
	bob.want(`{"type":"error","code":"forbidden","sessionId":"s"}`)
	ev := Event{Session: "s", ID: "1", Type: "session:started", Data: []byte(`{"type":"session:started","sessionId":"s"}`)}
	if _, err := h.Publish(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	ann.want(`{"type":"event","sessionId":"s"}`)
	service.want(`{"type":"event","sessionId":"s"}`)
	bob.send(ping)
	bob.want(`{"type":"pong","clientId":"<string>"}`) // and no lifecycle event
}

// Another node gives a session to somebody: it is noticed when the owner is looked
// up again.
func TestRecheck(t *testing.T) {
	b := newMemory(t)
	h := newTestHub(t, b, func(_ *Config, i *intervals) { i.catchUp = shards })
	bob := connect(t, hubServer(t, h), "?user=bob")
	bob.subscribe("s")
	if _, err := b.SetSession(t.Context(), storage.Session{ID: "s", User: "ann"}); err != nil {
		t.Fatal(err)
	}
	h.owners.forget("s") // as if ownerLife had passed
	bob.want(`{"type":"error","code":"forbidden","sessionId":"s"}`)
}

func TestOwnersBound(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	for i := range maxOwners + 10 {
		h.owners.changed(string(rune('a'+i%26))+strings.Repeat("x", i/26), owner{}, h.now())
	}
	if n := len(h.owners.known); n != maxOwners {
		t.Errorf("%d owners are remembered", n)
	}
}
