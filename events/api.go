package events

import (
	"encoding/json"
	"net/netip"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient"
)

// Backend is what a hub needs of storage.
type Backend interface {
	storage.Events
	// Records answers the operations on records, with the settings in force.
	Records() *storage.Store
	CircuitBreakerStats() []breaker.Stats
	UsingFallback() bool
	Status() resilient.Status
	OnStatus(fn func(resilient.Status)) (cancel func())
}

// Config makes a hub.
type Config struct {
	Backend Backend
	Driver  string      // the storage's name on the health page
	Logger  *zap.Logger // nil: none
	Limits  Limits
	// Watchers answers the state of the file watchers for the health page; nil:
	// there are none.
	Watchers func() []WatcherState
	// Directories watches those of clients' sessions; nil: none is watched, and
	// nobody is told so.
	Directories Directories
}

// WatcherState is the state of the file watcher of one session. Whoever may read
// the session may see it.
type WatcherState struct {
	Session string
	State   json.RawMessage
}

// Limits bound what clients may take of a hub. The zero value of a field means
// its default.
type Limits struct {
	MaxMessage       int64 // bytes of one event or client message; 1 MiB
	MaxConnections   int   // WebSockets and streams of a hub; 10,000
	MaxPerIP         int   // the same for one public client address; 1,000
	MaxSubscriptions int   // sessions one WebSocket follows; 256
	MessageRate      int   // messages per second from one WebSocket; 50
	MaxQueueBytes    int64 // waiting for one slow connection; 1 MiB
	MaxQueueFrames   int   // the same, in frames; 1,024
	MaxReplays       int   // replays read from storage at the same time; 64
	MaxPolls         int   // polls that wait; 5,000
}

// WithDefaults fills the fields that are zero.
func (l Limits) WithDefaults() Limits {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	if l.MaxMessage == 0 {
		l.MaxMessage = 1 << 20
	}
	if l.MaxQueueBytes == 0 {
		l.MaxQueueBytes = 1 << 20
	}
	def(&l.MaxConnections, 10_000)
	def(&l.MaxPerIP, 1_000)
	def(&l.MaxSubscriptions, 256)
	def(&l.MessageRate, 50)
	def(&l.MaxQueueFrames, 1_024)
	def(&l.MaxReplays, 64)
	def(&l.MaxPolls, 5_000)
	return l
}

// Event is one validated event on its way to storage.
type Event struct {
	Session string
	ID      string
	Type    string
	Data    []byte // the JSON object as it is stored and forwarded, on one line
	Source  Source // default: SourceHTTP
}

// Peer is who stands behind a request, as far as access depends on it. It is
// read once, so that a connection can be judged again after a reload.
type Peer struct {
	IP   netip.Addr // the client, behind trusted proxies
	User string     // authenticated by the site; "": nobody
	// UserBy is the Access.Authentication of the site that authenticated User.
	UserBy string
	Key    string // the API key that was presented; "": none
	// Local: loopback address or unix socket, loopback Host, no forwarding header.
	Local bool
	// Host is what the request was sent to, as its Host header says.
	Host string
	// Origin is the request's Origin header; Foreign reports that it is not the
	// site's own (or that Sec-Fetch-Site says cross-site).
	Origin  string
	Foreign bool
	// HasOrigin: sent by a browser; a refused handshake would tell it nothing.
	HasOrigin bool
	// Group is that of the route by which he came.
	Group Groups
}

// Grant is what a peer may do.
type Grant struct {
	Peer        Peer
	Read, Write bool
	// All: an API key or a local client, for whom sessions of all users are there.
	// Others see those of Peer.User, where that is not "", and those without a user.
	All bool
	// Operate: on the hub's breakers. Overview: may see the status of the whole hub.
	Operate, Overview bool
}
