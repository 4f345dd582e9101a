package lifeline

import (
	"fmt"
	"os"
	"strings"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient"
)

const disableVariable = "AFW_DISABLE_CIRCUIT_BREAKER"

// newBreaker makes the breaker of a hub, or nil: memory needs none, and it may be
// turned off. changed is called after each of its transitions.
func newBreaker(h *Hub, logger *zap.Logger, t *telemetry, changed func()) (*breaker.Breaker, error) {
	if breakerDisabled(h, logger.With(sourceStorage)) || h.info.Volatile {
		return nil, nil //nolint:nilnil // no breaker is an answer
	}
	cfg := h.Breaker.config(h.info.Driver)
	cfg.Hooks = t.hooks(changed)
	b, err := breaker.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("breaker: %w", err)
	}
	t.created(b, cfg)
	return b, nil
}

// protect wraps a driver: with breaker and journal when it is remote, with the
// breaker alone when it is local.
func protect(d storage.Driver, h *Hub, b *breaker.Breaker, logger *zap.Logger) (resilient.Storage, error) {
	every := h.Breaker.probeEvery()
	switch {
	case b == nil:
		return resilient.NewBare(d), nil
	case !h.info.Remote:
		return resilient.NewGuarded(resilient.GuardedConfig{Driver: d, Breaker: b, Logger: logger, ProbeEvery: every}), nil
	}
	logger.Warn(resilient.VolatileWarning, sourceStorage)
	st, err := resilient.NewJournaled(resilient.JournaledConfig{Driver: d, Breakers: []*breaker.Breaker{b}, Logger: logger, ProbeEvery: every})
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return st, nil
}

func breakerDisabled(h *Hub, log *zap.Logger) bool {
	value := os.Getenv(disableVariable)
	switch {
	case strings.EqualFold(value, "true"):
		log.Warn("circuit breaker and journal are disabled by " + disableVariable +
			": a failing storage fails every request")
		return true
	case value != "":
		log.Warn(disableVariable+" is set but not to true: the circuit breaker stays on",
			zap.String("value", value))
	}
	if h.Breaker != nil && h.Breaker.Off {
		log.Warn("circuit breaker and journal are off: a failing storage fails every request")
		return true
	}
	return false
}
