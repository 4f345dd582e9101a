package lifeline

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// parseJournal reads the option journal. Syntax:
//
//	journal off
//	journal [<dir>] {
//	    max_size <size>
//	    retain   <duration>
//	}
func parseJournal(d *caddyfile.Dispenser, h *Hub) error {
	h.Journal = new(Journal)
	j := h.Journal
	if d.NextArg() {
		j.Dir = d.Val()
		if err := noMore(d); err != nil {
			return err
		}
	}
	if j.Dir == "off" {
		j.Dir, j.Off = "", true
		if d.NextBlock(d.Nesting()) || d.Val() == "}" {
			return d.Errf("journal off takes no block; a directory of that name is ./off")
		}
		return nil
	}
	return block(d, "journal", map[string]func() error{
		"max_size": func() error { return parseSize(d, &j.MaxSize) },
		"retain":   func() error { return parseDuration(d, &j.Retain) },
	})
}
