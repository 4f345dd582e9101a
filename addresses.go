package lifeline

import (
	"context"
	"net/http"
	"slices"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/actionflows/lifeline/events"
)

// warnIfOpenButClosed says at start that a site which others can reach has no
// access line, so that all of them will be refused.
func (h *Handler) warnIfOpenButClosed(ctx caddy.Context) {
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || h.hasAccessLine() {
		return
	}
	hosts := hostsOf(srv)
	if !slices.ContainsFunc(hosts, func(host string) bool { return !events.IsLoopbackHost(host) }) {
		return
	}
	h.logger.Warn("this site is not local and has no access line: only local clients and users that Caddy "+
		"authenticates are served; add `api_key`, `anonymous read` or authentication",
		zap.Strings("site", hosts))
}

// currentRoute is the route that is being provisioned: the first whose handlers
// Caddy has not taken from their JSON yet.
func currentRoute(srv *caddyhttp.Server) caddyhttp.Route {
	for _, route := range srv.Routes {
		if len(route.HandlersRaw) > 0 {
			return route
		}
	}
	return caddyhttp.Route{}
}

// hostsOf answers the host names of the route that is being provisioned. Without
// host names it is reached by the server's addresses.
func hostsOf(srv *caddyhttp.Server) []string {
	var hosts []string
	for _, set := range currentRoute(srv).MatcherSets {
		for _, m := range set {
			if match, ok := m.(*caddyhttp.MatchHost); ok {
				hosts = append(hosts, *match...)
			}
		}
	}
	if len(hosts) > 0 {
		return hosts
	}
	for _, listen := range srv.Listen {
		addr, err := caddy.ParseNetworkAddress(listen)
		if err == nil && !addr.IsUnixNetwork() {
			hosts = append(hosts, addr.Host)
		}
	}
	return hosts
}

// servedHosts answers which hosts lead to the route that is being provisioned; nil:
// all do.
func servedHosts(ctx caddy.Context) func(host string) bool {
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil
	}
	var matchers []caddyhttp.MatchHost
	sets := currentRoute(srv).MatcherSets
	for _, set := range sets {
		for _, m := range set {
			if match, ok := m.(*caddyhttp.MatchHost); ok {
				matchers = append(matchers, *match)
			}
		}
	}
	if len(matchers) < len(sets) || len(sets) == 0 {
		return nil // a set without hosts is for all
	}
	return func(host string) bool {
		r := (&http.Request{Host: host}).WithContext(context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer()))
		return slices.ContainsFunc(matchers, func(m caddyhttp.MatchHost) bool {
			ok, err := m.MatchWithError(r)
			return ok && err == nil
		})
	}
}
