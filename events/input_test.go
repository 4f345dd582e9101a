package events

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func TestInput(t *testing.T) {
	s := newTestSite(t)
	for _, value := range []string{`{"text":"yes"}`, `"yes"`, `null`, ` 7 `} {
		a := s.do("POST", "/api/sessions/s/input", value)
		a.want(t, 201, "")
		if v := a.json(t); v["success"] != true || v["sessionId"] != "s" || v["id"] == "" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", value, v)
		}
	}
	a := s.do("GET", "/api/sessions/s/input?limit=1", "")
	a.want(t, 200, "")
	first := a.json(t)["inputs"].([]any)[0].(map[string]any)
	if err := matches(map[string]any{"id": "<string>", "receivedAt": "<time>", "input": map[string]any{"text": "yes"}}, first); err != nil {
		t.Errorf("%s: %v", a.body, err)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", a.header)
	}
	v := s.do("GET", "/api/sessions/s/input?wait=30s", "").json(t) // not held: there is some
	if v["count"] != 3.0 || v["inputs"].([]any)[2].(map[string]any)["input"] != 7.0 {
		t.Errorf("%v", v)
	}
	if a := s.do("GET", "/api/sessions/s/input", ""); a.body != `{"sessionId":"s","count":0,"inputs":[]}` {
		t.Error(a.body)
	}
	for i := range storage.MaxInputs {
		s.do("POST", "/api/sessions/s/input", strconv.Itoa(i)).want(t, 201, "")
	}
	a = s.do("POST", "/api/sessions/s/input", "1")
	a.want(t, 429, "too many inputs")
	if a.header.Get("Retry-After") != "5" {
		t.Errorf("%v", a.header)
	}
}

// A request with wait is answered when input comes, by this node or another one,
// or when the time is over or the hub closes.
func TestInputWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t)
		ask := func(query string) (answered func() (answer, time.Duration)) {
			var a answer
			var took time.Duration
			done := make(chan struct{})
			go func() {
				defer close(done)
				begin := time.Now()
				a = s.do("GET", "/api/sessions/s/input?wait="+query, "")
				took = time.Since(begin)
			}()
			synctest.Wait()
			return func() (answer, time.Duration) { <-done; return a, took }
		}
		const empty = `{"sessionId":"s","count":0,"inputs":[]}`

		if a, took := ask("3")(); took != 3*time.Second || a.body != empty {
			t.Errorf("nothing: %s after %v", a.body, took)
		}
		answered := ask("30s")
		s.do("POST", "/api/sessions/s/input", "1").want(t, 201, "")
		if a, took := answered(); took != 0 || a.json(t)["count"] != 1.0 {
			t.Errorf("here: %s after %v", a.body, took)
		}
		answered = ask("30s")
		if _, err := s.Hub.store().PushInput(t.Context(), "s", "", []byte("2")); err != nil {
			t.Fatal(err)
		}
		if a, took := answered(); took > inputInterval || a.json(t)["count"] != 1.0 {
			t.Errorf("elsewhere, not told: %s after %v", a.body, took)
		}
		answered = ask("30s")
		if _, err := s.Hub.store().PushInput(t.Context(), "s", "", []byte("3")); err != nil {
			t.Fatal(err)
		}
		s.Hub.told(storage.Message{Data: []byte(`{"hub":"other","type":"input","sessionId":"s"}`)})
		if a, took := answered(); took != 0 || a.json(t)["count"] != 1.0 {
			t.Errorf("elsewhere, told: %s after %v", a.body, took)
		}
		answered = ask("30s")
		s.Hub.Close()
		if a, took := answered(); took > 2*time.Second || a.body != empty {
			t.Errorf("closed: %s after %v", a.body, took)
		}
		if s.Hub.arrivals.waiting != 0 || len(s.Hub.arrivals.sessions) != 0 {
			t.Errorf("left behind: %+v", &s.Hub.arrivals)
		}
	})
}

func TestInputWaitsBound(t *testing.T) {
	s := newTestSite(t)
	for range maxInputWaits {
		if !s.Hub.arrivals.enter("other") {
			t.Fatal("not let in")
		}
	}
	s.do("GET", "/api/sessions/s/input?wait=1", "").want(t, 503, "too many requests wait")
	s.do("GET", "/api/sessions/s/input", "").want(t, 200, "")
	s.Hub.arrivals.leave("other")
	if !s.Hub.arrivals.enter("s") {
		t.Error("no room")
	}
}

func TestCommands(t *testing.T) {
	s := newTestSite(t)
	a := s.do("POST", "/api/sessions/s/commands", `{"type":"skip","stepNumber":3,"reason":"slow","payload":{"a":1}}`)
	a.want(t, 201, "")
	v := a.json(t)
	id, _ := v["commandId"].(string)
	want := map[string]any{
		"commandId": id, "id": id, "type": "skip", "sessionId": "s", "issuedAt": "<time>",
		"command": map[string]any{"type": "skip", "stepNumber": 3.0, "reason": "slow", "payload": map[string]any{"a": 1.0}},
	}
	if err := matches(want, v["command"]); err != nil || v["success"] != true || v["sessionId"] != "s" {
		t.Errorf("%s: %v", a.body, err)
	}
	s.do("POST", "/api/commands/s/commands", `{"type":"abort"}`).want(t, 201, "")
	for range 2 { // nothing is taken away
		v = s.do("GET", "/api/sessions/s/commands", "").json(t)
		if v["count"] != 2.0 {
			t.Errorf("%v", v)
		}
		if err := matches([]any{want, map[string]any{"type": "abort"}}, v["commands"]); err != nil {
			t.Errorf("%v: %v", v, err)
		}
	}
	s.do("POST", "/api/commands/"+id+"/ack", `{"result":"skipped"}`).want(t, 200, "")
	s.do("POST", "/api/commands/"+id+"/ack", "").want(t, 404, "not found")
	if v = s.do("GET", "/api/commands/s/commands", "").json(t); v["count"] != 1.0 {
		t.Errorf("%v", v)
	}
}

// A command goes at once to those who follow its session by WebSocket, here and at
// other nodes.
func TestCommandDelivery(t *testing.T) {
	s := newTestSite(t)
	c, other := connect(t, hubServer(t, s.Hub), ""), connect(t, hubServer(t, s.Hub), "")
	c.subscribe("s")
	other.subscribe("s2")
	s.do("POST", "/api/sessions/s/commands", `{"type":"retry"}`).want(t, 201, "")
	c.want(`{"type":"command","sessionId":"s","payload":{"commandId":"<string>","type":"retry","command":{"type":"retry"}}}`)
	for _, message := range []string{
		`{"hub":"` + s.Hub.id + `","type":"command","sessionId":"s","payload":{"commandId":"own"}}`,
		`{"hub":"x","type":"command","sessionId":"s"}`,
		`{"hub":"x","type":"else","sessionId":"s"}`, `{`,
		`{"hub":"x","type":"command","sessionId":"s","payload":{"commandId":"theirs"}}`,
	} {
		s.Hub.told(storage.Message{Data: []byte(message)})
	}
	c.want(`{"type":"command","sessionId":"s","payload":{"commandId":"theirs"}}`)
	other.send(ping)
	other.want(`{"type":"pong","clientId":"<string>"}`)
}
