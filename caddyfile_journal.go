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
		if j.Dir = d.Val(); j.Dir == "" {
			return d.Errf("journal: an empty directory")
		}
		if err := noMore(d, "journal"); err != nil {
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
	return block(d, "journal", j, journalOptions)
}

// journalOptions are the options of journal.
var journalOptions = options[Journal]{
	"max_size": func(d *caddyfile.Dispenser, j *Journal) error { return parseSize(d, &j.MaxSize) },
	"retain":   func(d *caddyfile.Dispenser, j *Journal) error { return parseDuration(d, &j.Retain) },
}
