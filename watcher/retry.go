package watcher

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// stableAfter is how long a run must hold to count as a success.
const stableAfter = 10 * time.Second

// maxRetryDelay bounds the doubling of delays.
const maxRetryDelay = time.Hour

// supervisor starts something again and again as its policy allows.
type supervisor struct {
	attempts int           // how often a failed run is started again
	initial  time.Duration // delay of the first attempt
	log      *zap.Logger

	// run works until it fails or ctx is done; it calls ready once it works.
	run func(ctx context.Context, ready func()) error

	// dormant waits after the last attempt for a reason to start again; fresh
	// makes the attempts count from zero.
	dormant func(ctx context.Context, cause error, began time.Time) (fresh bool, err error)

	// report is told of each state, the attempts used and the last error.
	report func(state State, used int, err error)

	// stable is told when a run has held for long enough.
	stable func()

	used int
}

// loop returns when ctx is done.
func (s *supervisor) loop(ctx context.Context) {
	again := false
	for ctx.Err() == nil {
		began := time.Now()
		err := s.life(ctx, again)
		if ctx.Err() != nil {
			return
		}
		again = true
		s.log.Error("watcher failed", zap.Error(err))
		if s.used >= s.attempts {
			s.log.Error("watcher retries exhausted", zap.Int("attempts", s.used), zap.Error(err))
			s.report(StateFailed, s.used, err)
			fresh, dormantErr := s.dormant(ctx, err, began)
			if dormantErr != nil {
				return
			}
			if fresh {
				s.used = 0
			}
			continue
		}
		delay := s.delay()
		s.used++
		s.log.Info("watcher retry scheduled", zap.Int("attempt", s.used),
			zap.Int("max_attempts", s.attempts), zap.Duration("in", delay))
		s.report(StateRetrying, s.used, err)
		sleep(ctx, delay)
	}
}

// life is one run. When it has held for long enough the attempts used before
// are forgotten.
func (s *supervisor) life(ctx context.Context, again bool) error {
	s.report(StateStarting, s.used, nil)
	var ready time.Time
	var timer *time.Timer
	err := s.run(ctx, func() {
		ready = time.Now()
		if again {
			s.log.Info("watcher restarted", zap.Int("attempt", s.used))
		}
		s.report(StateWatching, s.used, nil)
		timer = time.AfterFunc(stableAfter, s.stable)
	})
	if timer == nil {
		return err
	}
	timer.Stop()
	if time.Since(ready) >= stableAfter {
		s.used = 0
	}
	return err
}

// delay is that of the next attempt.
func (s *supervisor) delay() time.Duration {
	delay := s.initial
	for range s.used {
		if delay >= maxRetryDelay/2 {
			return max(maxRetryDelay, s.initial)
		}
		delay *= 2
	}
	return delay
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
