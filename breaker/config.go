package breaker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Defaults of [Config], [Backoff], [Rate], [Slow] and [WatchConfig].
const (
	DefaultFailureThreshold = 5
	DefaultResetTimeout     = 30 * time.Second
	DefaultBackoffFactor    = 1.0
	DefaultBackoffMax       = 10 * time.Minute
	DefaultBackoffJitter    = 0.1
	DefaultProbes           = 1
	DefaultProbeSuccesses   = 1

	DefaultWindow   = 10 * time.Second
	DefaultMinCalls = 20
	DefaultShare    = 0.5

	DefaultWatchEvery     = 5 * time.Second
	DefaultWatchOpenEvery = 250 * time.Millisecond
	DefaultWatchTimeout   = time.Second
	DefaultWatchFailures  = 3
)

// maxDuration leaves room to lengthen a duration without overflow (73 years).
const maxDuration = time.Duration(math.MaxInt64 / 4)

// Config describes a breaker. The zero value of a field means its default, so
// Config{} is a complete configuration. A value out of its range makes [New]
// fail.
type Config struct {
	// Name says what the breaker guards, in Stats, errors and hook events. It
	// may be empty.
	Name string

	// FailureThreshold is the number of consecutive failures that opens the
	// breaker: with 5, the fifth opens it. Default 5, at most 16,777,215.
	FailureThreshold int

	// ResetTimeout is how long the breaker stays open before it admits a probe.
	// Default 30 s.
	ResetTimeout time.Duration

	// Backoff lengthens ResetTimeout when probes keep failing.
	Backoff Backoff

	// Probes is how many calls may be in flight while half-open. Default 1, at
	// most 4,095.
	Probes int

	// ProbeSuccesses is how many successful probes close the breaker. It may
	// exceed Probes; they then follow one another. Default 1, at most 4,095.
	ProbeSuccesses int

	// ProbeTimeout is how long a probe keeps its slot. The probe itself is not
	// interrupted, but its result is void. Default ResetTimeout.
	ProbeTimeout time.Duration

	// Rate opens the breaker also when too large a share of calls fails. Default
	// nil: off.
	Rate *Rate

	// Slow opens the breaker when too large a share of calls is slow. Default
	// nil: off.
	Slow *Slow

	// Adaptive replaces FailureThreshold by a threshold that is learned from how
	// often the dependency fails when all is well, as soon as 500 calls have been
	// seen. FailureThreshold, which holds until then, is then at most 511. See
	// docs/breaker.md for the rule and its sources. Default false: off.
	Adaptive bool

	// Classify decides what the result of a call says about the dependency.
	// ctx and err are those of the call; err may be nil. It is called from many
	// goroutines at once. An Outcome that is none of the constants counts as
	// Failure. Default [DefaultClassify].
	Classify func(ctx context.Context, err error) Outcome

	// Hooks are told what happens.
	Hooks Hooks

	// Metrics counts successes in Stats. It costs one atomic addition per
	// successful call, which is why it is off by default.
	Metrics bool
}

// Backoff says how the time open grows from trip to trip in a row. Trips are in
// a row as long as the breaker does not close in between. The n-th lasts
//
//	min(ResetTimeout × Factor^(n-1), Max)
//
// and from the second on Jitter is added. The first trip always lasts exactly
// ResetTimeout.
type Backoff struct {
	// Factor multiplies the timeout at each further trip. At least 1; default 1,
	// which lets it stay the same.
	Factor float64

	// Max bounds the timeout before jitter. At least ResetTimeout; default 10
	// min, or ResetTimeout where that is longer.
	Max time.Duration

	// Jitter is the greatest share by which a timeout is lengthened at random,
	// so that many processes do not probe in step. It never shortens. Greater
	// than 0 and at most 1; default 0.1. A tiny value, such as 1e-12, is as good
	// as none.
	Jitter float64
}

// Rate is the rule that a failure opens the breaker if, with it, at least the
// share Share of the calls that ended within the last Window failed, and these
// were at least MinCalls. Ignored calls are not among them. It holds beside
// FailureThreshold: whichever is met first opens the breaker. It costs a reading
// of the clock and a lock per call.
type Rate struct {
	// Share is greater than 0 and at most 1. Default 0.5.
	Share float64
	// Window moves on in steps of a tenth of itself. Default 10 s.
	Window time.Duration
	// MinCalls is at least 1. Default 20.
	MinCalls int
}

// Slow is the rule that a slow call opens the breaker if, with it, at least the
// share Share of the calls that ended within the last Window took longer than
// Over, and these were at least MinCalls. Failed calls are among them, ignored
// calls are not. A slow success counts as a success for FailureThreshold and
// Rate; while half-open it counts as a failure, [ErrSlow]. It costs two readings
// of the clock and a lock per call.
type Slow struct {
	// Over is the longest time that a call may take without being slow. It has
	// no default.
	Over time.Duration
	// Share is greater than 0 and at most 1. Default 0.5.
	Share float64
	// Window moves on in steps of a tenth of itself. Default 10 s.
	Window time.Duration
	// MinCalls is at least 1. Default 20.
	MinCalls int
}

// withDefaults replaces zero values. It leaves invalid values as they are.
func (c Config) withDefaults() Config {
	c.FailureThreshold = orDefault(c.FailureThreshold, DefaultFailureThreshold)
	c.ResetTimeout = orDefault(c.ResetTimeout, DefaultResetTimeout)
	c.Backoff.Factor = orDefault(c.Backoff.Factor, DefaultBackoffFactor)
	c.Backoff.Max = orDefault(c.Backoff.Max, max(DefaultBackoffMax, c.ResetTimeout))
	c.Backoff.Jitter = orDefault(c.Backoff.Jitter, DefaultBackoffJitter)
	c.Probes = orDefault(c.Probes, DefaultProbes)
	c.ProbeSuccesses = orDefault(c.ProbeSuccesses, DefaultProbeSuccesses)
	c.ProbeTimeout = orDefault(c.ProbeTimeout, c.ResetTimeout)
	if c.Rate != nil {
		r := *c.Rate
		r.Share = orDefault(r.Share, DefaultShare)
		r.Window = orDefault(r.Window, DefaultWindow)
		r.MinCalls = orDefault(r.MinCalls, DefaultMinCalls)
		c.Rate = &r
	}
	if c.Slow != nil {
		s := *c.Slow
		s.Share = orDefault(s.Share, DefaultShare)
		s.Window = orDefault(s.Window, DefaultWindow)
		s.MinCalls = orDefault(s.MinCalls, DefaultMinCalls)
		c.Slow = &s
	}
	return c
}

// validate reports every field that is out of its range, by name.
func (c Config) validate() error {
	factor, jitter := c.Backoff.Factor, c.Backoff.Jitter
	threshold := maxFailures
	if c.Adaptive {
		threshold = maxRun
	}
	return errors.Join(
		count("FailureThreshold", c.FailureThreshold, threshold),
		duration("ResetTimeout", c.ResetTimeout),
		check(factor >= 1 && factor <= math.MaxFloat64, "Backoff.Factor", factor, "at least 1 and finite"),
		duration("Backoff.Max", c.Backoff.Max),
		check(c.Backoff.Max >= c.ResetTimeout, "Backoff.Max", c.Backoff.Max, "at least ResetTimeout"),
		share("Backoff.Jitter", jitter),
		count("Probes", c.Probes, maxProbes),
		count("ProbeSuccesses", c.ProbeSuccesses, maxProbes),
		duration("ProbeTimeout", c.ProbeTimeout),
		c.Rate.validate(),
		c.Slow.validate(),
	)
}

func (r *Rate) validate() error {
	if r == nil {
		return nil
	}
	return errors.Join(
		share("Rate.Share", r.Share),
		duration("Rate.Window", r.Window),
		count("Rate.MinCalls", r.MinCalls, math.MaxInt32),
	)
}

func (s *Slow) validate() error {
	if s == nil {
		return nil
	}
	return errors.Join(
		duration("Slow.Over", s.Over),
		share("Slow.Share", s.Share),
		duration("Slow.Window", s.Window),
		count("Slow.MinCalls", s.MinCalls, math.MaxInt32),
	)
}

// timeout is how long the breaker stays open at its n-th trip in a row (from 1),
// where random is in [0, 1).
func (c Config) timeout(n int, random float64) time.Duration {
	if n <= 1 {
		return c.ResetTimeout
	}
	d := float64(c.ResetTimeout) * math.Pow(c.Backoff.Factor, float64(n-1))
	d = min(d, float64(c.Backoff.Max))
	return time.Duration(d * (1 + c.Backoff.Jitter*random))
}

func orDefault[T comparable](value, byDefault T) T {
	var zero T
	if value == zero {
		return byDefault
	}
	return value
}

// check is an error that names the field, unless ok. A comparison with NaN is
// never ok.
func check(ok bool, field string, value any, want string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%s is %v; it must be %s", field, value, want)
}

func count(field string, n, most int) error {
	return check(n >= 1 && n <= most, field, n, fmt.Sprintf("at least 1 and at most %d", most))
}

func share(field string, f float64) error {
	return check(f > 0 && f <= 1, field, f, "greater than 0 and at most 1")
}

func duration(field string, d time.Duration) error {
	return check(d > 0 && d <= maxDuration, field, d, "positive and at most 73 years")
}
