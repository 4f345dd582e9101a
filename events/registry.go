package events

import (
	"errors"
	"net/netip"
	"sync"
	"time"
)

// member is a connection as the registry knows it.
type member interface {
	identity() Peer
	granted() Grant
	// grant replaces what its client may do.
	grant(g Grant)
	// end closes the connection with a WebSocket close code and returns at once.
	// With discard, what waits for sending is dropped.
	end(code int, reason string, discard bool)
	// abort ends it without further ado.
	abort()
}

// registry knows the connections of a hub and bounds their number. The zero
// value needs init.
type registry struct {
	mu       sync.Mutex // guards what follows
	closed   bool
	empty    chan struct{} // closed when closed and no connection is left
	webs     map[*wsConn]struct{}
	streams  map[*stream]struct{}
	perIP    map[netip.Addr]int
	reserved int                  // let in, and not among webs or streams yet
	due      map[member]time.Time // when to close some of them, see renew.go
}

// Why a connection is not let in.
var (
	errHubClosed   = errors.New("the hub is shutting down")
	errConnections = errors.New("the hub has as many connections as max_connections lets")
	errPerIP       = errors.New("your address has as many connections as max_per_ip lets; " +
		"if a proxy is in front of the hub, list it in trusted_proxies")
)

func (r *registry) init() {
	r.empty = make(chan struct{})
	r.webs = make(map[*wsConn]struct{})
	r.streams = make(map[*stream]struct{})
	r.perIP = make(map[netip.Addr]int)
}

// limitedIP is the address under which a client's connections are counted: only
// public ones are, an IPv6 network of 64 bits as one. Behind the others are
// proxies and whole offices.
func limitedIP(ip netip.Addr) (netip.Addr, bool) {
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() || ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() {
		return netip.Addr{}, false
	}
	if ip.Is6() {
		p, err := ip.Prefix(64)
		if err != nil {
			return netip.Addr{}, false
		}
		ip = p.Addr()
	}
	return ip, true
}

// reserve lets a connection in; see [registry.reserve].
func (h *Hub) reserve(p Peer) error {
	err := h.connections.reserve(p, h.Limits())
	switch {
	case errors.Is(err, errConnections):
		h.meet(LimitConnections)
	case errors.Is(err, errPerIP):
		h.meet(LimitPerIP)
	}
	return err
}

// reserve lets a connection in; release takes that back.
func (r *registry) reserve(p Peer, l Limits) error {
	ip, limited := limitedIP(p.IP)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return errHubClosed
	case r.reserved+len(r.webs)+len(r.streams) >= l.MaxConnections:
		return errConnections
	case limited && r.perIP[ip] >= l.MaxPerIP:
		return errPerIP
	}
	r.reserved++
	if limited {
		r.perIP[ip]++
	}
	return nil
}

// release gives the place of a connection back that was never added.
func (r *registry) release(p Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reserved--
	r.leaveIP(p)
}

func (r *registry) leaveIP(p Peer) {
	if ip, limited := limitedIP(p.IP); limited {
		if r.perIP[ip]--; r.perIP[ip] <= 0 {
			delete(r.perIP, ip)
		}
	}
	if r.closed && r.reserved+len(r.webs)+len(r.streams) == 0 {
		notify(&r.empty)
	}
}

// add makes a reserved connection known. It answers false when the hub was
// closed meanwhile: then nobody else will end the connection.
func (r *registry) add(m member) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reserved--
	switch m := m.(type) {
	case *wsConn:
		r.webs[m] = struct{}{}
	case *stream:
		r.streams[m] = struct{}{}
	}
	return !r.closed
}

// remove forgets a connection that was added.
func (r *registry) remove(m member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.due, m)
	switch m := m.(type) {
	case *wsConn:
		delete(r.webs, m)
	case *stream:
		delete(r.streams, m)
	}
	r.leaveIP(m.identity())
}

// close lets nobody in any more; empty is closed when everybody has left.
func (r *registry) close() (empty <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	ch := r.empty
	if r.reserved+len(r.webs)+len(r.streams) == 0 {
		notify(&r.empty)
	}
	return ch
}

func (r *registry) counts() (websockets, streams int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.webs), len(r.streams)
}

func (r *registry) sockets() []*wsConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*wsConn, 0, len(r.webs))
	for c := range r.webs {
		all = append(all, c)
	}
	return all
}

func (r *registry) all() []member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.members()
}

// members is all with mu held.
func (r *registry) members() []member {
	all := make([]member, 0, len(r.webs)+len(r.streams))
	for c := range r.webs {
		all = append(all, c)
	}
	for s := range r.streams {
		all = append(all, s)
	}
	return all
}
