package lifeline

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// parseGlobal reads one block of the global option. Several blocks name several
// hubs. Syntax:
//
//	lifeline [<hub>] {
//	    storage disk [<dir>] {
//	        max_size <size>
//	    }
//	    storage memory {
//	        max_size <size>
//	    }
//	    storage redis <url> {
//	        cluster           [<addr...>]
//	        sentinel          <master> <addr...>
//	        username          <name>
//	        password          <password>
//	        sentinel_password <password>
//	        db                <number>
//	        key_prefix        <prefix>
//	        tls {
//	            ca          <file>
//	            cert        <file>
//	            key         <file>
//	            server_name <name>
//	        }
//	        timeout           <duration>
//	        pool              <connections>
//	    }
//	    history <count> [<age>]
//	    journal off | [<dir>] { … } (see parseJournal)
//	    breaker off | { … } (see parseBreaker)
//	    watch <session> <dir> {
//	        ignore         <glob...>
//	        ignore_default off
//	        debounce       <duration>
//	        max_wait       <duration>
//	        depth          <levels>
//	        retry          <attempts> <initial>
//	        poll           [<duration>]
//	        absolute_paths off
//	    }
//	    watch_root <dir...>
//	    max_connections   <number>
//	    max_per_ip        <number>
//	    max_subscriptions <number>
//	    max_message       <size>
//	    message_rate      <per second>
//	    max_queue         <size> [<frames>]
//	    max_replays       <number>
//	    max_polls         <number>
//	    max_sessions      <number>
//	    max_logs          <number>
//	    lifecycle_broadcast off
//	    reload_close_delay <duration>
//	}
func parseGlobal(d *caddyfile.Dispenser, existing any) (any, error) {
	app := &App{Hubs: make(map[string]*Hub)}
	if prev, ok := existing.(httpcaddyfile.App); ok {
		if err := caddy.StrictUnmarshalJSON(prev.Value, app); err != nil {
			return nil, d.Errf("an earlier lifeline block: %v", err)
		}
	}
	d.Next() // the option's name
	defined := fmt.Sprintf("%s:%d", d.File(), d.Line())
	name := DefaultHub
	if args := d.RemainingArgs(); len(args) > 1 {
		return nil, d.Errf("lifeline takes one hub name, got %s", strings.Join(args, " "))
	} else if len(args) == 1 {
		name = args[0]
	}
	if !hubName.MatchString(name) {
		return nil, d.Errf("hub name %q: use 1 to 32 characters of a-z, 0-9, _ and -", name)
	}
	if first, twice := app.Hubs[name]; twice {
		return nil, d.Errf("hub %s is defined at %s already", name, first.DefinedAt)
	}
	h := &Hub{DefinedAt: defined}
	app.Hubs[name] = h
	if err := block(d, "lifeline", h, hubOptions, "watch", "watch_root"); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "lifeline", Value: caddyconfig.JSON(app, nil)}, nil
}

// hubOptions are the options of a hub.
var hubOptions = options[Hub]{
	"storage":            parseStorage,
	"history":            parseHistory,
	"journal":            parseJournal,
	"breaker":            parseBreaker,
	"watch":              parseWatch,
	"watch_root":         func(d *caddyfile.Dispenser, h *Hub) error { return parseList(d, &h.WatchRoots) },
	"max_connections":    func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MaxConnections) },
	"max_per_ip":         func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MaxPerIP) },
	"max_subscriptions":  func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MaxSubscriptions) },
	"max_message":        func(d *caddyfile.Dispenser, h *Hub) error { return parseSize(d, &h.MaxMessage) },
	"message_rate":       func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MessageRate) },
	"max_queue":          parseQueue,
	"max_replays":        func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MaxReplays) },
	"max_polls":          func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MaxPolls) },
	"max_sessions":       func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MaxSessions) },
	"max_logs":           func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MaxLogs) },
	"reload_close_delay": func(d *caddyfile.Dispenser, h *Hub) error { return parseDuration(d, &h.ReloadCloseDelay) },
	"lifecycle_broadcast": func(d *caddyfile.Dispenser, h *Hub) error {
		h.LifecycleBroadcastOff = true
		return parseOff(d)
	},
}

func parseStorage(d *caddyfile.Dispenser, h *Hub) error {
	const namespace = "lifeline.storage"
	modules := caddy.GetModules(namespace)
	known := make([]string, len(modules))
	for i, m := range modules {
		known[i] = m.ID.Name()
	}
	if !d.NextArg() {
		return d.Errf("storage takes one of: %s", strings.Join(known, ", "))
	}
	driver := d.Val()
	if _, err := caddy.GetModule(namespace + "." + driver); err != nil {
		return d.Errf("unknown storage %q; known: %s", driver, strings.Join(known, ", "))
	}
	mod, err := caddyfile.UnmarshalModule(d, namespace+"."+driver)
	if err != nil {
		return err
	}
	h.StorageRaw = caddyconfig.JSONModuleObject(mod, "driver", driver, nil)
	return nil
}

func parseHistory(d *caddyfile.Dispenser, h *Hub) error {
	h.History = new(History)
	args := d.RemainingArgs()
	if len(args) < 1 || len(args) > 2 {
		return d.Errf("history takes a count and optionally an age, got %d values", len(args))
	}
	var err error
	if h.History.Count, err = count(d, "history", args[0]); err != nil || len(args) == 1 {
		return err
	}
	h.History.Age, err = duration(d, "history", args[1])
	return err
}

func parseQueue(d *caddyfile.Dispenser, h *Hub) error {
	args := d.RemainingArgs()
	if len(args) < 1 || len(args) > 2 {
		return d.Errf("max_queue takes a size and optionally a number of frames, got %d values", len(args))
	}
	var err error
	if h.MaxQueueBytes, err = size(d, "max_queue", args[0]); err != nil || len(args) == 1 {
		return err
	}
	h.MaxQueueFrames, err = count(d, "max_queue", args[1])
	return err
}
