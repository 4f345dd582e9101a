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
//	        absolute_paths off
//	    }
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
	if err := parseHub(d, h); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "lifeline", Value: caddyconfig.JSON(app, nil)}, nil
}

// once refuses a scalar option that is given twice.
type once map[string]int

func (o once) check(d *caddyfile.Dispenser) error {
	if line, twice := o[d.Val()]; twice {
		return d.Errf("%s is set on line %d already", d.Val(), line)
	}
	o[d.Val()] = d.Line()
	return nil
}

func parseHub(d *caddyfile.Dispenser, h *Hub) error {
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if option == "watch" {
			w, err := parseWatch(d)
			if err != nil {
				return err
			}
			h.Watches = append(h.Watches, w)
			continue
		}
		if err := seen.check(d); err != nil {
			return err
		}
		parse, ok := hubOptions[option]
		if !ok {
			return d.Errf("unknown option %q of lifeline", option)
		}
		if err := parse(d, h); err != nil {
			return err
		}
	}
	return nil
}

// hubOptions are the options of a hub that may stand once.
var hubOptions = map[string]func(*caddyfile.Dispenser, *Hub) error{
	"storage":           parseStorage,
	"history":           parseHistory,
	"journal":           parseJournal,
	"breaker":           parseBreaker,
	"max_connections":   func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MaxConnections) },
	"max_per_ip":        func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MaxPerIP) },
	"max_subscriptions": func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MaxSubscriptions) },
	"max_message":       func(d *caddyfile.Dispenser, h *Hub) error { return parseSize(d, &h.MaxMessage) },
	"message_rate":      func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MessageRate) },
	"max_queue":         parseQueue,
	"max_replays":       func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MaxReplays) },
	"max_polls":         func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MaxPolls) },
	"max_sessions":      func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MaxSessions) },
	"max_logs":          func(d *caddyfile.Dispenser, h *Hub) error { return parseCount(d, &h.MaxLogs) },
	"lifecycle_broadcast": func(d *caddyfile.Dispenser, h *Hub) error {
		h.LifecycleBroadcastOff = true
		return parseOff(d)
	},
}

func parseStorage(d *caddyfile.Dispenser, h *Hub) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	const namespace = "lifeline.storage"
	driver := d.Val()
	var known []string
	for _, m := range caddy.GetModules(namespace) {
		known = append(known, m.ID.Name())
	}
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

func parseWatch(d *caddyfile.Dispenser) (*Watch, error) {
	w := new(Watch)
	if !d.Args(&w.Session, &w.Dir) || d.NextArg() {
		return nil, d.Errf("watch takes a session and a directory")
	}
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if option == "ignore" {
			globs := d.RemainingArgs()
			if len(globs) == 0 {
				return nil, d.ArgErr()
			}
			w.Ignore = append(w.Ignore, globs...)
			continue
		}
		if err := seen.check(d); err != nil {
			return nil, err
		}
		parse, ok := watchOptions[option]
		if !ok {
			return nil, d.Errf("unknown option %q of watch", option)
		}
		if err := parse(d, w); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// watchOptions are the options of a watch that may stand once.
var watchOptions = map[string]func(*caddyfile.Dispenser, *Watch) error{
	"ignore_default": func(d *caddyfile.Dispenser, w *Watch) error {
		w.IgnoreDefaultOff = true
		return parseOff(d)
	},
	"absolute_paths": func(d *caddyfile.Dispenser, w *Watch) error {
		w.AbsolutePathsOff = true
		return parseOff(d)
	},
	"debounce": func(d *caddyfile.Dispenser, w *Watch) error { return parseDuration(d, &w.Debounce) },
	"max_wait": func(d *caddyfile.Dispenser, w *Watch) error { return parseDuration(d, &w.MaxWait) },
	"depth": func(d *caddyfile.Dispenser, w *Watch) error {
		w.Depth = new(int)
		return parseNatural(d, w.Depth)
	},
	"retry": func(d *caddyfile.Dispenser, w *Watch) error {
		var attempts, initial string
		if !d.Args(&attempts, &initial) || d.NextArg() {
			return d.Errf("retry takes a number of attempts and the first delay")
		}
		n, err := natural(d, "retry", attempts)
		if err != nil {
			return err
		}
		w.RetryAttempts = &n
		w.RetryInitial, err = duration(d, "retry", initial)
		return err
	},
}
