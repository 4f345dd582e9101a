package lifeline

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// parseDirective reads the directive of a site. Syntax:
//
//	lifeline [<matcher>] [<hub>] {
//	    api_key   <key...>
//	    user      <placeholder>
//	    anonymous read [write]
//	    origins   <origin...>
//	    poll_rate <n> <interval>
//	    compression
//	    breaker_admin <user...>
//	    dashboard
//	}
func parseDirective(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h := new(Handler)
	return h, h.UnmarshalCaddyfile(helper.Dispenser)
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		h.Hub = d.Val()
		if !hubName.MatchString(h.Hub) {
			return d.Errf("hub name %q: use 1 to 32 characters of a-z, 0-9, _ and -", h.Hub)
		}
		if err := noMore(d); err != nil {
			return err
		}
	}
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := h.parseOption(d, seen); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) parseOption(d *caddyfile.Dispenser, seen once) error {
	switch option := d.Val(); option {
	case "api_key":
		return parseList(d, &h.APIKeys)
	case "origins":
		return parseList(d, &h.Origins)
	case "breaker_admin":
		return parseList(d, &h.BreakerAdmin)
	}
	if err := seen.check(d); err != nil {
		return err
	}
	switch option := d.Val(); option {
	case "user":
		var err error
		_, h.User, err = oneArg(d)
		return err
	case "anonymous":
		return h.parseAnonymous(d)
	case "poll_rate":
		return h.parsePollRate(d)
	case "compression":
		h.Compression = true
		return noMore(d)
	case "dashboard":
		h.Dashboard = true
		return noMore(d)
	default:
		return d.Errf("unknown option %q of lifeline", option)
	}
}

func parseList(d *caddyfile.Dispenser, list *[]string) error {
	option := d.Val()
	values := d.RemainingArgs()
	if len(values) == 0 {
		return d.Errf("%s takes at least one value", option)
	}
	if slices.Contains(values, "") {
		return d.Errf("%s: an empty value", option)
	}
	*list = append(*list, values...)
	return nil
}

func (h *Handler) parseAnonymous(d *caddyfile.Dispenser) error {
	args := strings.Join(d.RemainingArgs(), " ")
	switch args {
	case "read write":
		h.AnonymousWrite = true
		fallthrough
	case "read":
		h.AnonymousRead = true
		return nil
	}
	return d.Errf("anonymous takes read or read write, not %q", args)
}

func (h *Handler) parsePollRate(d *caddyfile.Dispenser) error {
	var n, interval string
	if !d.Args(&n, &interval) || d.NextArg() {
		return d.Errf("poll_rate takes a number and an interval")
	}
	h.PollRate = new(PollRate)
	var err error
	if h.PollRate.Count, err = count(d, "poll_rate", n); err != nil {
		return err
	}
	h.PollRate.Interval, err = duration(d, "poll_rate", interval)
	return err
}

var _ caddyfile.Unmarshaler = (*Handler)(nil)
