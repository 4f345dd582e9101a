package breaker

import (
	"context"
	"errors"
)

// Outcome is what the result of a call says about the dependency.
type Outcome uint8

const (
	// Success clears the count of failures, or brings a half-open breaker
	// nearer to closed.
	Success Outcome = iota
	// Failure counts towards the threshold, or reopens a half-open breaker.
	Failure
	// Ignore says nothing: it changes no count and frees the probe slot.
	Ignore
)

// DefaultClassify is the rule of a breaker without Classify. A nil error is a
// Success. The caller's own cancel is ignored: err is a [context.Canceled] and
// ctx itself was cancelled. Everything else is a Failure, a deadline included,
// whoever set it: too slow is a way to fail.
func DefaultClassify(ctx context.Context, err error) Outcome {
	switch {
	case err == nil:
		return Success
	case errors.Is(err, context.Canceled) && errors.Is(ctx.Err(), context.Canceled):
		return Ignore
	default:
		return Failure
	}
}
