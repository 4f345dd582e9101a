package events

import (
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
func (s *Site) breakers(w http.ResponseWriter) {
	cfg := s.Hub.cfg
	status := cfg.Backend.Status()
	a := breakersAnswer{
		Status:          "ok",
		Timestamp:       time.Now().UTC().Format(eventTime),
		CircuitBreakers: append([]breaker.Stats{}, cfg.Backend.CircuitBreakerStats()...),
		Storage: storageHealth{
			Driver:        cfg.Driver,
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
		for _, state := range cfg.Watchers() {
			if json.Valid(state) { // it comes from outside; one bad one hides no other
				a.Watchers = append(a.Watchers, state)
			}
		}
	}
	writeJSON(w, http.StatusOK, a)
}
