package lifeline

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// options are the words that may stand in one block, each with the reader of what
// follows it. A word may stand once, unless its reader is among the lists.
type options[T any] map[string]func(*caddyfile.Dispenser, *T) error

// block reads the options of what is named by of into v. Those named by lists may be
// repeated and append.
func block[T any](d *caddyfile.Dispenser, of string, v *T, known options[T], lists ...string) error {
	lines := make(map[string]int)
	last := of
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if word == "{" {
			return d.Errf("%s takes no block", last)
		}
		last = word
		parse, ok := known[word]
		if !ok {
			return d.Errf("unknown option %q of %s; known: %s", word, of, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		if first, twice := lines[word]; twice && !slices.Contains(lists, word) {
			return d.Errf("%s is set on line %d already", word, first)
		}
		lines[word] = d.Line()
		if err := parse(d, v); err != nil {
			return err
		}
	}
	return nil
}

// The values of Caddyfile options: each reader refuses a wrong count and a bad
// value with file, line and the option's name.

// oneArg reads the only value of an option.
func oneArg(d *caddyfile.Dispenser) (option, value string, err error) {
	option = d.Val()
	values := d.RemainingArgs()
	if len(values) != 1 {
		return "", "", d.Errf("%s takes one value, got %d", option, len(values)) // which may be secret
	}
	return option, values[0], nil
}

// texts reads the values of an option, none of which is empty.
func texts(d *caddyfile.Dispenser) ([]string, error) {
	option := d.Val()
	values := d.RemainingArgs()
	if slices.Contains(values, "") {
		return nil, d.Errf("%s: an empty value", option)
	}
	return values, nil
}

func parseText(d *caddyfile.Dispenser, into *string) error {
	option, value, err := oneArg(d)
	if err == nil && value == "" {
		err = d.Errf("%s: an empty value", option)
	}
	*into = value
	return err
}

// parseList appends the values of an option to a list.
func parseList(d *caddyfile.Dispenser, list *[]string) error {
	option := d.Val()
	values, err := texts(d)
	if err == nil && len(values) == 0 {
		err = d.Errf("%s takes at least one value", option)
	}
	*list = append(*list, values...)
	return err
}

// noMore refuses values behind what is called of.
func noMore(d *caddyfile.Dispenser, of string) error {
	if values := d.RemainingArgs(); len(values) > 0 {
		return d.Errf("%s: %d too many values", of, len(values))
	}
	return nil
}

func parseOff(d *caddyfile.Dispenser) error {
	option, value, err := oneArg(d)
	if err == nil && value != "off" {
		err = d.Errf("%s takes only off, not %q", option, value)
	}
	return err
}

// parseFlag reads an option without a value, which turns something on.
func parseFlag(d *caddyfile.Dispenser, into *bool) error {
	*into = true
	if option := d.Val(); d.NextArg() {
		return d.Errf("%s takes no value", option)
	}
	return nil
}

func parseCount(d *caddyfile.Dispenser, into *int) error {
	option, value, err := oneArg(d)
	if err == nil {
		*into, err = count(d, option, value)
	}
	return err
}

func parseNatural(d *caddyfile.Dispenser, into *int) error {
	option, value, err := oneArg(d)
	if err == nil {
		*into, err = natural(d, option, value)
	}
	return err
}

func parseSize(d *caddyfile.Dispenser, into *int64) error {
	option, value, err := oneArg(d)
	if err == nil {
		*into, err = size(d, option, value)
	}
	return err
}

func parseDuration(d *caddyfile.Dispenser, into *caddy.Duration) error {
	option, value, err := oneArg(d)
	if err == nil {
		*into, err = duration(d, option, value)
	}
	return err
}

func count(d *caddyfile.Dispenser, option, value string) (int, error) {
	n, err := natural(d, option, value)
	if err == nil && n == 0 {
		err = d.Errf("%s: %q must be at least 1", option, value)
	}
	return n, err
}

func natural(d *caddyfile.Dispenser, option, value string) (int, error) {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0, d.Errf("%s: %q is not a whole number", option, value)
	}
	return int(n), nil //nolint:gosec // 31 bits
}

func size(d *caddyfile.Dispenser, option, value string) (int64, error) {
	n, err := humanize.ParseBytes(value)
	if err != nil || n == 0 || n > math.MaxInt64 {
		return 0, d.Errf("%s: %q is not a size such as 64MiB", option, value)
	}
	return int64(n), nil
}

func duration(d *caddyfile.Dispenser, option, value string) (caddy.Duration, error) {
	dur, err := caddy.ParseDuration(value)
	if err != nil || dur <= 0 || dur > math.MaxInt64/4 {
		return 0, d.Errf("%s: %q is not a duration such as 30s", option, value)
	}
	return caddy.Duration(dur), nil
}
