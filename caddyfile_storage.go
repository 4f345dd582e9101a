package lifeline

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (s *DiskStorage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the driver's name
	if d.NextArg() {
		switch s.Dir = d.Val(); s.Dir {
		case "":
			return d.Errf("storage disk: an empty directory")
		case "off":
			return d.Errf("storage disk cannot be off; a directory of that name is ./off")
		}
		if err := noMore(d, "storage disk"); err != nil {
			return err
		}
	}
	return block(d, "storage disk", s, diskOptions)
}

var diskOptions = options[DiskStorage]{
	"max_size": func(d *caddyfile.Dispenser, s *DiskStorage) error { return parseSize(d, &s.MaxSize) },
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (s *MemoryStorage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the driver's name
	if err := noMore(d, "storage memory"); err != nil {
		return err
	}
	return block(d, "storage memory", s, memoryOptions)
}

var memoryOptions = options[MemoryStorage]{
	"max_size": func(d *caddyfile.Dispenser, s *MemoryStorage) error { return parseSize(d, &s.MaxSize) },
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (s *RedisStorage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the driver's name
	if !d.NextArg() {
		return d.Errf("storage redis takes a URL such as redis://localhost:6379")
	}
	if s.URL = d.Val(); s.URL == "" {
		return d.Errf("storage redis: an empty URL")
	}
	if err := noMore(d, "storage redis"); err != nil {
		return err
	}
	head := *d // errors about the whole name its line
	if err := block(d, "storage redis", s, redisOptions); err != nil {
		return err
	}
	if s.Sentinel != nil && s.Sentinel.Master == "" {
		return d.Errf("sentinel_password needs the option sentinel")
	}
	if s.hasPlaceholder() {
		return nil // Provision knows the values
	}
	if err := s.options().Validate(); err != nil {
		return head.Errf("storage redis: %v", err)
	}
	return nil
}

func (s *RedisStorage) hasPlaceholder() bool {
	return slices.ContainsFunc(s.texts(), func(t setting) bool { return strings.Contains(*t.value, "{") })
}

var redisOptions = options[RedisStorage]{
	"cluster": func(d *caddyfile.Dispenser, s *RedisStorage) (err error) {
		s.Cluster = new(RedisCluster)
		s.Cluster.Addresses, err = texts(d)
		return err
	},
	"sentinel": func(d *caddyfile.Dispenser, s *RedisStorage) error {
		args, err := texts(d)
		if err == nil && len(args) < 2 {
			err = d.Errf("sentinel takes the master's name and the Sentinels' addresses")
		}
		if err != nil {
			return err
		}
		s.sentinel().Master, s.sentinel().Addresses = args[0], args[1:]
		return nil
	},
	"sentinel_password": func(d *caddyfile.Dispenser, s *RedisStorage) error { return parseText(d, &s.sentinel().Password) },
	"username":          func(d *caddyfile.Dispenser, s *RedisStorage) error { return parseText(d, &s.Username) },
	"password":          func(d *caddyfile.Dispenser, s *RedisStorage) error { return parseText(d, &s.Password) },
	"key_prefix":        func(d *caddyfile.Dispenser, s *RedisStorage) error { return parseText(d, &s.KeyPrefix) },
	"db":                func(d *caddyfile.Dispenser, s *RedisStorage) error { return parseNatural(d, &s.DB) },
	"timeout":           func(d *caddyfile.Dispenser, s *RedisStorage) error { return parseDuration(d, &s.Timeout) },
	"pool":              func(d *caddyfile.Dispenser, s *RedisStorage) error { return parseCount(d, &s.Pool) },
	"tls": func(d *caddyfile.Dispenser, s *RedisStorage) error {
		if err := noMore(d, "tls"); err != nil {
			return err
		}
		s.TLS = new(RedisTLS)
		return block(d, "storage redis, tls", s.TLS, tlsOptions)
	},
}

var tlsOptions = options[RedisTLS]{
	"ca":          func(d *caddyfile.Dispenser, t *RedisTLS) error { return parseText(d, &t.CA) },
	"cert":        func(d *caddyfile.Dispenser, t *RedisTLS) error { return parseText(d, &t.Cert) },
	"key":         func(d *caddyfile.Dispenser, t *RedisTLS) error { return parseText(d, &t.Key) },
	"server_name": func(d *caddyfile.Dispenser, t *RedisTLS) error { return parseText(d, &t.ServerName) },
}

// sentinel is the setting of the option sentinel, which sentinel_password may
// precede.
func (s *RedisStorage) sentinel() *RedisSentinel {
	if s.Sentinel == nil {
		s.Sentinel = new(RedisSentinel)
	}
	return s.Sentinel
}

// Interface guards.
var (
	_ caddyfile.Unmarshaler = (*DiskStorage)(nil)
	_ caddyfile.Unmarshaler = (*MemoryStorage)(nil)
	_ caddyfile.Unmarshaler = (*RedisStorage)(nil)
)
