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
// turned off.
// changed is called after each of its transitions.
func newBreaker(h *Hub, logger *zap.Logger, changed func()) (*breaker.Breaker, error) {
	if breakerDisabled(h, logger.With(sourceStorage)) || h.info.Volatile {
		return nil, nil //nolint:nilnil // no breaker is an answer
	}
	cfg := h.Breaker.config(h.info.Driver)
	cfg.Hooks = breakerHooks(logger.With(sourceBreaker), changed)
	b, err := breaker.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("breaker: %w", err)
	}
	return b, nil
}

// protect wraps a driver: with breaker and journal when it is remote, with the
// breaker alone when it is local.
func protect(d storage.Driver, info StorageInfo, b *breaker.Breaker, logger *zap.Logger) (resilient.Storage, error) {
	switch {
	case b == nil:
		return resilient.NewBare(d), nil
	case !info.Remote:
		return resilient.NewGuarded(resilient.GuardedConfig{Driver: d, Breaker: b, Logger: logger}), nil
	}
	logger.Warn(resilient.VolatileWarning, sourceStorage)
	st, err := resilient.NewJournaled(resilient.JournaledConfig{Driver: d, Breaker: b, Logger: logger})
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

// breakerHooks tells operators what the breaker does, and the storage that it did.
func breakerHooks(log *zap.Logger, changed func()) breaker.Hooks {
	return breaker.Hooks{
		OnTransition: func(t breaker.Transition) {
			defer changed()
			fields := []zap.Field{
				zap.String("breaker", t.Name), zap.Stringer("from", t.From), zap.Stringer("to", t.To),
				zap.Uint64("total_trips", t.TotalTrips), zap.String("reason", string(t.Reason)),
			}
			switch {
			case t.To == breaker.Open:
				log.Error("circuit breaker tripped", append(fields, zap.NamedError("cause", t.Cause))...)
			case t.To == breaker.Closed && t.From != breaker.Closed:
				log.Info("circuit breaker recovered", fields...)
			default:
				log.Info("circuit breaker changed state", fields...)
			}
		},
		OnFailure: func(f breaker.FailureInfo) {
			log.Debug("failure counted", zap.String("breaker", f.Name), zap.Error(f.Err))
		},
	}
}
