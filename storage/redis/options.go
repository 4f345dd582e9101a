package redis

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/zap"
)

// Defaults of [Options].
const (
	DefaultKeyPrefix = "afw:"
	DefaultTimeout   = 300 * time.Millisecond
	DefaultPoolSize  = 16
)

const (
	dialTimeout = 500 * time.Millisecond
	ioTimeout   = 400 * time.Millisecond
	poolTimeout = 200 * time.Millisecond
)

// Options say where Redis is and how to use it. Only URL is required.
type Options struct {
	// URL is redis://host:port/db, rediss:// for TLS, or
	// unix://[user:password@]/path?db=n. The only parameter known is db.
	URL string
	// Username and Password replace those in URL, if set.
	Username, Password string
	// DB is the database's number; one in URL must be the same.
	DB int
	// KeyPrefix begins every key and channel; no braces. Default
	// [DefaultKeyPrefix].
	KeyPrefix string
	// Timeout bounds every call to Redis, waiting for a connection included.
	// Default [DefaultTimeout].
	Timeout time.Duration
	// PoolSize bounds the connections for writing, and likewise those for
	// reading; a subscription has one of its own. Default [DefaultPoolSize].
	PoolSize int
	// Logger gets warnings about the server's configuration and about notices
	// that could not be sent. Default: none.
	Logger *zap.Logger
}

// Validate reports the first setting that cannot be used. No error quotes the
// password.
func (o Options) Validate() error {
	_, err := o.client()
	return err
}

func (o Options) withDefaults() Options {
	if o.KeyPrefix == "" {
		o.KeyPrefix = DefaultKeyPrefix
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.PoolSize == 0 {
		o.PoolSize = DefaultPoolSize
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

// client answers what go-redis needs to know, timeouts and dialler included.
func (o Options) client() (*goredis.Options, error) {
	o = o.withDefaults()
	switch {
	case strings.ContainsAny(o.KeyPrefix, "{}"):
		return nil, fmt.Errorf("redis key prefix %q: braces are reserved for hash tags", o.KeyPrefix)
	case o.Timeout < 0:
		return nil, fmt.Errorf("redis timeout %v: must be positive", o.Timeout)
	case o.PoolSize < 0:
		return nil, fmt.Errorf("redis pool size %d: must be positive", o.PoolSize)
	case o.DB < 0:
		return nil, fmt.Errorf("redis database %d: must not be negative", o.DB)
	}
	c, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if o.DB != 0 && c.DB != 0 && o.DB != c.DB {
		return nil, fmt.Errorf("redis database %d: the URL says %d", o.DB, c.DB)
	}
	if o.DB != 0 {
		c.DB = o.DB
	}
	if o.Username != "" {
		c.Username = o.Username
	}
	if o.Password != "" {
		c.Password = o.Password
	}
	c.PoolSize = o.PoolSize
	tune(c)
	return c, nil
}

// tune sets what is not for users to choose.
func tune(c *goredis.Options) {
	c.MaxRetries = -1 // go-redis would store an append again when its answer got lost
	c.DialTimeout = dialTimeout
	c.DialerRetries = 1
	c.ReadTimeout = ioTimeout
	c.WriteTimeout = ioTimeout
	c.PoolTimeout = poolTimeout
	c.PipelinePoolSize = -1 // PoolSize bounds them all
	c.ContextTimeoutEnabled = true
	c.DisableIdentity = true
	c.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// errURL quotes nothing: what cannot be parsed may hold a password anywhere.
var errURL = errors.New("redis URL cannot be read: want redis://, rediss:// or unix://, " +
	"and special characters in the password as %XX")

func parseURL(s string) (*goredis.Options, error) {
	if s == "" {
		return nil, errors.New("redis URL is missing")
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errURL //nolint:errorlint // the cause quotes the URL
	}
	switch u.Scheme {
	case "redis", "rediss", "unix":
	default:
		return nil, errURL
	}
	// An @ behind the host, or a fragment, is the rest of a password that was
	// not escaped.
	if u.Opaque != "" || u.Fragment != "" || strings.Contains(u.Path+u.RawQuery, "@") {
		return nil, errURL
	}
	for name := range u.Query() {
		if name != "db" {
			return nil, fmt.Errorf("redis URL: unknown parameter %q", name)
		}
	}
	c, err := goredis.ParseURL(s)
	if err != nil {
		return nil, fmt.Errorf("redis URL for %s: %s", u.Redacted(), strings.TrimPrefix(err.Error(), "redis: "))
	}
	if c.DB < 0 {
		return nil, fmt.Errorf("redis database %d: must not be negative", c.DB)
	}
	return c, nil
}
