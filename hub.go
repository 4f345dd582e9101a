package lifeline

import (
	"encoding/json"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/storage"
)

// Hub is the configuration of one hub.
type Hub struct {
	// Where events are kept. Default: the disk driver.
	StorageRaw json.RawMessage `json:"storage,omitempty" caddy:"namespace=lifeline.storage inline_key=driver"`

	// How much of each session's events is kept. Default: 1000 events, 24 h.
	History *History `json:"history,omitempty"`

	// The journal in front of a remote storage: events are written to it and synced
	// before they are acknowledged, and it keeps them while the storage is away.
	// Default: on, in front of a remote storage; another has none.
	Journal *Journal `json:"journal,omitempty"`

	// The circuit breaker around the storage. Default: on.
	Breaker *Breaker `json:"breaker,omitempty"`

	// Directories whose changes become events. Default: none.
	Watches []*Watch `json:"watches,omitempty"`
	// The directories beneath which those of clients' sessions are watched.
	// Default: none.
	WatchRoots []string `json:"watch_roots,omitempty"`

	// How many WebSockets and streams may be open. Default: 10000.
	MaxConnections int `json:"max_connections,omitempty"`
	// The same for one public client address. Default: 1000.
	MaxPerIP int `json:"max_per_ip,omitempty"`
	// How many sessions one WebSocket may follow. Default: 256.
	MaxSubscriptions int `json:"max_subscriptions,omitempty"`
	// The size of one event or client message, in bytes. Default: 1 MiB.
	MaxMessage int64 `json:"max_message,omitempty"`
	// How many messages a second one WebSocket may send. Default: 50.
	MessageRate int `json:"message_rate,omitempty"`
	// What may wait for one slow connection, in bytes. Default: 1 MiB.
	MaxQueueBytes int64 `json:"max_queue_bytes,omitempty"`
	// The same, in frames. Default: 1024.
	MaxQueueFrames int `json:"max_queue_frames,omitempty"`
	// How many replays may read from storage at the same time. Default: 64.
	MaxReplays int `json:"max_replays,omitempty"`
	// Polls that wait for something to arrive, at the same time. Default: 5000.
	MaxPolls int `json:"max_polls,omitempty"`
	// How many sessions may have a record; the oldest go, first those with a final
	// status. Default: 100000.
	MaxSessions int `json:"max_sessions,omitempty"`
	// How many sessions may have events and no record; an event for another one is
	// refused. Default: 100000.
	MaxLogs int `json:"max_logs,omitempty"`
	// Send lifecycle events, session:*, to the followers of their session only, not to
	// every WebSocket that may read it. Default: to every one.
	LifecycleBroadcastOff bool `json:"lifecycle_broadcast_off,omitempty"`
	// After a reload, close the WebSockets and streams that were open then, each at a
	// moment of its own between half of this time and all of it. Their clients come
	// again and resume. Default: they stay open.
	ReloadCloseDelay caddy.Duration `json:"reload_close_delay,omitempty"`

	// Where a Caddyfile defines the hub; only for messages. Default: nowhere.
	DefinedAt string `json:"defined_at,omitempty"`

	storage StorageProvider
	info    StorageInfo
	// key is equal for two configurations that share one open storage, driverKey for
	// two whose drivers have the same settings.
	key       string
	driverKey string
	sites     []*events.Site
	logger    *zap.Logger // this configuration's
	emit      emit        // the same; it works once all apps have started
}

// History bounds the log of one session.
type History struct {
	// How many events of a session are kept. Default: 1000.
	Count int `json:"count,omitempty"`
	// How long they are kept. Default: 24h.
	Age caddy.Duration `json:"age,omitempty"`
}

func (h *Hub) provision(ctx caddy.Context, name string) error {
	if h.StorageRaw == nil {
		h.StorageRaw = caddyconfig.JSONModuleObject(new(DiskStorage), "driver", "disk", nil)
	}
	mod, err := ctx.LoadModule(h, "StorageRaw")
	if err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	provider, ok := mod.(StorageProvider)
	if !ok {
		return fmt.Errorf("storage: module %T is no storage provider", mod)
	}
	h.storage = provider
	h.info = provider.Describe(name)
	if err := h.provisionJournal(name); err != nil {
		return err
	}
	if err := h.check(name); err != nil {
		return err
	}
	h.key, h.driverKey = h.storageKeys()
	return h.provisionWatches(ctx, name)
}

// check refuses values that no default replaces.
func (h *Hub) check(name string) error {
	for _, limit := range []struct {
		name  string
		value int64
	}{
		{"max_connections", int64(h.MaxConnections)},
		{"max_per_ip", int64(h.MaxPerIP)},
		{"max_subscriptions", int64(h.MaxSubscriptions)},
		{"max_message", h.MaxMessage},
		{"message_rate", int64(h.MessageRate)},
		{"max_queue_bytes", h.MaxQueueBytes},
		{"max_queue_frames", int64(h.MaxQueueFrames)},
		{"max_replays", int64(h.MaxReplays)},
		{"max_polls", int64(h.MaxPolls)},
		{"max_sessions", int64(h.MaxSessions)},
		{"max_logs", int64(h.MaxLogs)},
	} {
		if limit.value < 0 {
			return fmt.Errorf("%s: %d is negative", limit.name, limit.value)
		}
	}
	if h.ReloadCloseDelay < 0 {
		return fmt.Errorf("reload_close_delay: %s is negative", time.Duration(h.ReloadCloseDelay))
	}
	if h.History != nil && (h.History.Count < 0 || h.History.Age < 0) {
		return fmt.Errorf("history: %d and %s must not be negative", h.History.Count, time.Duration(h.History.Age))
	}
	return h.Breaker.check(name)
}

func (h *Hub) history() storage.History {
	hist := storage.DefaultHistory
	if h.History == nil {
		return hist
	}
	if h.History.Count > 0 {
		hist.MaxLen = h.History.Count
	}
	if h.History.Age > 0 {
		hist.MaxAge = time.Duration(h.History.Age)
	}
	return hist
}

func (h *Hub) maxSessions() int {
	if h.MaxSessions > 0 {
		return h.MaxSessions
	}
	return storage.DefaultMaxSessions
}

func (h *Hub) limits() events.Limits {
	return events.Limits{
		MaxMessage: h.MaxMessage, MaxConnections: h.MaxConnections, MaxPerIP: h.MaxPerIP,
		MaxSubscriptions: h.MaxSubscriptions, MessageRate: h.MessageRate,
		MaxQueueBytes: h.MaxQueueBytes, MaxQueueFrames: h.MaxQueueFrames,
		MaxReplays: h.MaxReplays, MaxPolls: h.MaxPolls,
	}.WithDefaults()
}
