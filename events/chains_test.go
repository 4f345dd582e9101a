package events

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// chainEvents is the life of a chain, in the words of the clients.
var chainEvents = []string{
	`{"type":"chain:compiled","sessionId":"s","chainId":"c","title":"Build","source":"flow","steps":[{"stepNumber":1,"action":"code"},{"stepNumber":2,"action":"test"}]}`,
	`{"type":"chain:started","sessionId":"s","chainId":"c"}`,
	`{"type":"step:started","sessionId":"s","chainId":"c","stepNumber":1}`,
	`{"type":"step:completed","sessionId":"s","chainId":"c","stepNumber":1,"result":"ok"}`,
	`{"type":"step:failed","sessionId":"s","chainId":"c","stepNumber":2,"error":"no"}`,
	`{"type":"chain:completed","sessionId":"s","chainId":"c","summary":"half"}`,
}

// What is posted as events is read as a chain.
func TestChainFromEvents(t *testing.T) {
	s := newTestSite(t)
	for _, body := range chainEvents {
		s.do("POST", "/api/events", body).want(t, 201, "")
	}
	s.do("POST", "/api/sessions", `{"id":"s"}`).want(t, 201, "")
	var chain map[string]any
	eventually(t, "the chain", func() bool {
		v := s.do("GET", "/api/sessions/s/chains", "").json(t)
		if v["count"] != 1.0 {
			return false
		}
		chain = v["chains"].([]any)[0].(map[string]any)
		return chain["completedAt"] != nil
	})
	want := map[string]any{
		"id": "c", "sessionId": "s", "title": "Build", "status": "failed", "summary": "half", "startedAt": "<time>",
		"successfulSteps": 1.0, "failedSteps": 1.0,
		"steps": []any{
			map[string]any{"stepNumber": 1.0, "status": "completed", "result": "ok"},
			map[string]any{"stepNumber": 2.0, "status": "failed", "error": "no"},
		},
	}
	if err := matches(want, chain); err != nil {
		t.Errorf("%v: %v", chain, err)
	}
	session := s.do("GET", "/api/sessions/s", "").json(t)
	if err := matches([]any{want}, session["chains"]); err != nil {
		t.Errorf("%v: %v", session, err)
	}
}

// While storage is away events wait, and a publish that was accepted is not touched
// by it; events that do not fit are said to the log.
func TestChainsWait(t *testing.T) {
	d, over := withAway(t)
	core, logs := observer.New(zap.WarnLevel)
	s := newTestSite(t, over, func(_ *Site, _ *siteBackend, cfg *Config) { cfg.Logger = zap.New(core) })
	d.away.Store(true)
	for _, body := range chainEvents {
		e, problem := parseEvent([]byte(body), time.Now())
		if problem != nil {
			t.Fatal(problem)
		}
		s.Hub.chains.take(e)
	}
	s.Hub.chains.take(Event{Session: "other", ID: "bad", Type: "step:started", Data: []byte(`{"stepNumber":"x"}`)})
	eventually(t, "the bad event", func() bool { return logs.FilterField(zap.String("event", "bad")).Len() == 1 })
	d.away.Store(false)
	eventually(t, "the chain", func() bool {
		c, err := s.Hub.store().GetChain(t.Context(), "s", "c")
		return err == nil && c.Status == "failed"
	})
	if n := logs.Len(); n != 1 {
		t.Errorf("%d warnings: %v", n, logs.All())
	}
}

// Storage that stays away costs the events, not the hub.
func TestChainsGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, over := withAway(t)
		core, logs := observer.New(zap.WarnLevel)
		s := newTestSite(t, over, func(_ *Site, _ *siteBackend, cfg *Config) { cfg.Logger = zap.New(core) })
		d.away.Store(true)
		begin := time.Now()
		take := func(session string, i int) {
			s.Hub.chains.take(Event{Session: session, ID: fmt.Sprint(i), Type: "step:started", Data: []byte(`{"stepNumber":1}`)})
		}
		take("first", 0)
		synctest.Wait()
		for i := range maxChainEvents + 2 {
			take("s", i)
		}
		k := s.Hub.chains
		k.mu.Lock()
		if k.count != maxChainEvents {
			t.Errorf("%d events wait", k.count)
		}
		k.mu.Unlock()
		if n := logs.FilterMessageSnippet("fall behind").Len(); n != 1 {
			t.Errorf("said %d times", n)
		}
		for logs.FilterMessageSnippet("not applied to its chain").Len() == 0 {
			time.Sleep(time.Second)
		}
		if took := time.Since(begin); took < chainPatience || took > chainPatience+5*time.Second {
			t.Errorf("tried for %v", took)
		}
		s.Hub.Close() // and every worker ends
	})
}

func TestChainsBytes(t *testing.T) {
	d, over := withAway(t)
	s := newTestSite(t, over)
	d.away.Store(true)
	big := []byte(`{"stepNumber":1,"x":"` + strings.Repeat("x", 1<<20) + `"}`)
	for range 40 {
		s.Hub.chains.take(Event{Session: "s", Type: "step:started", Data: big})
	}
	s.Hub.chains.mu.Lock()
	defer s.Hub.chains.mu.Unlock()
	if n := s.Hub.chains.bytes; n > maxChainBytes || n < maxChainBytes/2 {
		t.Errorf("%d bytes wait", n)
	}
}
