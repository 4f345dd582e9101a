package breaker_test

import (
	"context"
	"errors"
	"testing"
	"time"
)

// settings are what the rules ask of a breaker, in the words of no library.
type settings struct {
	threshold int           // failures in a row that open it
	reset     time.Duration // time open
	probes    int           // calls at once while half-open, and successes that close it
	// onTransition is told of changes between the names of states. A library
	// that knows no half-open reports none.
	onTransition func(from, to string)
}

// The names of states.
const (
	closed   = "closed"
	open     = "open"
	halfOpen = "half-open"
)

// subject is a breaker of any library.
type subject interface {
	// Call makes a call by the entry point of the library that does most to keep
	// the rules.
	Call(ctx context.Context, op func(context.Context) error) error
	// Rejected tells a rejection from an error of op.
	Rejected(err error) bool
	State() string
}

// twoStep is a subject whose admissions are settled one by one.
type twoStep interface {
	Acquire() (done func(error), ok bool)
}

// commanded is a subject that can be opened and closed by hand.
type commanded interface {
	Trip()
	Reset()
}

// held is a subject that can be kept open, or closed, whatever happens.
type held interface {
	Hold(state string)
	Release()
}

// library is one side of the comparison.
type library struct {
	name string
	// new makes a breaker in the configuration that does most to keep the rules.
	new func(settings) (subject, error)
	// invalid are settings without sense, in the types of the library. Each
	// returns the error, if the library finds one.
	invalid map[string]func() error
	// lacks says, by rule, why the rule cannot be asked of the library.
	lacks map[int]string
	// costs are the benchmarks by path, and fresh makes breakers to be weighed: a
	// plain one and one that watches the rate of failures.
	costs map[string]func(*testing.B)
	fresh map[string]func() any
}

var libraries = []library{ours, gobreakerV2, failsafeGo, mercari, cep21}

var errDown = errors.New("dependency is down")

// panicsAre is the error for which a constructor panics, if it does: a library
// may tell its user that way.
func panicsAre(construct func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = errors.New("panic")
		}
	}()
	construct()
	return nil
}
