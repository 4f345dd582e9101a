package events

import (
	"net/http"
	"strings"
	"testing"
)

// TestGroups: each path belongs to one group, and a site without that group leaves it
// to the next handler.
func TestGroups(t *testing.T) {
	of := func(path string) string {
		switch {
		case path == "/ws":
			return "ws"
		case path == "/health", strings.HasPrefix(path, "/api/health/"):
			return "health"
		case strings.HasPrefix(path, "/api/records/"):
			return "records"
		case strings.HasPrefix(path, "/api/commands/"), strings.HasSuffix(path, "/commands"):
			return "commands"
		case strings.HasPrefix(path, "/api/sessions"):
			return "sessions"
		}
		return "events"
	}
	for i, name := range groupNames {
		set, err := ParseGroups([]string{name})
		if err != nil || set != 1<<i {
			t.Errorf("%s is %d: %v", name, set, err)
		}
		site := newTestSite(t, func(s *Site, _ *siteBackend, _ *Config) { s.Groups = set })
		for _, r := range Routes() {
			path := strings.ReplaceAll(r.Path, ":", "a")
			want := of(path) == name
			if site.IsRoute(path) != want {
				t.Errorf("with %s alone: %s is a route: %t", name, path, !want)
			}
			if a := site.do(http.MethodOptions, path, ""); a.handled != want {
				t.Errorf("with %s alone: OPTIONS %s: %+v", name, path, a)
			}
		}
	}
	for _, bad := range [][]string{nil, {"metrics"}, {"events", ""}, {"Events"}} {
		if set, err := ParseGroups(bad); err == nil || !strings.Contains(err.Error(), "events, ws, sessions, commands, records, health, client") {
			t.Errorf("%q: %d, %v", bad, set, err)
		}
	}
	if set, _ := ParseGroups([]string{"ws", "health", "ws"}); set != GroupSockets|GroupHealth {
		t.Errorf("two: %d", set)
	}
}

// TestReadmitByRoute: who came by a route that a site no longer has is not admitted by
// that site.
func TestReadmitByRoute(t *testing.T) {
	site := newTestSite(t, func(s *Site, _ *siteBackend, _ *Config) { s.Groups = GroupEvents })
	local := Peer{Local: true, Host: "localhost", Group: GroupEvents}
	if g, refusal := site.Readmit(local); refusal != nil || !g.Read {
		t.Errorf("by events: %+v, %+v", g, refusal)
	}
	local.Group = GroupSockets
	if _, refusal := site.Readmit(local); refusal == nil || refusal.Code != CloseForbidden || refusal.Status != http.StatusForbidden {
		t.Errorf("by ws: %+v", refusal)
	}
}
