package events

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// waitingPaths are the requests that wait until something comes.
var waitingPaths = []string{
	"/api/events/poll/s?wait=30", "/api/sessions/s/input?wait=30", "/api/events/poll?session=s&session=x&wait=30",
}

// A reload answers a request that waits when its client would not be let in any more,
// and no other.
func TestReadmitEndsWhatWaits(t *testing.T) {
	for _, path := range waitingPaths {
		synctest.Test(t, func(t *testing.T) {
			s := newTestSite(t, func(s *Site, _ *siteBackend, _ *Config) { s.Access = Access{Keys: []string{"old", "kept"}} })
			defer s.Hub.Close()
			revoked := s.inBackground(path, header("Authorization", "Bearer old"))
			gone := s.inBackground(strings.NewReplacer("/s?", "/t?", "/s/", "/t/", "=s&", "=t&", "=x&", "=y&").Replace(path), header("Authorization", "Bearer old"), header("Origin", "http://localhost:8080"))
			kept := s.inBackground(path, header("Authorization", "Bearer kept"), func(r *http.Request) { r.RemoteAddr = "192.0.2.7:1" })
			synctest.Wait()
			begin := time.Now()
			s.Hub.Readmit(func(p Peer) (Grant, int, string) {
				switch {
				case p.HasOrigin:
					return Grant{}, CloseForbidden, "no site serves this hub any more"
				case p.Key == "old":
					return Grant{}, CloseUnauthenticated, "the API key is not valid"
				}
				return Grant{Peer: p, Read: true, Write: true, All: true}, 0, ""
			})
			a := <-revoked
			a.want(t, 401, "authentication required")
			if !strings.Contains(a.body, "the API key is not valid") {
				t.Error(a.body)
			}
			(<-gone).want(t, 403, "forbidden")
			if took := time.Since(begin); took != 0 {
				t.Errorf("%s: after %v", path, took)
			}
			(<-kept).want(t, 200, "")
			if took := time.Since(begin); took != 30*time.Second {
				t.Errorf("%s: who stays was answered after %v", path, took)
			}
		})
	}
}

// What comes into a session after it has become another user's is not shown to who
// began to wait before.
func TestWaitingForWhatBecomesAnothersSession(t *testing.T) {
	for _, path := range waitingPaths {
		synctest.Test(t, func(t *testing.T) {
			s := newTestSite(t, func(s *Site, _ *siteBackend, _ *Config) { s.Access = Access{Configured: true, User: remoteUser} })
			defer s.Hub.Close()
			bob := s.inBackground(path, header("Remote-User", "bob"))
			time.Sleep(time.Second)
			ann := header("Remote-User", "ann")
			s.do("POST", "/api/events", event("1"), ann).want(t, 201, "")
			s.do("POST", "/api/sessions/s/input", `"secret"`, ann).want(t, 201, "")
			a := <-bob
			a.want(t, 403, "forbidden")
			if v := s.do("GET", "/api/sessions/s/input", "", ann).json(t); v["count"] != 1.0 {
				t.Errorf("ann's input: %v", v)
			}
		})
	}
}
