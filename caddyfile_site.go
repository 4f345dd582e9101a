package lifeline

import (
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/actionflows/lifeline/events"
)

// parseDirective reads the directive of a site. Syntax:
//
//	lifeline [<matcher>] [<hub>] {
//	    api_key   <key...>
//	    user      <placeholder>
//	    anonymous read [write]
//	    origins   <origin...>
//	    routes    <events ws sessions commands records health client...>
//	    poll_rate <n> <interval>
//	    compression
//	    breaker_admin <user...>
//	    dashboard
//	}
func parseDirective(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h := new(Handler)
	named := *helper.Dispenser
	if err := h.UnmarshalCaddyfile(helper.Dispenser); err != nil {
		return nil, err
	}
	app := new(App)
	if global, ok := helper.Option("lifeline").(httpcaddyfile.App); ok {
		if err := caddy.StrictUnmarshalJSON(global.Value, app); err != nil {
			return nil, helper.Errf("the global option lifeline: %v", err)
		}
	}
	if h.Hub != "" && h.Hub != DefaultHub && app.Hubs[h.Hub] == nil {
		named.Next()
		return nil, named.Errf("%v", unknownHub(h.Hub, slices.Collect(maps.Keys(app.Hubs))))
	}
	return h, nil
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		h.Hub = d.Val()
		if !hubName.MatchString(h.Hub) {
			return d.Errf("hub name %q: use 1 to 32 characters of a-z, 0-9, _ and -", h.Hub)
		}
		if err := noMore(d, "lifeline"); err != nil {
			return err
		}
	}
	return block(d, "lifeline", h, siteOptions, "api_key", "origins", "breaker_admin")
}

// siteOptions are the options of a site.
var siteOptions = options[Handler]{
	"api_key":       parseKeys,
	"user":          parseUser,
	"anonymous":     parseAnonymous,
	"origins":       parseOrigins,
	"routes":        parseRoutes,
	"poll_rate":     parsePollRate,
	"compression":   func(d *caddyfile.Dispenser, h *Handler) error { return parseFlag(d, &h.Compression) },
	"breaker_admin": func(d *caddyfile.Dispenser, h *Handler) error { return parseList(d, &h.BreakerAdmin) },
	"dashboard":     func(d *caddyfile.Dispenser, h *Handler) error { return parseFlag(d, &h.Dashboard) },
}

// parseKeys appends API keys. No error quotes one.
func parseKeys(d *caddyfile.Dispenser, h *Handler) error {
	return parseAccess(d, &h.APIKeys, func(keys []string) events.Access { return events.Access{Keys: keys} })
}

func parseOrigins(d *caddyfile.Dispenser, h *Handler) error {
	return parseAccess(d, &h.Origins, func(origins []string) events.Access { return events.Access{Origins: origins} })
}

// parseAccess appends values to a list and has the site check them.
func parseAccess(d *caddyfile.Dispenser, list *[]string, access func(values []string) events.Access) error {
	option := d.Val()
	before := len(*list)
	if err := parseList(d, list); err != nil {
		return err
	}
	site := events.Site{Access: access((*list)[before:])}
	if err := site.Provision(); err != nil {
		return d.Errf("%s: %v", option, err)
	}
	return nil
}

func parseUser(d *caddyfile.Dispenser, h *Handler) error {
	if err := parseText(d, &h.User); err != nil {
		return err
	}
	if err := checkUser(h.User); err != nil {
		return d.Errf("%v", err)
	}
	return nil
}

func parseAnonymous(d *caddyfile.Dispenser, h *Handler) error {
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

// parseRoutes reads which routes are on.
func parseRoutes(d *caddyfile.Dispenser, h *Handler) error {
	if err := parseList(d, &h.Routes); err != nil {
		return err
	}
	if _, err := events.ParseGroups(h.Routes); err != nil {
		return d.Errf("%v", err)
	}
	return nil
}

func parsePollRate(d *caddyfile.Dispenser, h *Handler) error {
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
