package lifeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/disk"
	"github.com/actionflows/lifeline/storage/memory"
	"github.com/actionflows/lifeline/storage/redis"
)

// StorageProvider is what a module in the namespace `lifeline.storage` must be.
// Its Provision opens nothing.
type StorageProvider interface {
	caddy.Module
	// Describe answers what the options say, for the hub of that name.
	Describe(hub string) StorageInfo
	// Open makes the driver. It is called once per hub, when the hub starts.
	Open(hub string, logger *zap.Logger) (storage.Driver, error)
}

// StorageInfo describes an opened or not yet opened storage.
type StorageInfo struct {
	Driver string // its name, on the health page and as the breaker's name
	// Remote storage can be away while the process runs: the journal stands in
	// front of it.
	Remote bool
	// Volatile storage is lost with the process.
	Volatile bool
	// Dir is a directory that only one driver at a time can have open; "": none.
	Dir string
	// Where names the place for messages, without secrets.
	Where string
	// Key is equal for equal storage; it may hold secrets and is only hashed.
	Key any
}

// DiskStorage keeps events in one file on the disk; an event is acknowledged
// when it is synced. It is the default.
type DiskStorage struct {
	// The directory; relative ones are against the working directory. Default:
	// lifeline/<hub> in Caddy's data directory.
	Dir string `json:"dir,omitempty"`
	// The most bytes it may take; the oldest sessions' history goes first.
	// Default: 10 GiB.
	MaxSize int64 `json:"max_size,omitempty"`
}

// CaddyModule implements caddy.Module.
func (*DiskStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "lifeline.storage.disk", New: func() caddy.Module { return new(DiskStorage) }}
}

// Provision expands placeholders.
func (s *DiskStorage) Provision(caddy.Context) (err error) {
	if s.MaxSize < 0 {
		return fmt.Errorf("max_size: %d is negative", s.MaxSize)
	}
	if s.Dir == "" {
		return nil
	}
	if s.Dir, err = expand("directory", s.Dir); err != nil {
		return err
	}
	if s.Dir, err = filepath.Abs(s.Dir); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	return nil
}

func (s *DiskStorage) dir(hub string) string {
	if s.Dir != "" {
		return s.Dir
	}
	return filepath.Join(caddy.AppDataDir(), "lifeline", hub)
}

// Describe implements StorageProvider.
func (s *DiskStorage) Describe(hub string) StorageInfo {
	return StorageInfo{Driver: "disk", Dir: s.dir(hub), Where: s.dir(hub), Key: [...]any{s.dir(hub), s.MaxSize}}
}

// Open implements StorageProvider.
func (s *DiskStorage) Open(hub string, logger *zap.Logger) (storage.Driver, error) {
	logger.Info("events are kept on disk", zap.String("dir", s.dir(hub)))
	return disk.Open(disk.Options{Dir: s.dir(hub), MaxSize: s.MaxSize, Logger: logger})
}

// MemoryStorage keeps events in memory; they are lost with the process.
type MemoryStorage struct {
	// The most bytes it may take; the sessions written longest ago lose their
	// history first. Default: 256 MiB.
	MaxSize int64 `json:"max_size,omitempty"`
}

// CaddyModule implements caddy.Module.
func (*MemoryStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "lifeline.storage.memory", New: func() caddy.Module { return new(MemoryStorage) }}
}

// Provision checks the settings.
func (s *MemoryStorage) Provision(caddy.Context) error {
	if s.MaxSize < 0 {
		return fmt.Errorf("max_size: %d is negative", s.MaxSize)
	}
	return nil
}

// Describe implements StorageProvider.
func (s *MemoryStorage) Describe(string) StorageInfo {
	return StorageInfo{Driver: "memory", Volatile: true, Where: "memory", Key: s.MaxSize}
}

// Open implements StorageProvider.
func (s *MemoryStorage) Open(_ string, logger *zap.Logger) (storage.Driver, error) {
	logger.Warn("events are kept in memory only and are lost with the process")
	return memory.New(memory.Options{MaxSize: s.MaxSize}), nil
}

// RedisStorage keeps events in Redis or Valkey: one server, the master that
// Sentinels know, or a Cluster.
type RedisStorage struct {
	// Where it is: redis://, rediss:// or unix://. With sentinel, or with addresses
	// in cluster, it has no host, as in redis://. Default: none, it is required.
	URL string `json:"url"`
	// Redis is a Cluster. Default: it is not. Not together with sentinel.
	Cluster *RedisCluster `json:"cluster,omitempty"`
	// Sentinels know the master. Default: none.
	Sentinel *RedisSentinel `json:"sentinel,omitempty"`
	// Who logs in, where the URL does not say it. Default: nobody.
	Username string `json:"username,omitempty"`
	// The password, where the URL does not say it; better as a placeholder, such as
	// `{env.REDIS_PASSWORD}`. Default: none.
	Password string `json:"password,omitempty"`
	// The database number, where the URL does not say it; a Cluster has only 0.
	// Default: 0.
	DB int `json:"db,omitempty"`
	// How rediss:// connects. Default: the system's authorities are trusted.
	TLS *RedisTLS `json:"tls,omitempty"`
	// What every key begins with. Default: `afw:`.
	KeyPrefix string `json:"key_prefix,omitempty"`
	// How long one batch may take. Default: 300ms.
	Timeout caddy.Duration `json:"timeout,omitempty"`
	// How many connections are kept to each server. Default: 16.
	Pool int `json:"pool,omitempty"`
}

// RedisCluster says where to look for the servers of a Redis Cluster.
type RedisCluster struct {
	// host:port of some of them; without a port 6379. Default: the URL's host.
	Addresses []string `json:"addresses,omitempty"`
}

// RedisSentinel says who knows the master.
type RedisSentinel struct {
	// The name by which the Sentinels know it. Default: none, it is required.
	Master string `json:"master"`
	// host:port of all Sentinels; without a port 26379. Default: none, at least one
	// is required.
	Addresses []string `json:"addresses"`
	// The Sentinels' own password. Default: none.
	Password string `json:"password,omitempty"`
}

// RedisTLS says how rediss:// connects; the files are PEM and read when the hub
// starts.
type RedisTLS struct {
	// The file with the authorities to trust. Default: the system's.
	CA string `json:"ca,omitempty"`
	// The file with the certificate that we show. Default: none.
	Cert string `json:"cert,omitempty"`
	// The file with its key. Default: none; it belongs to cert.
	Key string `json:"key,omitempty"`
	// The name that the servers' certificates must have. Default: the host by
	// which each is reached.
	ServerName string `json:"server_name,omitempty"`
}

// CaddyModule implements caddy.Module.
func (*RedisStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "lifeline.storage.redis", New: func() caddy.Module { return new(RedisStorage) }}
}

// Provision expands placeholders and checks the settings; it does not dial.
func (s *RedisStorage) Provision(caddy.Context) error {
	for _, t := range s.texts() {
		v, err := expand(t.name, *t.value)
		if err != nil {
			return err
		}
		*t.value = v
	}
	return s.options().Validate()
}

// setting is a text that may hold placeholders.
type setting struct {
	name  string
	value *string
}

func (s *RedisStorage) texts() []setting {
	texts := []setting{
		{"url", &s.URL},
		{"username", &s.Username},
		{"password", &s.Password},
		{"key_prefix", &s.KeyPrefix},
	}
	if c := s.Cluster; c != nil {
		for i := range c.Addresses {
			texts = append(texts, setting{"cluster", &c.Addresses[i]})
		}
	}
	if q := s.Sentinel; q != nil {
		texts = append(texts, setting{"sentinel", &q.Master}, setting{"sentinel_password", &q.Password})
		for i := range q.Addresses {
			texts = append(texts, setting{"sentinel", &q.Addresses[i]})
		}
	}
	if t := s.TLS; t != nil {
		texts = append(texts, setting{"ca", &t.CA}, setting{"cert", &t.Cert}, setting{"key", &t.Key},
			setting{"server_name", &t.ServerName})
	}
	return texts
}

func (s *RedisStorage) options() redis.Options {
	o := redis.Options{
		URL: s.URL, Username: s.Username, Password: s.Password, DB: s.DB,
		KeyPrefix: s.KeyPrefix, Timeout: time.Duration(s.Timeout), PoolSize: s.Pool,
	}
	if c := s.Cluster; c != nil {
		o.Cluster = &redis.Cluster{Addrs: c.Addresses}
	}
	if q := s.Sentinel; q != nil {
		o.Sentinel = &redis.Sentinel{Master: q.Master, Addrs: q.Addresses, Password: q.Password}
	}
	if t := s.TLS; t != nil {
		o.TLS = &redis.TLS{CA: t.CA, Cert: t.Cert, Key: t.Key, ServerName: t.ServerName}
	}
	return o
}

// Describe implements StorageProvider.
func (s *RedisStorage) Describe(string) StorageInfo {
	return StorageInfo{Driver: "redis", Remote: true, Where: s.options().String(), Key: s.options()}
}

// Open implements StorageProvider. Redis being down is no error.
func (s *RedisStorage) Open(_ string, logger *zap.Logger) (storage.Driver, error) {
	o := s.options()
	o.Logger = logger
	return redis.New(o)
}

// expand replaces the placeholders of a setting; an unknown one, such as a
// missing environment variable, is an error and never an empty value.
func expand(name, value string) (string, error) {
	v, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// storageKeys are digests of everything that an open storage was made with, and of the
// driver's part of that.
func (h *Hub) storageKeys() (all, driver string) {
	b := Breaker{}
	if h.Breaker != nil {
		b = *h.Breaker
	}
	return digest(h.info.Driver, h.info.Key, b, h.Journal), digest(h.info.Driver, h.info.Key)
}

func digest(values ...any) string {
	b, err := json.Marshal(values)
	if err != nil {
		panic(fmt.Sprintf("storage options that are no JSON: %v", err)) // a guest's defect
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Interface guards.
var (
	_ StorageProvider   = (*DiskStorage)(nil)
	_ StorageProvider   = (*MemoryStorage)(nil)
	_ StorageProvider   = (*RedisStorage)(nil)
	_ caddy.Provisioner = (*DiskStorage)(nil)
	_ caddy.Provisioner = (*MemoryStorage)(nil)
	_ caddy.Provisioner = (*RedisStorage)(nil)
)
