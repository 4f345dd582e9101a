package lifeline

import (
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestRelayFollowsTheCurrentLogger: what was made from the relay before a reload
// writes to the logger of the configuration after it, with its own fields.
func TestRelayFollowsTheCurrentLogger(t *testing.T) {
	r := newRelay()
	log := zap.New(r).With(zap.String("source", "hub"))
	log.Error("nobody listens yet")

	old, oldEntries := observer.New(zapcore.InfoLevel)
	r.set(zap.New(old).With(zap.String("hub", "a")))
	log.Info("one")
	log.Debug("too quiet for the old one")

	next, nextEntries := observer.New(zapcore.DebugLevel)
	r.set(zap.New(next))
	log.Debug("two", zap.Int("n", 2))

	if got := oldEntries.All(); len(got) != 1 || got[0].Message != "one" ||
		got[0].ContextMap()["source"] != "hub" || got[0].ContextMap()["hub"] != "a" {
		t.Errorf("old logger: %v", got)
	}
	if got := nextEntries.All(); len(got) != 1 || got[0].Message != "two" ||
		got[0].ContextMap()["source"] != "hub" || got[0].ContextMap()["n"] != int64(2) {
		t.Errorf("next logger: %v", got)
	}
}
