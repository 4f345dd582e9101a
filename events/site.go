package events

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"go.uber.org/zap"
)

// Site is the hub as one web site shows it: its routes, and who may use them.
// Several sites may show one hub. Set the fields, call [Site.Provision] once,
// and do not change them any more; then it is safe for concurrent use.
type Site struct {
	// Hub may be set after Provision, and in a copy of the site; [Site.ServeHTTP]
	// needs it, [Site.Admit] does not.
	Hub    *Hub
	Access Access
	// Groups are the routes that the site has; requests to others are the next
	// handler's.
	Groups Groups
	// PollRate bounds polling, per client and session; the zero value is once in
	// 5 seconds.
	PollRate Rate
	// Limiter remembers the polls. Share one among all sites of a hub, and keep
	// it across reloads; nil: this site's own.
	Limiter *PollLimiter
	// Compression sends events compressed to WebSocket clients who offer that
	// (permessage-deflate, RFC 7692).
	Compression bool
	// ClientIP answers who a request comes from, behind trusted proxies; nil:
	// the direct peer.
	ClientIP func(*http.Request) netip.Addr
	// Serves reports whether requests to a host come to this site; nil: to any.
	Serves func(host string) bool
	Logger *zap.Logger // nil: none

	access access
}

// Provision checks the settings and makes the site ready. Its errors name what
// is wrong, and never contain a key.
func (s *Site) Provision() error {
	if s.PollRate == (Rate{}) {
		s.PollRate = defaultPollRate
	}
	if s.PollRate.N <= 0 || s.PollRate.Per <= 0 {
		return fmt.Errorf("poll rate %d in %v: both must be positive", s.PollRate.N, s.PollRate.Per)
	}
	if s.Limiter == nil {
		s.Limiter = NewPollLimiter()
	}
	var err error
	s.access, err = s.Access.provision()
	return err
}

func (s *Site) logger() *zap.Logger {
	if s.Logger == nil {
		return zap.NewNop()
	}
	return s.Logger
}

type routeKind int

const (
	routeIngest routeKind = iota
	routeRead
	routeRecent
	routePoll
	routeStream
	routePollSeveral
	routeStreamSeveral
	routeSocket
	routeBreakers
	routeHealth
	routeSessions
	routeSession
	routeChains
	routeInput
	routeCommands
	routeAck
	routeRecords
)

// allow is what the header Allow says of each route.
var allow = [...]string{
	routeIngest: "POST, OPTIONS",
	routeRead:   "GET, HEAD, OPTIONS",
	routeRecent: "GET, HEAD, OPTIONS",
	routePoll:   "GET, HEAD, OPTIONS",
	routeStream: "GET, OPTIONS", // HEAD would have to wait for the stream's end

	routePollSeveral:   "GET, HEAD, OPTIONS",
	routeStreamSeveral: "GET, OPTIONS",

	routeSocket:   "GET, OPTIONS",
	routeBreakers: "GET, HEAD, OPTIONS",
	routeHealth:   "GET, HEAD, OPTIONS",
	routeSessions: "GET, HEAD, POST, OPTIONS",
	routeSession:  "GET, HEAD, PUT, DELETE, OPTIONS",
	routeChains:   "GET, HEAD, OPTIONS",
	routeInput:    "GET, POST, OPTIONS", // HEAD would take the input that it does not show
	routeCommands: "GET, HEAD, POST, OPTIONS",
	routeAck:      "POST, OPTIONS",
}

// route is where a path leads.
type route struct {
	kind      routeKind
	session   string // decoded
	id        string // of a command or record, decoded
	record    string // which records, a path of recordOps
	badEscape bool   // something in the path could not be decoded
}

// hasSession reports whether the path names a session.
func (rt route) hasSession() bool { return rt.session != "" }

// readsEvents reports whether the route answers events of a session.
func (rt route) readsEvents() bool { return rt.kind >= routeRead && rt.kind <= routeStream }

// allows are the methods that the route takes.
func (rt route) allows() string {
	if rt.kind == routeRecords {
		return recordAllow[rt.record]
	}
	return allow[rt.kind]
}

// use is what a request wants to do. Reading input takes it away.
func (rt route) use(method string) use {
	switch read := method == http.MethodGet || method == http.MethodHead; {
	case rt.kind == routeSocket, read && rt.kind != routeInput:
		return useRead
	case method == http.MethodPost && (rt.kind == routeInput || rt.kind == routeCommands):
		return useAdd
	}
	return useWrite
}

// takes reports whether the route has a method; OPTIONS is not its own.
func (rt route) takes(r *http.Request) bool {
	if rt.kind == routeSocket && r.Method == http.MethodConnect {
		return wantsWebSocket(r)
	}
	return takes(rt.allows(), r.Method)
}

// takes reports whether a method is among those of the header Allow.
func takes(allow, method string) bool {
	for m := range strings.SplitSeq(allow, ", ") {
		if m == method {
			return true
		}
	}
	return false
}

// matchRoute reads an escaped path. It is split first and decoded after, so that
// a session id may contain an escaped slash; an empty segment is no session id,
// and a path that has one is not ours.
func matchRoute(escaped string) (rt route, ok bool) {
	path, ok := strings.CutPrefix(escaped, "/")
	if !ok {
		return rt, false
	}
	segments := strings.SplitN(path, "/", 5)
	for i, s := range segments {
		if !strings.Contains(s, "%") {
			continue
		}
		decoded, err := url.PathUnescape(s)
		if err != nil {
			rt.badEscape = true // it stays as it is, and equals none of our words
			continue
		}
		segments[i] = decoded
	}
	switch n := len(segments); {
	case n == 1 && segments[0] == "ws":
		rt.kind = routeSocket
	case n == 1 && segments[0] == "health":
		rt.kind = routeHealth
	case n == 3 && segments[0] == "api" && segments[1] == "health" && segments[2] == "circuit-breakers":
		rt.kind = routeBreakers
	case n >= 2 && segments[0] == "api" && segments[1] == "events":
		return rt.matchEvents(segments[2:])
	case n >= 2 && segments[0] == "api" && segments[1] == "sessions":
		return rt.matchSessions(segments[2:])
	case n == 4 && segments[0] == "api" && segments[1] == "commands":
		return rt.matchCommands(segments[2], segments[3])
	case n >= 3 && segments[0] == "api" && segments[1] == "records":
		return rt.matchRecords(segments[2:])
	default:
		return rt, false
	}
	return rt, true
}

// matchEvents reads what follows /api/events.
func (rt route) matchEvents(rest []string) (route, bool) {
	switch {
	case len(rest) == 0:
		rt.kind = routeIngest
		return rt, true
	case len(rest) == 1 && rest[0] == "poll":
		rt.kind = routePollSeveral
		return rt, true
	case len(rest) == 1 && rest[0] == "stream":
		rt.kind = routeStreamSeveral
		return rt, true
	case len(rest) == 1:
		rt.kind, rt.session = routeRead, rest[0]
	case len(rest) == 2 && rest[0] == "poll":
		rt.kind, rt.session = routePoll, rest[1]
	case len(rest) == 2 && rest[0] == "stream":
		rt.kind, rt.session = routeStream, rest[1]
	case len(rest) == 2 && rest[1] == "recent":
		rt.kind, rt.session = routeRecent, rest[0]
	}
	return rt, rt.session != ""
}

// matchSessions reads what follows /api/sessions.
func (rt route) matchSessions(rest []string) (route, bool) {
	if len(rest) == 0 {
		rt.kind = routeSessions
		return rt, true
	}
	rt.session = rest[0]
	switch {
	case len(rest) == 1:
		rt.kind = routeSession
	case len(rest) == 2 && rest[1] == "chains":
		rt.kind = routeChains
	case len(rest) == 2 && rest[1] == "input":
		rt.kind = routeInput
	case len(rest) == 2 && rest[1] == "commands":
		rt.kind = routeCommands
	default:
		return route{}, false
	}
	return rt, rt.session != ""
}

// matchCommands reads what follows /api/commands.
func (rt route) matchCommands(id, what string) (route, bool) {
	switch what {
	case "commands":
		rt.kind, rt.session = routeCommands, id
	case "ack":
		rt.kind, rt.id = routeAck, id
	default:
		return route{}, false
	}
	return rt, id != ""
}

// ServeHTTP answers a request whose path is one of the hub's. For any other it
// writes nothing and answers false: the request is the next handler's.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) (handled bool) {
	rt, ok := s.match(r.URL.EscapedPath())
	if !ok {
		return false
	}
	p := s.peer(r)
	p.Group = rt.group()
	s.setCORS(w.Header(), p)
	if s.Hub.Degraded() {
		w.Header().Set("Lifeline-Degraded", "true")
	}
	switch {
	case rt.kind != routeHealth && s.access.foreign(p):
		_, refusal := s.Admit(p, false)
		s.refuse(w, r, rt, p, refusal)
	case r.Method == http.MethodOptions:
		s.preflight(w, r, p, rt.allows())
	case !rt.takes(r):
		writeNotAllowed(w, rt.allows())
	case rt.kind == routeHealth:
		s.health(w, p) // anyone
	default:
		s.admitted(w, r, rt, p)
	}
	return true
}

// admitted serves a request if its peer may make it.
func (s *Site) admitted(w http.ResponseWriter, r *http.Request, rt route, p Peer) {
	use := rt.use(r.Method)
	grant, refusal := s.Admit(p, use != useRead)
	if refusal != nil {
		s.refuse(w, r, rt, p, refusal)
		return
	}
	query, problem := rt.check(r)
	if problem != nil {
		writeError(w, http.StatusBadRequest, *problem)
		return
	}
	if rt.hasSession() {
		if err := s.Hub.authorize(r.Context(), grant, rt.session, use); err != nil {
			s.writeFailure(w, r, err)
			return
		}
	}
	c := &call{site: s, hub: s.Hub, w: w, r: r, grant: grant, route: rt, query: query}
	switch rt.kind {
	case routeSessions:
		c.handle((*call).sessions)
	case routeSession:
		c.handle((*call).session)
	case routeChains:
		c.handle((*call).chains)
	case routeInput:
		c.handle((*call).input)
	case routeCommands:
		c.handle((*call).commands)
	case routeAck:
		c.handle((*call).acknowledge)
	case routeRecords:
		c.handle((*call).records)
	case routeIngest:
		s.ingest(w, r, grant)
	case routeRead:
		s.read(w, r, rt.session, query)
	case routeRecent:
		s.recent(w, r, rt.session, query)
	case routePoll:
		s.poll(w, r, rt.session, query, grant)
	case routeStream:
		s.Hub.ServeStream(w, r, rt.session, grant)
	case routePollSeveral:
		s.pollSeveral(w, r, grant)
	case routeStreamSeveral:
		s.streamSeveral(w, r, grant)
	case routeSocket:
		s.Hub.ServeWebSocket(w, r, grant, s.Compression)
	case routeBreakers:
		s.breakers(w, r, grant)
	case routeHealth: // anyone is answered, before
	}
}

// refuse turns a peer away. A browser is not told why a WebSocket handshake
// failed, so one is accepted and closed with a code that says it.
func (s *Site) refuse(w http.ResponseWriter, r *http.Request, rt route, p Peer, refusal *Refusal) {
	if rt.kind == routeSocket && (p.HasOrigin || p.Foreign) && wantsWebSocket(r) {
		s.Hub.RefuseWebSocket(w, r, p, refusal.Code, refusal.Reason)
		return
	}
	writeRefusal(w, refusal)
}

// wantsWebSocket reports whether a request opens a WebSocket, on any version of
// HTTP.
func wantsWebSocket(r *http.Request) bool {
	if r.Method == http.MethodConnect { // RFC 8441, RFC 9220
		return r.Header.Get(":protocol") == "websocket" || r.Proto == "websocket"
	}
	return r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// check finds what is wrong with the path and query of a route.
func (rt route) check(r *http.Request) (query, *apiError) {
	if rt.badEscape {
		return query{}, &apiError{Error: "invalid path", Message: "it contains a % that starts no escape"}
	}
	if !rt.hasSession() {
		return parseOther(rt, r)
	}
	if err := validSessionID(rt.session); err != nil {
		return query{}, &apiError{
			Error: "invalid session id", Message: "sessionId " + err.Error(), Field: "sessionId",
		}
	}
	if !rt.readsEvents() {
		return parseParameters(r.URL.RawQuery)
	}
	return rt.parameters(r.URL.RawQuery)
}

// parseOther reads the query of a path without a session, where there may be one
// that counts.
func parseOther(rt route, r *http.Request) (query, *apiError) {
	if rt.kind < routeSessions {
		return query{}, nil
	}
	return parseParameters(r.URL.RawQuery)
}
