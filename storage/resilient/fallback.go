package resilient

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// fallbackLog tells operators that an open breaker was met: the first time, then
// at most once a minute with a count, and what is left when it closes.
type fallbackLog struct {
	logger *zap.Logger
	did    string // instead of the write

	mu   sync.Mutex
	last time.Time // of the last warning
	met  int       // since then
}

func newFallbackLog(logger *zap.Logger, breakerName, did string) *fallbackLog {
	return &fallbackLog{
		logger: logger.With(zap.String("source", "circuitBreaker"), zap.String("breaker", breakerName)),
		did:    did,
	}
}

// note counts writes that met the open breaker.
func (f *fallbackLog) note(writes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.met += writes
	if now := time.Now(); f.last.IsZero() || now.Sub(f.last) >= warnEvery {
		f.logger.Warn("circuit breaker open, fallback used", zap.String("fallback", f.did), zap.Int("count", f.met))
		f.last, f.met = now, 0
	}
}

// closed is called when the breaker is closed again.
func (f *fallbackLog) closed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.met > 0 {
		f.logger.Info("circuit breaker closed, fallback no longer used", zap.String("fallback", f.did), zap.Int("count", f.met))
		f.met = 0
	}
}
