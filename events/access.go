package events

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Access says who may use a site. The zero value serves local clients only.
type Access struct {
	// Keys are the API keys. A key is a service: it reads and writes everything.
	Keys []string
	// User answers the user whom the site has authenticated, or ""; nil: nobody.
	// Being authenticated is a way in, whether Configured or not.
	User func(*http.Request) string
	// Authentication names how the site authenticates users. When a connection is
	// judged again after a reload, its user counts only at a site of the same
	// Authentication: the proof itself cannot be asked for again.
	Authentication string
	// AnonymousRead lets everybody read; AnonymousWrite, only together with it,
	// lets everybody write too.
	AnonymousRead, AnonymousWrite bool
	// Operates reports whether a user may operate on the hub, on its breakers for
	// one; nil: nobody may. Keys and local clients are not users.
	Operates func(user string) bool
	// Overview: the site shows the status of the whole hub to those who may see all
	// sessions, and to those who may operate.
	Overview bool
	// Origins lists the foreign origins whose pages may use the site, each as
	// scheme://host[:port], for CORS and WebSocket alike.
	Origins []string
	// Configured: the site has an access line. Without one local clients are
	// served; with one they too must come in by one of its ways.
	Configured bool
}

// Refusal says why a peer is not served.
type Refusal struct {
	Status int    // 401 or 403
	Code   int    // how a WebSocket is closed: 4401 or 4403
	Reason string // for people
	bearer bool   // an API key would be a way in
}

// Close codes of a WebSocket that is refused, or no longer admitted.
const (
	CloseUnauthenticated = 4401
	CloseForbidden       = 4403
)

const onlyLocal = "this hub serves only local clients; add `api_key`, `anonymous read` or authentication to the lifeline block of this site"

// access is Access made ready by [Site.Provision]; the zero value admits nobody
// but local clients.
type access struct {
	keys       [][sha256.Size]byte // hashed, so that comparing tells no length
	origins    map[string]bool     // as normalOrigin writes them
	read       bool
	write      bool
	configured bool
}

func (a Access) provision() (access, error) {
	p := access{origins: make(map[string]bool), read: a.AnonymousRead, write: a.AnonymousWrite}
	if a.AnonymousWrite && !a.AnonymousRead {
		return access{}, errors.New("anonymous write needs anonymous read")
	}
	for i, key := range a.Keys {
		if key == "" || strings.TrimSpace(key) != key {
			// Never the key itself: errors end up in logs.
			return access{}, fmt.Errorf("API key %d is empty or begins or ends with white space", i+1)
		}
		p.keys = append(p.keys, sha256.Sum256([]byte(key)))
	}
	for _, o := range a.Origins {
		normal, err := normalOrigin(o)
		if err != nil {
			return access{}, fmt.Errorf("origin %q: %w", o, err)
		}
		p.origins[normal] = true
	}
	p.configured = a.Configured || len(p.keys) > 0 || p.read
	return p, nil
}

// isKey compares key with all keys in a time that depends on neither.
func (a *access) isKey(key string) bool {
	if key == "" {
		return false
	}
	hash := sha256.Sum256([]byte(key))
	found := 0
	for i := range a.keys {
		found |= subtle.ConstantTimeCompare(hash[:], a.keys[i][:])
	}
	return found == 1
}

// foreign reports whether p is a page that may not use the site, wherever its
// browser runs.
func (a *access) foreign(p Peer) bool {
	return p.Foreign && (p.Origin == "" || !a.origins[p.Origin])
}

// Admit says what a peer may do, or why he may not: with write false whether he
// may read, with write true whether he may write. It looks at nothing but the
// peer and the site's settings, so a connection can be judged again after a
// reload.
func (s *Site) Admit(p Peer, write bool) (Grant, *Refusal) {
	g, refusal := s.admit(p, write)
	if refusal == nil {
		g.Operate = s.operates(p)
		g.Overview = s.Access.Overview && (g.All || g.Operate)
	}
	return g, refusal
}

func (s *Site) operates(p Peer) bool {
	a := &s.Access
	return p.User != "" && p.UserBy == a.Authentication && a.Operates != nil && a.Operates(p.User)
}

func (s *Site) admit(p Peer, write bool) (Grant, *Refusal) {
	a := &s.access
	if a.foreign(p) {
		return Grant{}, &Refusal{
			Status: http.StatusForbidden, Code: CloseForbidden,
			Reason: "this page's origin is neither the site's own nor listed in `origins`",
		}
	}
	grant := Grant{Peer: p, Read: true, Write: true}
	switch {
	case a.isKey(p.Key):
		grant.All = true
		return grant, nil
	case p.User != "" && p.UserBy == s.Access.Authentication:
		return grant, nil
	case !a.configured && p.Local:
		grant.All = true
		return grant, nil
	case !a.configured:
		return Grant{}, unauthenticated(onlyLocal, false)
	case p.Key != "" && len(a.keys) > 0:
		// Not served as anonymous: who presents a key should learn that it is not
		// valid (any longer).
		return Grant{}, unauthenticated("the API key is not valid", true)
	case !a.read:
		return Grant{}, unauthenticated("authentication is required", len(a.keys) > 0)
	case write && !a.write:
		return Grant{}, &Refusal{
			Status: http.StatusForbidden, Code: CloseForbidden,
			Reason: "anonymous clients may read, not write",
		}
	}
	return Grant{Peer: p, Read: true, Write: a.write}, nil
}

// Readmit is Admit for the reader of a connection that may have come by another site,
// which need not be there any more. What followed from the host that it was sent to,
// being local or of that host's own page, counts only where this site serves the host.
func (s *Site) Readmit(p Peer) (Grant, *Refusal) {
	if !s.Groups.Has(p.Group) {
		return Grant{}, &Refusal{
			Status: http.StatusForbidden, Code: CloseForbidden, Reason: "this site no longer has the route",
		}
	}
	if s.Serves != nil && !s.Serves(p.Host) {
		p.Local, p.Foreign = false, p.Foreign || p.HasOrigin
	}
	return s.Admit(p, false)
}

func unauthenticated(reason string, bearer bool) *Refusal {
	return &Refusal{
		Status: http.StatusUnauthorized, Code: CloseUnauthenticated,
		Reason: reason, bearer: bearer,
	}
}

func writeRefusal(w http.ResponseWriter, refusal *Refusal) {
	if refusal.bearer {
		w.Header().Set("Www-Authenticate", "Bearer")
	}
	writeError(w, refusal.Status, refusal.problem())
}

// problem is the body of the answer.
func (refusal *Refusal) problem() apiError {
	switch {
	case refusal.Reason == onlyLocal:
		return apiError{Error: onlyLocal}
	case refusal.Status == http.StatusForbidden:
		return apiError{Error: "forbidden", Message: refusal.Reason}
	}
	return apiError{Error: "authentication required", Message: refusal.Reason}
}

// peer reads who stands behind a request.
func (s *Site) peer(r *http.Request) Peer {
	p := Peer{IP: s.clientIP(r), Key: presentedKey(r), Local: isLocal(r), Host: r.Host}
	if s.Access.User != nil {
		p.User, p.UserBy = s.Access.User(r), s.Access.Authentication
	}
	origins := r.Header.Values("Origin")
	p.HasOrigin = len(origins) > 0
	if p.HasOrigin {
		p.Origin = origins[0]
		normal, err := normalOrigin(origins[0])
		if err == nil && len(origins) == 1 {
			p.Origin = normal
		}
		p.Foreign = err != nil || len(origins) > 1 || !sameOrigin(normal, r)
		if len(origins) > 1 {
			p.Origin = "null" // two origins are nobody's, not the first one's
		}
	}
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		p.Foreign = true
	}
	return p
}

func (s *Site) clientIP(r *http.Request) netip.Addr {
	if s.ClientIP != nil {
		return s.ClientIP(r)
	}
	return remoteIP(r)
}

// remoteIP is the address of the direct peer; the zero Addr for a unix socket.
func remoteIP(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

const keyProtocol = "lifeline.key."

// presentedKey is the API key that a request carries: as bearer token, in the
// query, or, where a WebSocket is opened, as subprotocol beside lifeline.v1.
func presentedKey(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		if token = strings.TrimSpace(token); token != "" {
			return token
		}
	}
	if strings.Contains(r.URL.RawQuery, "apiKey") {
		// What is malformed beside the key is for the route to complain about.
		query, _ := url.ParseQuery(r.URL.RawQuery)
		if key := query.Get("apiKey"); key != "" {
			return key
		}
	}
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for protocol := range strings.SplitSeq(line, ",") {
			encoded, ok := strings.CutPrefix(strings.TrimSpace(protocol), keyProtocol)
			if !ok {
				continue
			}
			if key, err := base64.RawURLEncoding.DecodeString(encoded); err == nil {
				return string(key)
			}
			return encoded // wrong, and to be refused as such
		}
	}
	return ""
}

// isLocal reports whether a request comes from this machine and is meant for it:
// the direct peer is a loopback address or a unix socket; Host is a loopback
// name, so that no page can reach the hub under a name that it made resolve to
// 127.0.0.1; and no proxy has left a trace, which would make everybody local. A
// proxy that leaves none and rewrites Host cannot be told from a client: such a
// site needs an access line.
func isLocal(r *http.Request) bool {
	unix := r.RemoteAddr == "" || r.RemoteAddr == "@"
	if !unix && !remoteIP(r).IsLoopback() {
		return false
	}
	if !IsLoopbackHost(r.Host) {
		return false
	}
	for name := range r.Header {
		if isForwarding(name) {
			return false
		}
	}
	return true
}

// isForwarding reports whether a header, named canonically, is one by which
// proxies tell of themselves or of the client behind them.
func isForwarding(name string) bool {
	switch name {
	case "Forwarded", "Forwarded-For", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip",
		"X-Original-Host", "X-Original-Forwarded-For", "X-Proxyuser-Ip",
		"True-Client-Ip", "Fastly-Client-Ip", "Fly-Client-Ip", "Cdn-Loop":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded") || strings.HasPrefix(name, "Cf-") ||
		strings.HasPrefix(name, "X-Envoy-")
}
