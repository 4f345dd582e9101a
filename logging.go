package lifeline

import (
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// The sources of log entries.
var (
	sourceBreaker = zap.String("source", "circuitBreaker")
	sourceStorage = zap.String("source", "resilientStorage")
	sourceWatcher = zap.String("source", "fileWatcher")
	sourceHub     = zap.String("source", "hub")
)

func zapSession(s string) zap.Field { return zap.String("session", s) }
func zapDir(d string) zap.Field     { return zap.String("dir", d) }

// relay is a zap core that writes to whichever core was set last: what outlives
// a configuration logs through it, so that it never holds on to the logger of a
// configuration that is gone.
type relay struct {
	target *atomic.Pointer[zapcore.Core]
	fields []zapcore.Field
}

func newRelay() *relay {
	nop := zapcore.NewNopCore()
	r := &relay{target: new(atomic.Pointer[zapcore.Core])}
	r.target.Store(&nop)
	return r
}

// set directs all loggers on this relay to another one.
func (r *relay) set(l *zap.Logger) {
	core := l.Core()
	r.target.Store(&core)
}

func (r *relay) core() zapcore.Core { return *r.target.Load() }

// Enabled implements zapcore.Core.
func (r *relay) Enabled(level zapcore.Level) bool { return r.core().Enabled(level) }

// With implements zapcore.Core.
func (r *relay) With(fields []zapcore.Field) zapcore.Core {
	all := make([]zapcore.Field, 0, len(r.fields)+len(fields))
	return &relay{target: r.target, fields: append(append(all, r.fields...), fields...)}
}

// Check implements zapcore.Core.
func (r *relay) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !r.Enabled(e.Level) {
		return ce
	}
	return ce.AddCore(e, r)
}

// Write implements zapcore.Core. The target's own Check decides once more, so
// that its sampling and filters apply.
func (r *relay) Write(e zapcore.Entry, fields []zapcore.Field) error {
	core := r.core()
	if len(r.fields) > 0 {
		core = core.With(r.fields)
	}
	if ce := core.Check(e, nil); ce != nil {
		ce.Write(fields...)
	}
	return nil
}

// Sync implements zapcore.Core.
func (r *relay) Sync() error { return r.core().Sync() }
