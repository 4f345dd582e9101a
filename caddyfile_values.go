package lifeline

import (
	"math"
	"strconv"

	"github.com/dustin/go-humanize"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// The values of Caddyfile options: each reader refuses a wrong count and a bad
// value with file, line and the option's name.

// oneArg reads the only value of an option.
func oneArg(d *caddyfile.Dispenser) (option, value string, err error) {
	option = d.Val()
	if !d.NextArg() {
		return "", "", d.Errf("%s takes one value", option)
	}
	value = d.Val()
	return option, value, noMore(d)
}

func noMore(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("one value too many: %q", d.Val())
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
