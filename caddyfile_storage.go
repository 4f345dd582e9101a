package lifeline

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// block reads a guest's options, each of which may stand once.
func block(d *caddyfile.Dispenser, guest string, options map[string]func() error) error {
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.check(d); err != nil {
			return err
		}
		parse, ok := options[d.Val()]
		if !ok {
			return d.Errf("unknown option %q of storage %s", d.Val(), guest)
		}
		if err := parse(); err != nil {
			return err
		}
	}
	return nil
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (s *DiskStorage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the driver's name
	if d.NextArg() {
		if s.Dir = d.Val(); s.Dir == "off" {
			return d.Errf("storage disk cannot be off; a directory of that name is ./off")
		}
		if err := noMore(d); err != nil {
			return err
		}
	}
	return block(d, "disk", map[string]func() error{
		"max_size": func() error { return parseSize(d, &s.MaxSize) },
	})
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (s *MemoryStorage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the driver's name
	if err := noMore(d); err != nil {
		return err
	}
	return block(d, "memory", map[string]func() error{
		"max_size": func() error { return parseSize(d, &s.MaxSize) },
	})
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (s *RedisStorage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the driver's name
	if !d.NextArg() {
		return d.Errf("storage redis takes a URL such as redis://localhost:6379")
	}
	s.URL = d.Val()
	if err := noMore(d); err != nil {
		return err
	}
	text := func(into *string) func() error {
		return func() (err error) {
			_, *into, err = oneArg(d)
			return err
		}
	}
	return block(d, "redis", map[string]func() error{
		"username":   text(&s.Username),
		"password":   text(&s.Password),
		"key_prefix": text(&s.KeyPrefix),
		"db":         func() error { return parseNatural(d, &s.DB) },
		"timeout":    func() error { return parseDuration(d, &s.Timeout) },
		"pool":       func() error { return parseCount(d, &s.Pool) },
	})
}

// Interface guards.
var (
	_ caddyfile.Unmarshaler = (*DiskStorage)(nil)
	_ caddyfile.Unmarshaler = (*MemoryStorage)(nil)
	_ caddyfile.Unmarshaler = (*RedisStorage)(nil)
)
