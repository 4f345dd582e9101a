package events

import (
	"fmt"
	"slices"
	"strings"
)

// Groups is a set of routes that a site may have without the others; 0 is all of
// them.
type Groups uint8

// The groups.
const (
	GroupEvents   Groups = 1 << iota // posting, reading, polls and streams of events
	GroupSockets                     // /ws
	GroupSessions                    // /api/sessions, with chains and input
	GroupCommands                    // posting, listing and acknowledging commands
	GroupRecords                     // /api/records
	GroupHealth                      // /health and the state of the breakers
	GroupClient                      // the browser client, which is not the hub's to serve
)

// groupNames are the groups in the order of their bits.
var groupNames = []string{"events", "ws", "sessions", "commands", "records", "health", "client"}

// ParseGroups reads names of groups, at least one. Its error lists those that there
// are.
func ParseGroups(names []string) (Groups, error) {
	var set Groups
	for _, name := range names {
		i := slices.Index(groupNames, name)
		if i < 0 {
			return 0, fmt.Errorf("routes: %q is not one of %s", name, strings.Join(groupNames, ", "))
		}
		set |= 1 << i
	}
	if set == 0 {
		return 0, fmt.Errorf("routes: name at least one of %s", strings.Join(groupNames, ", "))
	}
	return set, nil
}

// Has reports whether a group is on.
func (g Groups) Has(group Groups) bool { return g == 0 || g&group != 0 }

// group is the one that a route belongs to.
func (rt route) group() Groups {
	switch rt.kind {
	case routeSocket:
		return GroupSockets
	case routeBreakers, routeHealth:
		return GroupHealth
	case routeSessions, routeSession, routeChains, routeInput:
		return GroupSessions
	case routeCommands, routeAck:
		return GroupCommands
	case routeRecords:
		return GroupRecords
	default:
		return GroupEvents
	}
}

// IsRoute reports whether an escaped path is one that [Site.ServeHTTP] answers.
func (s *Site) IsRoute(escapedPath string) bool {
	_, ok := s.match(escapedPath)
	return ok
}

func (s *Site) match(escapedPath string) (rt route, ok bool) {
	rt, ok = matchRoute(escapedPath)
	return rt, ok && s.Groups.Has(rt.group())
}
