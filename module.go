// Package lifeline is a session-event hub as a Caddy module: events come in over
// HTTP, are kept, and are delivered live over WebSocket, Server-Sent Events and
// polling, through the failure of what stands behind it.
//
// This package is the only one that knows Caddy. It registers the app
// `lifeline` with its hubs (module.go, hub.go, runtime.go), the HTTP handler
// (handler.go), the storage guests (guests.go), the admin routes (admin.go) and
// the Caddyfile syntax (caddyfile.go, caddyfile_site.go).
package lifeline

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	caddy.RegisterModule(new(App))
	caddy.RegisterModule(new(Handler))
	caddy.RegisterModule(new(DiskStorage))
	caddy.RegisterModule(new(MemoryStorage))
	caddy.RegisterModule(new(RedisStorage))
	caddy.RegisterModule(new(adminAPI))
	httpcaddyfile.RegisterGlobalOption("lifeline", parseGlobal)
	httpcaddyfile.RegisterHandlerDirective("lifeline", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("lifeline", httpcaddyfile.After, "encode")
}

// DefaultHub is the name of the hub that is there without being configured.
const DefaultHub = "default"

var hubName = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// App holds the hubs. A hub with its storage, its breaker, its watchers and its
// connections lives on through configuration reloads.
type App struct {
	// The hubs by name; names are 1 to 32 characters of a-z, 0-9, _ and -. A hub
	// named `default` is there even when it is not configured. Default: that one.
	Hubs map[string]*Hub `json:"hubs,omitempty"`

	logger *zap.Logger
	// held are the runtimes that this configuration holds in the pool, one
	// reference each.
	held map[string]*runtime
}

// CaddyModule implements caddy.Module.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "lifeline", New: func() caddy.Module { return new(App) }}
}

// Provision reads the settings. It opens nothing: it also runs for
// `caddy validate` beside a running server.
func (a *App) Provision(ctx caddy.Context) error {
	a.logger = ctx.Logger()
	a.held = make(map[string]*runtime)
	if err := registerMetrics(ctx); err != nil {
		return err
	}
	if a.Hubs == nil {
		a.Hubs = make(map[string]*Hub)
	}
	for name, h := range a.Hubs {
		if !hubName.MatchString(name) {
			return fmt.Errorf("hub name %q: use 1 to 32 characters of a-z, 0-9, _ and -", name)
		}
		if h == nil {
			return fmt.Errorf("hub %s: its settings are null; use {} for the defaults", name)
		}
		if err := a.hold(ctx, name, h); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) hold(ctx caddy.Context, name string, h *Hub) error {
	if err := h.provision(ctx, name); err != nil {
		return fmt.Errorf("hub %s: %w", name, err)
	}
	if err := a.checkJournal(name, h); err != nil {
		return err
	}
	rt := holdRuntime(name)
	a.held[name] = rt
	var err error
	if h.emit, err = newEmit(ctx, func() { rt.emitBy(h) }); err != nil {
		return fmt.Errorf("hub %s: load the events app: %w", name, err)
	}
	return nil
}

// runtimeOf answers the runtime of a hub for a handler that is being provisioned.
func (a *App) runtimeOf(ctx caddy.Context, name string) (*runtime, error) {
	if rt, ok := a.held[name]; ok {
		return rt, nil
	}
	if name != DefaultHub {
		return nil, unknownHub(name, slices.Collect(maps.Keys(a.held)))
	}
	h := new(Hub)
	a.Hubs[name] = h
	if err := a.hold(ctx, name, h); err != nil {
		return nil, err
	}
	return a.held[name], nil
}

// unknownHub is the error about a hub that is not among the known ones, to which the
// default one belongs always.
func unknownHub(name string, known []string) error {
	if !slices.Contains(known, DefaultHub) {
		known = append(known, DefaultHub)
	}
	slices.Sort(known)
	return fmt.Errorf("unknown hub %q; known hubs: %s", name, strings.Join(known, ", "))
}

// Start opens what is not open yet and applies this configuration's settings. An
// error leaves every hub as it was.
func (a *App) Start() error {
	for _, name := range slices.Sorted(maps.Keys(a.held)) {
		if err := a.held[name].start(a.Hubs[name], a.logger.With(zap.String("hub", name))); err != nil {
			return errors.Join(fmt.Errorf("hub %s: %w", name, err), a.Stop())
		}
	}
	return nil
}

// Stop ends this configuration's hold on its hubs. When another configuration
// has them, its settings stay or come back; at exit all connections are closed.
func (a *App) Stop() error {
	errs := make([]error, 0, len(a.held))
	if caddy.Exiting() {
		var closing sync.WaitGroup
		for _, rt := range a.held {
			closing.Go(rt.closeConnections)
		}
		closing.Wait()
	}
	for name, rt := range a.held {
		errs = append(errs, rt.stop(a.Hubs[name]))
	}
	return errors.Join(errs...)
}

// Cleanup gives back what Provision took; a hub that nobody holds any more ends.
func (a *App) Cleanup() error {
	errs := make([]error, 0, len(a.held))
	for name := range a.held {
		errs = append(errs, releaseRuntime(name))
	}
	a.held = nil
	return errors.Join(errs...)
}

// Interface guards.
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
