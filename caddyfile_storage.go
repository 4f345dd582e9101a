package lifeline

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// block reads the options of what is named by of, each of which may stand once.
func block(d *caddyfile.Dispenser, of string, options map[string]func() error) error {
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.check(d); err != nil {
			return err
		}
		parse, ok := options[d.Val()]
		if !ok {
			return d.Errf("unknown option %q of %s", d.Val(), of)
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
	return block(d, "storage disk", map[string]func() error{
		"max_size": func() error { return parseSize(d, &s.MaxSize) },
	})
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (s *MemoryStorage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the driver's name
	if err := noMore(d); err != nil {
		return err
	}
	return block(d, "storage memory", map[string]func() error{
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
	sentinelPassword := ""
	if err := block(d, "storage redis", map[string]func() error{
		"cluster": func() error {
			s.Cluster = &RedisCluster{Addresses: d.RemainingArgs()}
			return nil
		},
		"sentinel": func() error {
			args := d.RemainingArgs()
			if len(args) < 2 {
				return d.Errf("sentinel takes the master's name and the Sentinels' addresses")
			}
			s.Sentinel = &RedisSentinel{Master: args[0], Addresses: args[1:]}
			return nil
		},
		"username":          text(&s.Username),
		"password":          text(&s.Password),
		"sentinel_password": text(&sentinelPassword),
		"key_prefix":        text(&s.KeyPrefix),
		"db":                func() error { return parseNatural(d, &s.DB) },
		"tls":               func() error { return s.parseTLS(d, text) },
		"timeout":           func() error { return parseDuration(d, &s.Timeout) },
		"pool":              func() error { return parseCount(d, &s.Pool) },
	}); err != nil {
		return err
	}
	if sentinelPassword == "" {
		return nil
	}
	if s.Sentinel == nil {
		return d.Errf("sentinel_password needs the option sentinel")
	}
	s.Sentinel.Password = sentinelPassword
	return nil
}

// parseTLS reads the block of the option tls.
func (s *RedisStorage) parseTLS(d *caddyfile.Dispenser, text func(*string) func() error) error {
	if err := noMore(d); err != nil {
		return err
	}
	s.TLS = new(RedisTLS)
	return block(d, "storage redis, tls", map[string]func() error{
		"ca":          text(&s.TLS.CA),
		"cert":        text(&s.TLS.Cert),
		"key":         text(&s.TLS.Key),
		"server_name": text(&s.TLS.ServerName),
	})
}

// Interface guards.
var (
	_ caddyfile.Unmarshaler = (*DiskStorage)(nil)
	_ caddyfile.Unmarshaler = (*MemoryStorage)(nil)
	_ caddyfile.Unmarshaler = (*RedisStorage)(nil)
)
