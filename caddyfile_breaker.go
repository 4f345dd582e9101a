package lifeline

import (
	"math"
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// parseBreaker reads the option breaker. Syntax:
//
//	breaker off
//	breaker {
//	    failure_threshold <failures>
//	    reset_timeout     <duration>
//	    backoff           <factor> <max>
//	    probes            <calls>
//	    probe_successes   <calls>
//	    probe_timeout     <duration>
//	    probe_every       <duration>
//	    adaptive
//	    rate              <share> <window> <min calls>
//	    slow              <over> <share> <window> <min calls>
//	}
func parseBreaker(d *caddyfile.Dispenser, h *Hub) error {
	h.Breaker = new(Breaker)
	b := h.Breaker
	if d.NextArg() {
		if d.Val() != "off" {
			return d.Errf("breaker takes off or a block, not %q", d.Val())
		}
		b.Off = true
		return noMore(d, "breaker off")
	}
	head := *d // errors about the whole name its line
	if err := block(d, "breaker", b, breakerOptions); err != nil {
		return err
	}
	if err := b.check("breaker"); err != nil {
		return head.Errf("%v", err)
	}
	return nil
}

// breakerOptions are the options of breaker.
var breakerOptions = options[Breaker]{
	"failure_threshold": func(d *caddyfile.Dispenser, b *Breaker) error { return parseCount(d, &b.FailureThreshold) },
	"reset_timeout":     func(d *caddyfile.Dispenser, b *Breaker) error { return parseDuration(d, &b.ResetTimeout) },
	"backoff":           parseBackoff,
	"probes":            func(d *caddyfile.Dispenser, b *Breaker) error { return parseCount(d, &b.Probes) },
	"probe_successes":   func(d *caddyfile.Dispenser, b *Breaker) error { return parseCount(d, &b.ProbeSuccesses) },
	"probe_timeout":     func(d *caddyfile.Dispenser, b *Breaker) error { return parseDuration(d, &b.ProbeTimeout) },
	"probe_every":       func(d *caddyfile.Dispenser, b *Breaker) error { return parseDuration(d, &b.ProbeEvery) },
	"adaptive":          func(d *caddyfile.Dispenser, b *Breaker) error { return parseFlag(d, &b.Adaptive) },
	"rate":              parseRate,
	"slow":              parseSlow,
}

func parseBackoff(d *caddyfile.Dispenser, b *Breaker) error {
	var factor, longest string
	if !d.Args(&factor, &longest) || d.NextArg() {
		return d.Errf("backoff takes a factor and a longest timeout")
	}
	var err error
	if b.BackoffFactor, err = strconv.ParseFloat(factor, 64); err != nil || !(b.BackoffFactor >= 1) || math.IsInf(b.BackoffFactor, 0) {
		return d.Errf("backoff: %q is not a factor of at least 1", factor)
	}
	b.BackoffMax, err = duration(d, "backoff", longest)
	return err
}

func parseRate(d *caddyfile.Dispenser, b *Breaker) error {
	var part, window, least string
	if !d.Args(&part, &window, &least) || d.NextArg() {
		return d.Errf("rate takes a share of failures, a window and a least number of calls")
	}
	b.Rate = new(BreakerRate)
	return parseWindow(d, "rate", b.Rate, part, window, least)
}

func parseSlow(d *caddyfile.Dispenser, b *Breaker) error {
	var over, part, window, least string
	if !d.Args(&over, &part, &window, &least) || d.NextArg() {
		return d.Errf("slow takes a duration, a share of slow calls, a window and a least number of calls")
	}
	b.Slow = new(BreakerSlow)
	var err error
	if b.Slow.Over, err = duration(d, "slow", over); err != nil {
		return err
	}
	return parseWindow(d, "slow", &b.Slow.BreakerRate, part, window, least)
}

func parseWindow(d *caddyfile.Dispenser, option string, r *BreakerRate, part, window, least string) error {
	var err error
	if r.Share, err = strconv.ParseFloat(part, 64); err != nil || !(r.Share > 0 && r.Share <= 1) {
		return d.Errf("%s: %q is not a share greater than 0 and at most 1", option, part)
	}
	if r.Window, err = duration(d, option, window); err != nil {
		return err
	}
	r.MinCalls, err = count(d, option, least)
	return err
}
