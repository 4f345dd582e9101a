package resilient

import (
	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
)

// bare is a driver as it is.
type bare struct{ storage.Driver }

// NewBare answers d as it is: without breaker and journal, never degraded.
func NewBare(d storage.Driver) Storage { return bare{d} }

func (bare) CircuitBreakerStats() []breaker.Stats  { return nil }
func (bare) UsingFallback() bool                   { return false }
func (bare) ResetCircuitBreaker()                  {}
func (bare) Status() Status                        { return Status{} }
func (bare) OnStatus(func(Status)) (cancel func()) { return func() {} }
