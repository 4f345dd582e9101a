package resilient

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/internal/loglimit"
)

// fallbackLog tells operators that an open breaker was met: the first time after it
// was closed, then at most once a minute with a count, and what is left when it
// closes. Where a breaker opens again and again only a few of these times are told
// at once, and the others with the next line.
type fallbackLog struct {
	logger   *zap.Logger
	breakers []*breaker.Breaker
	did      string // instead of the write

	mu    sync.Mutex
	begun loglimit.Limit
	told  bool      // since the breakers were closed
	noted bool      // the same, or it was found to be one too many
	last  time.Time // of the last line
	met   int       // since then
}

func newFallbackLog(logger *zap.Logger, breakers []*breaker.Breaker, did string) *fallbackLog {
	return &fallbackLog{
		logger: logger.With(zap.String("source", "circuitBreaker")), breakers: breakers, did: did,
	}
}

// note counts writes that met the open breaker.
func (f *fallbackLog) note(writes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.met += writes
	begins := !f.noted && f.begun.Allow(now)
	f.noted = true
	if begins || f.due(now) {
		f.logger.Warn("circuit breaker open, fallback used", zap.Strings("breakers", f.open()),
			zap.String("fallback", f.did), zap.Int("count", f.met))
		f.told, f.last, f.met = true, now, 0
	}
}

func (f *fallbackLog) due(now time.Time) bool { return now.Sub(f.last) >= loglimit.Every }

// open are the names of those that are not closed.
func (f *fallbackLog) open() (names []string) {
	for _, b := range f.breakers {
		if b.State() != breaker.Closed {
			names = append(names, b.Name())
		}
	}
	return names
}

// closed is called while the breakers are closed. It answers when it must be called
// again for what is not told; 0: all is.
func (f *fallbackLog) closed() (again time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.met > 0 && (f.told || f.due(now)) {
		f.logger.Info("circuit breaker closed, fallback no longer used", zap.String("fallback", f.did), zap.Int("count", f.met))
		f.last, f.met = now, 0
	}
	f.told, f.noted = false, false
	if f.met > 0 {
		return loglimit.Every - now.Sub(f.last)
	}
	return 0
}
