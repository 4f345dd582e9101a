package lifeline

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient"
)

// drainRound is how long a journal that was turned off is given at a time; the hub
// starts, or does not, after the first round in which nothing moved.
const drainRound = 5 * time.Second

// drainer is [resilient.Drain].
type drainer func(context.Context, resilient.JournaledConfig) (shipped, left int, err error)

// drainJournal ships what waits in the journal of a hub that has been told to do
// without one. While something is left the hub must not start: what comes would
// overtake what waits, and nobody would ship it.
func (h *Hub) drainJournal(hub string, d storage.Driver, logger *zap.Logger, drain drainer) error {
	cfg := h.journaled(d, logger)
	cfg.Dir = h.lastJournal(hub)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), drainRound)
		shipped, left, err := drain(ctx, cfg)
		cancel()
		if shipped > 0 {
			logger.Info("events that waited in the journal were stored", sourceStorage,
				zap.String("dir", cfg.Dir), zap.Int("stored", shipped), zap.Int("left", left))
		}
		switch {
		case left > 0 && shipped > 0:
			continue
		case left > 0:
			return h.undrained(cfg.Dir, left, err)
		case err != nil:
			return fmt.Errorf("ship what waits in the journal in %s: %w", cfg.Dir, err)
		}
		return nil
	}
}

func (h *Hub) undrained(dir string, left int, err error) error {
	refusal := fmt.Errorf("the journal or its breaker is off, and acknowledged events wait in the journal in %s: %d; "+
		"make the %s storage available, or turn both on again, or move the directory away to give these events up",
		dir, left, h.info.Driver)
	if err != nil {
		return fmt.Errorf("%w (%w)", refusal, err)
	}
	return refusal
}
