package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage/resilient"
)

func TestHealth(t *testing.T) {
	s := newTestSite(t)
	v := s.do("GET", "/health", "").json(t)
	at, err := time.Parse(time.RFC3339, v["timestamp"].(string))
	if fmt.Sprint(keysOf(v)) != "[status timestamp uptime]" || v["status"] != "ok" || err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("reader: %v %v", v, err)
	}
	// Anyone gets an answer, and nothing about the process.
	a := s.do("GET", "/health", "", remote, header("Origin", "https://evil.example"))
	a.want(t, 200, "")
	if v := a.json(t); fmt.Sprint(keysOf(v)) != "[status timestamp]" || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("anyone: %v %v", v, a.header)
	}
}

func TestBreakers(t *testing.T) {
	s := newTestSite(t)
	v := s.do("GET", "/api/health/circuit-breakers", "").json(t)
	delete(v, "timestamp")
	if got := string(appendJSON(nil, v)); got != `{"circuitBreakers":[],"status":"ok","storage":{"driver":"memory","pending":0,"reasons":[],"usingFallback":false},"watchers":[]}` {
		t.Errorf("nothing there: %s", got)
	}

	br, err := breaker.New(breaker.Config{Name: "redis", FailureThreshold: 1})
	if err != nil {
		t.Fatal(err)
	}
	_ = br.Run(t.Context(), func(context.Context) error { return errors.New("refused") })
	s = newTestSite(t, func(_ *Site, b *siteBackend, c *Config) {
		b.stats = []breaker.Stats{br.Stats()}
		b.status = resilient.Status{Degraded: true, Pending: 7, Reasons: []string{"redis: circuit breaker open"}}
		c.Driver = "redis"
		c.Watchers = func() []WatcherState {
			return []WatcherState{{"s", json.RawMessage(`{"session":"s","state":"active"}`)}, {"t", json.RawMessage(`{bad`)}}
		}
	})
	a := s.do("GET", "/api/health/circuit-breakers", "")
	a.want(t, 200, "")
	want := map[string]any{
		"status": "degraded", "timestamp": "<time>",
		"circuitBreakers": []any{map[string]any{"name": "redis", "state": "open", "failureCount": 1.0, "lastFailureTime": "<time>", "totalTrips": 1.0}},
		"storage":         map[string]any{"driver": "redis", "usingFallback": true, "pending": 7.0, "reasons": []any{"redis: circuit breaker open"}},
		"watchers":        []any{map[string]any{"session": "s", "state": "active"}},
	}
	v = a.json(t)
	if err := matches(want, v); err != nil || len(v["watchers"].([]any)) != 1 {
		t.Errorf("%s: %v", a.body, err)
	}
	s.do("GET", "/api/health/circuit-breakers", "", remote).want(t, 401, onlyLocal)
}
