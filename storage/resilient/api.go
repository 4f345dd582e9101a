package resilient

import (
	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
)

// Storage is a driver that outlives its backend's failures, and what operators
// and the hub want to know of it.
type Storage interface {
	storage.Driver
	// CircuitBreakerStats answers one entry per breaker; none when it is off.
	CircuitBreakerStats() []breaker.Stats
	// UsingFallback reports whether events are acknowledged without the backend.
	UsingFallback() bool
	// ResetCircuitBreaker closes every breaker by hand.
	ResetCircuitBreaker()
	// Status is the state of the whole in words and numbers.
	Status() Status
	// OnStatus calls fn soon, and then at every change of Degraded or Reasons, in
	// order, never under a lock of the storage, until cancel is called; after cancel
	// has returned fn is not called again. A bare driver has nothing to tell.
	OnStatus(fn func(Status)) (cancel func())
}

// Status is what a health page shows.
type Status struct {
	// Degraded: a breaker is not closed, or something is not in the backend that was
	// acknowledged or has waited for more than 250 ms.
	Degraded bool
	// Reasons says why, for people, without addresses; nil when not degraded.
	Reasons []string
	// Pending counts acknowledged entries that are not in the backend yet.
	Pending int
	// JournalBytes is what the journal holds, stored or not, estimated as
	// MaxBytes counts it; 0 without a journal.
	JournalBytes int64
}
