package lifeline

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/actionflows/lifeline/events"
)

// parseWatch reads one watch; a session has at most one.
func parseWatch(d *caddyfile.Dispenser, h *Hub) error {
	w := &Watch{definedAt: fmt.Sprintf("%s:%d", d.File(), d.Line())}
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Errf("watch takes a session and a directory, got %d values", len(args))
	}
	w.Session, w.Dir = args[0], args[1]
	if w.Dir == "" {
		return d.Errf("watch: an empty directory")
	}
	if err := events.ValidSessionID(w.Session); err != nil {
		return d.Errf("watch: session id %v", err)
	}
	for _, first := range h.Watches {
		if first.Session == w.Session {
			return d.Errf("session %s watches %s already, by %s; use another session for %s (%s)",
				w.Session, first.Dir, first.definedAt, w.Dir, w.definedAt)
		}
	}
	h.Watches = append(h.Watches, w)
	head := *d // errors about the whole name its line
	if err := block(d, "watch", w, watchOptions, "ignore"); err != nil {
		return err
	}
	if err := w.check(); err != nil {
		return head.Errf("watch %s: %v", w.Session, err)
	}
	return nil
}

// watchOptions are the options of a watch.
var watchOptions = options[Watch]{
	"ignore": func(d *caddyfile.Dispenser, w *Watch) error { return parseList(d, &w.Ignore) },
	"ignore_default": func(d *caddyfile.Dispenser, w *Watch) error {
		w.IgnoreDefaultOff = true
		return parseOff(d)
	},
	"absolute_paths": func(d *caddyfile.Dispenser, w *Watch) error {
		w.AbsolutePathsOff = true
		return parseOff(d)
	},
	"poll":     parsePoll,
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

// defaultPoll is how often a tree is compared where poll says nothing else.
const defaultPoll = 2 * time.Second

func parsePoll(d *caddyfile.Dispenser, w *Watch) (err error) {
	every := d.RemainingArgs()
	switch len(every) {
	case 0:
		w.Poll = caddy.Duration(defaultPoll)
		return nil
	case 1:
		w.Poll, err = duration(d, "poll", every[0])
		return err
	}
	return d.Errf("poll takes at most one duration, got %d values", len(every))
}
