package lifeline

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/actionflows/lifeline/breaker"
)

// Breaker is the setting of the circuit breaker; zero values are the defaults of
// package breaker.
type Breaker struct {
	// No breaker and no journal: storage is used as it is. Default: both are on.
	Off bool `json:"off,omitempty"`
	// Consecutive failures that open it. Default: 5.
	FailureThreshold int `json:"failure_threshold,omitempty"`
	// The longest time open before a call tries the storage again. Default: 30s.
	ResetTimeout caddy.Duration `json:"reset_timeout,omitempty"`
	// Each trip in a row multiplies the reset timeout by this factor. Default: 1.
	BackoffFactor float64 `json:"backoff_factor,omitempty"`
	// Up to which the reset timeout grows. Default: 10m.
	BackoffMax caddy.Duration `json:"backoff_max,omitempty"`
	// Calls at once while half-open. Default: 1.
	Probes int `json:"probes,omitempty"`
	// Successes that close it. Default: 1.
	ProbeSuccesses int `json:"probe_successes,omitempty"`
	// After it a silent probe no longer counts. Default: the reset timeout.
	ProbeTimeout caddy.Duration `json:"probe_timeout,omitempty"`
	// The time between the hub's own test writes while the breaker is closed,
	// three of which in a row must fail to open it. Default: 5s in front of a
	// remote storage; a local one is only tested while the breaker is open.
	ProbeEvery caddy.Duration `json:"probe_every,omitempty"`
	// Learn how many failures are normal, and open when more come. Default: off.
	Adaptive bool `json:"adaptive,omitempty"`
	// Open also when too large a share of calls fails. Default: off.
	Rate *BreakerRate `json:"rate,omitempty"`
	// Open also when too large a share of calls is slow. Default: off.
	Slow *BreakerSlow `json:"slow,omitempty"`
}

// BreakerRate is a share of the calls of a window.
type BreakerRate struct {
	// Greater than 0 and at most 1. Default: 0.5.
	Share float64 `json:"share,omitempty"`
	// Default: 10s.
	Window caddy.Duration `json:"window,omitempty"`
	// With fewer calls in the window nothing happens. Default: 20.
	MinCalls int `json:"min_calls,omitempty"`
}

// BreakerSlow is a share of slow calls.
type BreakerSlow struct {
	// A call that takes longer is slow. Required.
	Over caddy.Duration `json:"over,omitempty"`
	BreakerRate
}

// config is the setting for package breaker. b may be nil.
func (b *Breaker) config(name string) breaker.Config {
	c := breaker.Config{Name: name, Metrics: true}
	if b == nil {
		return c
	}
	c.FailureThreshold = b.FailureThreshold
	c.ResetTimeout = time.Duration(b.ResetTimeout)
	c.Backoff = breaker.Backoff{Factor: b.BackoffFactor, Max: time.Duration(b.BackoffMax)}
	c.Probes, c.ProbeSuccesses = b.Probes, b.ProbeSuccesses
	c.ProbeTimeout = time.Duration(b.ProbeTimeout)
	c.Adaptive = b.Adaptive
	if r := b.Rate; r != nil {
		c.Rate = &breaker.Rate{Share: r.Share, Window: time.Duration(r.Window), MinCalls: r.MinCalls}
	}
	if s := b.Slow; s != nil {
		c.Slow = &breaker.Slow{
			Over: time.Duration(s.Over), Share: s.Share, Window: time.Duration(s.Window), MinCalls: s.MinCalls,
		}
	}
	return c
}

// probeEvery is 0 where nothing is set. b may be nil.
func (b *Breaker) probeEvery() time.Duration {
	if b == nil {
		return 0
	}
	return time.Duration(b.ProbeEvery)
}

// check refuses values that no default replaces. b may be nil.
func (b *Breaker) check(name string) error {
	if b == nil || b.Off {
		return nil
	}
	if b.ProbeEvery < 0 {
		return fmt.Errorf("breaker: probe_every %s is negative", time.Duration(b.ProbeEvery))
	}
	try, err := breaker.New(b.config(name))
	if err != nil {
		return err
	}
	try.Close()
	return nil
}
