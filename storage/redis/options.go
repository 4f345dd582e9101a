package redis

import (
	"cmp"
	"errors"
	"fmt"
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

// Options say where Redis is and how to use it. Only URL is required. Printed
// they tell nothing that is secret.
type Options struct {
	// URL is redis://host:port/db, rediss:// for TLS, or
	// unix://[user:password@]/path?db=n. The only parameter known is db. With
	// Sentinel, or with addresses in Cluster, it has no host.
	URL string
	// Username and Password replace those in URL, if set.
	Username, Password string
	// DB is the database's number; one in URL must be the same. A Cluster has
	// only 0.
	DB int
	// Cluster says that Redis is a Cluster, Sentinel that Sentinels know the
	// master; at most one of them is set.
	Cluster  *Cluster
	Sentinel *Sentinel
	// TLS refines rediss://. Default: the system's authorities, no certificate of
	// our own.
	TLS *TLS
	// KeyPrefix begins every key and channel; no braces. Default
	// [DefaultKeyPrefix].
	KeyPrefix string
	// Timeout bounds every call to Redis, waiting for a connection included.
	// Default [DefaultTimeout].
	Timeout time.Duration
	// PoolSize bounds the connections to each server for writing, and likewise
	// those for reading; a subscription has one of its own. Default
	// [DefaultPoolSize].
	PoolSize int
	// Logger gets warnings about the servers' configuration and about notices
	// that could not be sent. Default: none.
	Logger *zap.Logger
}

// Cluster says where to look for the servers of a Redis Cluster.
type Cluster struct {
	// Addrs are host:port of some of them; the port may be missing and is 6379
	// then. Default: the URL's host.
	Addrs []string
}

// Sentinel says who knows the master.
type Sentinel struct {
	// Master is the name by which the Sentinels know it.
	Master string
	// Addrs are host:port of all Sentinels; the port may be missing and is 26379
	// then.
	Addrs []string
	// Password is the Sentinels' own. Default: none.
	Password string
}

// String names the kind of server and no secret.
func (o Options) String() string {
	switch {
	case o.Cluster != nil:
		return "redis cluster"
	case o.Sentinel != nil:
		return fmt.Sprintf("redis master %q of sentinels", o.Sentinel.Master)
	}
	return "redis"
}

// GoString is String, for %#v.
func (o Options) GoString() string { return o.String() }

// String tells no password.
func (s Sentinel) String() string { return fmt.Sprintf("sentinels of %q", s.Master) }

// GoString is String, for %#v.
func (s Sentinel) GoString() string { return s.String() }

// Validate reports the first setting that cannot be used. No error quotes a
// password, and no file is opened.
func (o Options) Validate() error {
	_, err := o.target()
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

// target is what options come to.
type target struct {
	client    goredis.Options // of every server; its address is that of the only one
	cluster   []string        // addresses to begin with
	sentinels []string
	sentinel  goredis.Options // of every Sentinel
	secure    bool            // TLS
	files     TLS
}

// target checks the options.
func (o Options) target() (target, error) {
	o = o.withDefaults()
	switch {
	case strings.ContainsAny(o.KeyPrefix, "{}"):
		return target{}, fmt.Errorf("redis key prefix %q: braces are reserved for hash tags", o.KeyPrefix)
	case o.Timeout < 0:
		return target{}, fmt.Errorf("redis timeout %v: must be positive", o.Timeout)
	case o.PoolSize < 0:
		return target{}, fmt.Errorf("redis pool size %d: must be positive", o.PoolSize)
	case o.DB < 0:
		return target{}, fmt.Errorf("redis database %d: must not be negative", o.DB)
	}
	u, err := parseURL(o.URL)
	if err != nil {
		return target{}, err
	}
	if o.DB != 0 && u.db != 0 && o.DB != u.db {
		return target{}, fmt.Errorf("redis database %d: the URL says %d", o.DB, u.db)
	}
	t := target{secure: u.secure, client: goredis.Options{
		Network: u.network, Addr: u.addr, PoolSize: o.PoolSize, DB: max(o.DB, u.db),
		Username: cmp.Or(o.Username, u.username), Password: cmp.Or(o.Password, u.password),
	}}
	if err := o.topology(u, &t); err != nil {
		return target{}, err
	}
	if o.TLS != nil {
		t.files = *o.TLS
		if err := t.files.validate(u); err != nil {
			return target{}, err
		}
	}
	return t, nil
}

// topology checks what there is to a Cluster or to Sentinels.
func (o Options) topology(u address, t *target) (err error) {
	var kind string
	var addrs []string
	switch {
	case o.Cluster != nil && o.Sentinel != nil:
		return errors.New("redis: either cluster or sentinel, not both")
	case o.Cluster != nil:
		kind, addrs = "cluster", o.Cluster.Addrs
	case o.Sentinel != nil:
		kind, addrs = "sentinel", o.Sentinel.Addrs
	default:
		return nil
	}
	if u.network == "unix" {
		return fmt.Errorf("redis URL: %s cannot be reached by a unix socket", kind)
	}
	switch listed := o.Sentinel != nil || len(addrs) > 0; {
	case listed && u.host != "":
		return fmt.Errorf("redis URL names the host %q: with the addresses of %s it gives scheme, user, "+
			"password and database only, as in redis://", u.host, kind)
	case !listed && u.host == "":
		return errors.New("redis cluster: neither the option nor the URL has an address")
	case !listed:
		addrs = []string{u.addr}
	}
	if o.Cluster != nil {
		if t.client.DB != 0 {
			return fmt.Errorf("redis database %d: a cluster has only database 0", t.client.DB)
		}
		t.cluster, err = hostPorts(kind, addrs, "6379")
		return err
	}
	if o.Sentinel.Master == "" {
		return errors.New("redis sentinel: the master's name is missing")
	}
	t.sentinel = goredis.Options{Password: o.Sentinel.Password, PoolSize: 2}
	t.sentinels, err = hostPorts(kind, addrs, "26379")
	return err
}

// tune sets what is not for users to choose, for calls that may take timeout.
func tune(c *goredis.Options, timeout time.Duration) {
	// The call's own deadline comes first: a reply that was cut off costs the
	// connection, and a longer timeout must not end earlier at the socket.
	io := max(ioTimeout, timeout+ioTimeout-DefaultTimeout)
	c.MaxRetries = -1 // go-redis would store an append again when its answer got lost
	c.DialTimeout = dialTimeout
	c.DialerRetries = 1
	c.ReadTimeout = io
	c.WriteTimeout = io
	c.PoolTimeout = poolTimeout
	c.PipelinePoolSize = -1 // PoolSize bounds them all
	c.ContextTimeoutEnabled = true
	c.DisableIdentity = true
	c.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}
