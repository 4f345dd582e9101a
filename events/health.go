package events

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// started is when this process began to serve, about.
var started = time.Now()

type healthAnswer struct {
	Status    string `json:"status"`
	Timestamp string `json:"timestamp"`
	Uptime    *int   `json:"uptime,omitempty"` // seconds
}

// health answers GET /health to anyone, and a little more to whoever may read.
func (s *Site) health(w http.ResponseWriter, p Peer) {
	a := healthAnswer{Status: "ok", Timestamp: time.Now().UTC().Format(eventTime)}
	if _, refusal := s.Admit(p, false); refusal == nil {
		uptime := int(time.Since(started).Seconds())
		a.Uptime = &uptime
	}
	writeJSON(w, http.StatusOK, a)
}

type breakersAnswer struct {
	Status          string            `json:"status"`
	Timestamp       string            `json:"timestamp"`
	CircuitBreakers []breaker.Stats   `json:"circuitBreakers"`
	Storage         storageHealth     `json:"storage"`
	Watchers        []json.RawMessage `json:"watchers"`
}

type storageHealth struct {
	Driver        string `json:"driver"`
	UsingFallback bool   `json:"usingFallback"`
	Pending       int    `json:"pending"` // acknowledged, not in the backend yet
	// Reasons say why it is degraded, in words that tell no address.
	Reasons []string `json:"reasons"`
}

// breakers answers GET /api/health/circuit-breakers.
func (s *Site) breakers(w http.ResponseWriter, r *http.Request, g Grant) {
	cfg := s.Hub.cfg
	status := cfg.Backend.Status()
	a := breakersAnswer{
		Status:          "ok",
		Timestamp:       time.Now().UTC().Format(eventTime),
		CircuitBreakers: append([]breaker.Stats{}, cfg.Backend.CircuitBreakerStats()...),
		Storage: storageHealth{
			Driver:        *s.Hub.driver.Load(),
			UsingFallback: cfg.Backend.UsingFallback(),
			Pending:       status.Pending,
			Reasons:       append([]string{}, status.Reasons...),
		},
		Watchers: []json.RawMessage{}, // lists are never null
	}
	if s.Hub.Degraded() {
		a.Status = "degraded"
	}
	if cfg.Watchers != nil {
		a.Watchers = append(a.Watchers, s.watchers(r.Context(), g, cfg.Watchers())...)
	}
	writeJSON(w, http.StatusOK, a)
}

// ownerPatience bounds how long health waits for storage to say whose sessions the
// watchers are of.
const ownerPatience = time.Second

// watchers answers the states that the client may see: those of sessions that he
// may read. Whose owner cannot be found out is left out.
func (s *Site) watchers(ctx context.Context, g Grant, all []WatcherState) (mine []json.RawMessage) {
	ctx, cancel := context.WithTimeout(ctx, ownerPatience)
	defer cancel()
	for _, of := range all {
		if s.Hub.authorize(ctx, g, of.Session, useRead) != nil {
			continue
		}
		if json.Valid(of.State) { // it comes from outside; one bad one hides no other
			mine = append(mine, of.State)
		}
	}
	return mine
}
