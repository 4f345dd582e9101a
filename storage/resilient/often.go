package resilient

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// often logs an error that may come with every call: the first time, and then at
// most once a minute, with a count.
type often struct {
	logger *zap.Logger

	mu   sync.Mutex
	last time.Time
	met  int // since then
}

func (o *often) note(message string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.met++
	if now := time.Now(); o.last.IsZero() || now.Sub(o.last) >= warnEvery {
		o.logger.Error(message, zap.Error(err), zap.Int("times", o.met))
		o.last, o.met = now, 0
	}
}
