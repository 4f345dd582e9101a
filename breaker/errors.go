package breaker

import (
	"errors"
	"strconv"
	"time"
)

// ErrOpen matches, with [errors.Is], the error of every rejected call.
var ErrOpen = errors.New("breaker: open")

// ErrPanic is the error that stands for an operation which did not return but
// panicked or called [runtime.Goexit]. Only hooks and [OpenError.Cause] show it:
// the caller meets the panic itself.
var ErrPanic = errors.New("breaker: the operation panicked or exited its goroutine")

// ErrReported is the error that stands for a failure reported with
// [Token.Report], which names no error.
var ErrReported = errors.New("breaker: failure reported")

// ErrSlow is the error that stands for a call that succeeded but took longer than
// [Slow] allows. Only hooks and [OpenError.Cause] show it.
var ErrSlow = errors.New("breaker: the call was too slow")

// OpenError is the error of a rejected call: the operation was not started. It
// matches [ErrOpen]. It does not unwrap to Cause, for the rejected call did not
// meet that error itself.
//
// It is made once per trip or hold and shared by all calls rejected then, so it
// must not be changed. It is safe for concurrent use.
type OpenError struct {
	// Name is the name of the breaker.
	Name string
	// Cause is what opened the breaker: the last failure, or what was given to
	// Trip. It is nil if Trip was given nil, and while held.
	Cause error
	// Held is ForcedOpen if an operator holds the breaker open, otherwise zero.
	Held HoldState

	until time.Time // when calls are admitted again; zero if unknown
}

// Error names the breaker, the hold and the cause.
func (e *OpenError) Error() string {
	s := "breaker "
	if e.Name != "" {
		s += strconv.Quote(e.Name) + " "
	}
	s += "is open"
	if e.Held != 0 {
		s += " (" + e.Held.String() + ")"
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Is reports whether target is [ErrOpen].
func (e *OpenError) Is(target error) bool { return target == ErrOpen }

// RetryAfter is the time from now until the breaker admits a call again, and
// never negative. It is 0 when that time has come (the breaker is half-open and
// its probe slots were taken: try again soon) and when it is unknown (a hold for
// ever). It reads the clock.
func (e *OpenError) RetryAfter() time.Duration {
	if e.until.IsZero() {
		return 0
	}
	return max(0, time.Until(e.until))
}
