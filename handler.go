package lifeline

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/web"
)

// userPlaceholder is what `user` may be: one placeholder whose value comes with the
// request. Anything else would make everybody the same, authenticated, user.
var userPlaceholder = regexp.MustCompile(`^\{http\.[^{}]+\}$`)

// startWait is how long a request waits for a hub that is still starting.
const startWait = 5 * time.Second

// Handler serves the routes of a hub: events in, events out, health. Other
// requests go to the next handler. Without an access line only local clients are
// served.
type Handler struct {
	// The hub by name. Default: `default`.
	Hub string `json:"hub,omitempty"`

	// Keys that let a service read and write all; several for rotation. Default: none.
	APIKeys []string `json:"api_keys,omitempty"`
	// A placeholder that names the user, for forward_auth and client
	// certificates, such as `{http.request.header.Remote-User}`: strip that
	// header from clients. The user of Caddy's own authentication always counts.
	// Default: none.
	User string `json:"user,omitempty"`
	// Everybody may read. Default: nobody, but local clients where there is no other
	// way in.
	AnonymousRead bool `json:"anonymous_read,omitempty"`
	// Everybody may write, which needs anonymous_read. Default: nobody.
	AnonymousWrite bool `json:"anonymous_write,omitempty"`
	// Foreign origins whose pages may use the hub, such as
	// `https://app.example.com`. Default: only the site's own.
	Origins []string `json:"origins,omitempty"`

	// The routes that are on: `events`, `ws`, `sessions`, `commands`, `records`,
	// `health`, `client`. Requests to others go to the next handler. Default: all.
	Routes []string `json:"routes,omitempty"`

	// How many polls of one session a client may make in Interval. Default: 1 in
	// 5 s.
	PollRate *PollRate `json:"poll_rate,omitempty"`

	// Send events compressed to WebSocket clients who offer that (RFC 7692). Each
	// event is compressed once for all of them. Default: off.
	Compression bool `json:"compression,omitempty"`

	// The users who may reset, trip, hold and release the hub's circuit breakers at
	// `/api/health/circuit-breakers/{breaker}/{operation}`; `*` is every
	// authenticated user. Default: nobody.
	BreakerAdmin []string `json:"breaker_admin,omitempty"`

	// Serve the dashboard at /lifeline/ and, to those who may read all sessions and to
	// BreakerAdmin, what it shows at /lifeline/status. Default: off.
	Dashboard bool `json:"dashboard,omitempty"`

	rt     *runtime
	site   *events.Site
	page   http.Handler
	bound  atomic.Pointer[events.Site] // site with its hub, once that runs
	logger *zap.Logger
	warned atomic.Bool
}

// PollRate bounds polls.
type PollRate struct {
	// Polls in one interval. Required.
	Count int `json:"count"`
	// The interval. Required.
	Interval caddy.Duration `json:"interval"`
}

// CaddyModule implements caddy.Module.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.lifeline", New: func() caddy.Module { return new(Handler) }}
}

// Provision finds the hub and checks the settings.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger().With(sourceHub)
	if h.Hub == "" {
		h.Hub = DefaultHub
	}
	app, err := ctx.App("lifeline")
	if err != nil {
		return fmt.Errorf("load hubs: %w", err)
	}
	if h.rt, err = app.(*App).runtimeOf(ctx, h.Hub); err != nil {
		return err
	}
	if err := h.provisionSite(ctx); err != nil {
		return err
	}
	hub := app.(*App).Hubs[h.Hub]
	hub.sites = append(hub.sites, h.site)
	if h.Dashboard {
		h.page = http.StripPrefix("/lifeline/", web.Handler())
	}
	h.warnIfOpenButClosed(ctx)
	h.warnIfForgeable(ctx)
	h.closeAtExit(ctx)
	return nil
}

func (h *Handler) provisionSite(ctx caddy.Context) error {
	if err := checkUser(h.User); err != nil {
		return err
	}
	var groups events.Groups // all
	if len(h.Routes) > 0 {
		var err error
		if groups, err = events.ParseGroups(h.Routes); err != nil {
			return err
		}
	}
	keys := make([]string, 0, len(h.APIKeys))
	for _, k := range h.APIKeys {
		key, err := expand("api_key", k)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	h.site = &events.Site{
		Access: events.Access{
			Keys: keys, User: h.user, Origins: h.Origins,
			AnonymousRead: h.AnonymousRead, AnonymousWrite: h.AnonymousWrite,
			Configured: h.hasAccessLine(), Authentication: authentication(ctx, h.User),
			Operates: h.isBreakerAdmin, Overview: h.Dashboard,
		},
		ClientIP: clientIP, Serves: servedHosts(ctx), Limiter: h.rt.polls, Logger: h.logger,
		Compression: h.Compression, Groups: groups,
	}
	if h.PollRate != nil {
		h.site.PollRate = events.Rate{N: h.PollRate.Count, Per: time.Duration(h.PollRate.Interval)}
	}
	return h.site.Provision()
}

// checkUser refuses what would make everybody the same user.
func checkUser(placeholder string) error {
	if placeholder != "" && !userPlaceholder.MatchString(placeholder) {
		return fmt.Errorf("user: %q is not one placeholder of the request, such as {http.request.header.Remote-User}", placeholder)
	}
	return nil
}

func (h *Handler) hasAccessLine() bool {
	return len(h.APIKeys) > 0 || h.User != "" || h.AnonymousRead || h.AnonymousWrite
}

// user answers who the site says the client is.
func (h *Handler) user(r *http.Request) string {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	if id, ok := repl.GetString("http.auth.user.id"); ok && id != "" {
		return id
	}
	if h.User == "" {
		return ""
	}
	return repl.ReplaceAll(h.User, "")
}

func clientIP(r *http.Request) netip.Addr {
	s, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// closeAtExit ends open streams when the process goes: the HTTP server waits for
// them, and Cleanup comes only after it has.
func (h *Handler) closeAtExit(ctx caddy.Context) {
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return
	}
	rt := h.rt
	srv.RegisterOnShutdown(func() {
		if caddy.Exiting() {
			rt.closeConnections()
		}
	})
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if client := h.client(r.URL.Path); client != nil {
		client.ServeHTTP(w, r)
		return nil
	}
	if h.serveStatus(w, r) {
		return nil
	}
	if h.isPage(r.URL.Path) {
		h.servePage(w, r)
		return nil
	}
	if h.serveBreakerAdmin(w, r) {
		return nil
	}
	if !h.site.IsRoute(r.URL.EscapedPath()) {
		h.warnIfSwallowed(r)
		return next.ServeHTTP(w, r)
	}
	site := h.bound.Load()
	if site == nil {
		if site = h.bind(r); site == nil {
			w.Header().Set("Retry-After", "1")
			return caddyhttp.Error(http.StatusServiceUnavailable, fmt.Errorf("hub %s has not started yet", h.Hub))
		}
	}
	if !site.ServeHTTP(w, r) {
		return next.ServeHTTP(w, r)
	}
	return nil
}

// client answers what serves the browser client, if a path is one of its names.
func (h *Handler) client(path string) http.Handler {
	name, ok := strings.CutPrefix(path, "/lifeline/")
	if !ok || !h.site.Groups.Has(events.GroupClient) {
		return nil
	}
	return web.Client(name)
}

func (h *Handler) isPage(path string) bool {
	return h.page != nil && (path == "/lifeline" || strings.HasPrefix(path, "/lifeline/"))
}

// bind gives the site its hub at the first request after the start.
func (h *Handler) bind(r *http.Request) *events.Site {
	hub := h.rt.ready(r.Context(), startWait)
	if hub == nil {
		return nil
	}
	site := *h.site
	site.Hub = hub
	h.bound.Store(&site)
	return &site
}

func (h *Handler) servePage(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/lifeline" {
		// Relative, so that it is right under a stripped prefix too.
		w.Header().Set("Location", "lifeline/")
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	h.page.ServeHTTP(w, r)
}

// isOurs reports whether a request for u is for us to answer.
func (h *Handler) isOurs(u *url.URL) bool {
	return h.site.IsRoute(u.EscapedPath()) || h.isPage(u.Path) || h.client(u.Path) != nil
}

// warnIfSwallowed says once that a rewrite in front hides our routes.
func (h *Handler) warnIfSwallowed(r *http.Request) {
	orig, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || orig.URL == nil || orig.URL.Path == r.URL.Path || !h.isOurs(orig.URL) {
		return
	}
	if h.warned.Swap(true) {
		return
	}
	h.logger.Warn("a rewrite in front of lifeline changes one of its paths; exclude the path there",
		zap.String("original", orig.URL.Path), zap.String("rewritten", r.URL.Path))
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
