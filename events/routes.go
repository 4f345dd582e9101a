package events

// Route is one path of the hub.
type Route struct {
	Path  string // ":name" stands for one segment, such as a session's id
	Allow string // the methods it takes, as the header Allow says them
}

// routePaths are the paths that lead to each kind of route; those of routeRecords
// are the paths of recordOps, below /api/records/.
var routePaths = [...][]string{
	routeIngest:        {"/api/events"},
	routeRead:          {"/api/events/:sessionId"},
	routeRecent:        {"/api/events/:sessionId/recent"},
	routePoll:          {"/api/events/poll/:sessionId"},
	routeStream:        {"/api/events/stream/:sessionId"},
	routePollSeveral:   {"/api/events/poll"},
	routeStreamSeveral: {"/api/events/stream"},
	routeSocket:        {"/ws"},
	routeBreakers:      {"/api/health/circuit-breakers"},
	routeHealth:        {"/health"},
	routeSessions:      {"/api/sessions"},
	routeSession:       {"/api/sessions/:sessionId"},
	routeChains:        {"/api/sessions/:sessionId/chains"},
	routeInput:         {"/api/sessions/:sessionId/input"},
	routeCommands:      {"/api/sessions/:sessionId/commands", "/api/commands/:sessionId/commands"},
	routeAck:           {"/api/commands/:commandId/ack"},
}

// Routes answers all paths that [Site.ServeHTTP] serves, those of records in no order:
// for whoever has to look at each of them.
func Routes() []Route {
	var routes []Route
	for kind, paths := range routePaths {
		for _, path := range paths {
			routes = append(routes, Route{path, allow[kind]})
		}
	}
	for path, methods := range recordAllow {
		routes = append(routes, Route{"/api/records/" + path, methods})
	}
	return routes
}
