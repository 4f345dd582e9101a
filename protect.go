package lifeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient"
)

const disableVariable = "AFW_DISABLE_CIRCUIT_BREAKER"

// newBreakers makes the breakers of a hub: one, or one for each lane of a driver
// whose parts fail apart from each other; none for memory, which needs none, and
// where they are turned off. changed is called after each of their transitions.
func newBreakers(h *Hub, d storage.Driver, logger *zap.Logger, t *telemetry, changed func()) ([]*breaker.Breaker, error) {
	if breakerDisabled(h, logger.With(sourceStorage)) || h.info.Volatile {
		return nil, nil
	}
	var breakers []*breaker.Breaker
	for _, name := range breakerNames(h.info, d) {
		cfg := h.Breaker.config(name)
		cfg.Hooks = t.hooks(changed)
		b, err := breaker.New(cfg)
		if err != nil {
			closeBreakers(breakers)
			return nil, fmt.Errorf("breaker %s: %w", name, err)
		}
		t.created(b, cfg)
		breakers = append(breakers, b)
	}
	return breakers, nil
}

// breakerNames are the storage's name, or one for each of its lanes, in their order.
func breakerNames(info StorageInfo, d storage.Driver) []string {
	p, ok := d.(storage.Partitioned)
	if !ok || !info.Remote || len(p.Lanes()) < 2 {
		return []string{info.Driver}
	}
	var names []string
	for _, lane := range p.Lanes() {
		names = append(names, info.Driver+"-"+lane)
	}
	return names
}

func closeBreakers(breakers []*breaker.Breaker) {
	for _, b := range breakers {
		b.Close()
	}
}

// protect wraps a driver: with breakers and journal when it is remote, with a
// breaker alone when it is local. What an earlier journal holds is shipped first.
func protect(d storage.Driver, hub string, h *Hub, breakers []*breaker.Breaker, logger *zap.Logger) (resilient.Storage, error) {
	if h.info.Remote && (len(breakers) == 0 || h.Journal.Off) {
		if err := h.drainJournal(hub, d, logger, resilient.Drain); err != nil {
			return nil, err
		}
	}
	every := h.Breaker.probeEvery()
	switch {
	case len(breakers) == 0:
		return resilient.NewBare(d), nil
	case !h.info.Remote:
		return resilient.NewGuarded(resilient.GuardedConfig{Driver: d, Breaker: breakers[0], Logger: logger, ProbeEvery: every}), nil
	}
	cfg := h.journaled(d, logger)
	cfg.Breakers, cfg.ProbeEvery = breakers, every
	if cfg.Dir == "" {
		logger.Warn(resilient.VolatileWarning, sourceStorage)
	} else {
		logger.Info("events are journaled on disk", sourceStorage, zap.String("dir", cfg.Dir))
	}
	st, err := resilient.NewJournaled(cfg)
	if errors.As(err, new(*fs.PathError)) {
		return nil, fmt.Errorf("%w; make %s a directory that the server may write to, or name another one with the option journal", err, cfg.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("journal in %s: %w", cfg.Dir, err)
	}
	return st, nil
}

// journaled is what the journal's settings say; with the journal off it is one in
// memory.
func (h *Hub) journaled(d storage.Driver, logger *zap.Logger) resilient.JournaledConfig {
	return resilient.JournaledConfig{
		Driver: d, Logger: logger,
		Dir: h.Journal.Dir, MaxBytes: h.Journal.MaxSize, Retain: time.Duration(h.Journal.Retain),
	}
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
