package events

import (
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const testKey = "geheimer-schluessel"

func withKey(r *http.Request) { r.Header.Set("Authorization", "Bearer "+testKey) }

func remoteUser(r *http.Request) string { return r.Header.Get("Remote-User") }

// Every way to come to a site, over every route.
func TestAccessWalk(t *testing.T) {
	closed := Access{}
	keyed := Access{Configured: true, Keys: []string{"other", testKey}}
	reading := Access{Configured: true, AnonymousRead: true}
	open := Access{Configured: true, AnonymousRead: true, AnonymousWrite: true}
	users := Access{Configured: true, User: remoteUser}
	mixed := Access{Keys: []string{testKey}, User: remoteUser, AnonymousRead: true, Origins: []string{"https://app.example"}}

	protocol := "lifeline.v1, " + keyProtocol + base64.RawURLEncoding.EncodeToString([]byte(testKey))
	own := header("Origin", "http://localhost:8080")
	const (
		needKey  = "authentication required: the API key is not valid"
		needAuth = "authentication required: authentication is required"
		foreign  = "forbidden: this page's origin is neither the site's own nor listed in `origins`"
		readOnly = "forbidden: anonymous clients may read, not write"
	)
	type edits = []func(*http.Request)
	tests := []struct {
		name        string
		access      Access
		edits       edits
		read, write string // how it is refused; "": it is not
		bearer      bool
	}{
		{"local", closed, nil, "", "", false},
		{"local, own page", closed, edits{own}, "", "", false},
		{"local, any key", closed, edits{header("Authorization", "Bearer x")}, "", "", false},
		{"remote", closed, edits{remote}, onlyLocal, onlyLocal, false},
		{"remote, any key", closed, edits{remote, withKey}, onlyLocal, onlyLocal, false},
		{"forwarded", closed, edits{header("X-Forwarded-For", "127.0.0.1")}, onlyLocal, onlyLocal, false},
		{"other host", closed, edits{func(r *http.Request) { r.Host = "hub.example" }}, onlyLocal, onlyLocal, false},
		{"foreign page, local", closed, edits{header("Origin", "https://evil.example")}, foreign, foreign, false},
		{"no origin", closed, edits{header("Origin", "null")}, foreign, foreign, false},
		{"cross-site", closed, edits{header("Sec-Fetch-Site", "cross-site")}, foreign, foreign, false},
		{"same-site", closed, edits{header("Sec-Fetch-Site", "same-site")}, "", "", false},
		{"authenticated", Access{User: remoteUser}, edits{remote, header("Remote-User", "ann")}, "", "", false},

		{"local, with access line", keyed, nil, needAuth, needAuth, true},
		{"key", keyed, edits{remote, withKey}, "", "", false},
		{"key, lower case", keyed, edits{remote, header("Authorization", "bearer  "+testKey)}, "", "", false},
		{"subprotocol", keyed, edits{remote, header("Sec-WebSocket-Protocol", protocol)}, "", "", false},
		{"wrong subprotocol", keyed, edits{remote, header("Sec-WebSocket-Protocol", keyProtocol+"***")}, needKey, needKey, true},
		{"wrong key", keyed, edits{remote, header("Authorization", "Bearer "+testKey+"x")}, needKey, needKey, true},
		{"beginning of a key", keyed, edits{remote, header("Authorization", "Bearer "+testKey[:5])}, needKey, needKey, true},
		{"empty key", keyed, edits{remote, header("Authorization", "Bearer ")}, needAuth, needAuth, true},
		{"basic", keyed, edits{remote, header("Authorization", "Basic "+testKey)}, needAuth, needAuth, true},
		{"key, foreign page", keyed, edits{remote, withKey, header("Origin", "https://evil.example")}, foreign, foreign, false},

		{"reader", reading, edits{remote}, "", readOnly, false},
		{"reader, any key", reading, edits{remote, withKey}, "", readOnly, false},
		{"anyone", open, edits{remote}, "", "", false},
		{"anyone, foreign page", open, edits{remote, header("Origin", "https://evil.example")}, foreign, foreign, false},
		{"user", users, edits{remote, header("Remote-User", "ann")}, "", "", false},
		{"no user", users, edits{remote}, needAuth, needAuth, false},
		{"no user, local", users, nil, needAuth, needAuth, false},

		{"mixed, wrong key", mixed, edits{remote, header("Authorization", "Bearer x")}, needKey, needKey, true},
		{"mixed, user's token", mixed, edits{remote, header("Authorization", "Bearer x"), header("Remote-User", "ann")}, "", "", false},
		{"mixed, nobody", mixed, edits{remote}, "", readOnly, false},
		{"listed page", mixed, edits{remote, header("Origin", "https://app.example")}, "", readOnly, false},
		{"listed page, cross-site", mixed, edits{remote, withKey, header("Origin", "https://app.example"), header("Sec-Fetch-Site", "cross-site")}, "", "", false},
		{"listed host, other port", mixed, edits{withKey, header("Origin", "https://app.example:8443")}, foreign, foreign, false},
		{"listed host, other scheme", mixed, edits{withKey, header("Origin", "http://app.example")}, foreign, foreign, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newTestSite(t, unlimited, func(s *Site, _ *siteBackend, _ *Config) { s.Access = tt.access })
			s.seed(t)
			for _, rt := range everyRoute {
				if rt.path == "/ws" {
					continue // without Upgrade the hub has its own answer
				}
				want := tt.read
				switch {
				case rt.public:
					want = ""
				case rt.write:
					want = tt.write
				case strings.Contains(rt.path, "/stream"):
					if want == "" {
						continue // it would not end
					}
				}
				a := s.do(rt.method, rt.path, rt.body, tt.edits...)
				checkRefusal(t, rt.method+" "+rt.path, a, want, tt.bearer)
				if a.header.Get("Cache-Control") != "no-store" || strings.Contains(a.body, testKey) {
					t.Errorf("%s: %v %s", rt.path, a.header, a.body)
				}
			}
			count := s.do("GET", "/api/events/s", "", func(r *http.Request) {
				for _, edit := range tt.edits {
					edit(r)
				}
			})
			if tt.write != "" && tt.read == "" && count.json(t)["count"] != 0.0 {
				t.Errorf("a refused event had an effect: %s", count.body)
			}
		})
	}
}

// checkRefusal compares an answer with "error: message", or "" for a success.
func checkRefusal(t *testing.T, name string, a answer, want string, bearer bool) {
	t.Helper()
	if want == "" {
		if a.status != 200 && a.status != 201 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		return
	}
	status := 401
	if strings.HasPrefix(want, "forbidden") {
		status = 403
	}
	v := a.json(t)
	got, _ := v["error"].(string)
	if m, ok := v["message"].(string); ok {
		got += ": " + m
	}
	if a.status != status || got != want {
		t.Errorf("%s: %d %s, want %d %s", name, a.status, got, status, want)
	}
	if (a.header.Get("WWW-Authenticate") == "Bearer") != bearer {
		t.Errorf("%s: WWW-Authenticate %q", name, a.header.Get("WWW-Authenticate"))
	}
}

func TestKeyInQuery(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	s := newTestSite(t, func(s *Site, _ *siteBackend, _ *Config) {
		s.Access.Keys = []string{testKey, "a b+c"}
		s.Logger = zap.New(core)
	})
	s.do("GET", "/api/events/s?apiKey="+testKey, "").want(t, 200, "")
	s.do("GET", "/api/events/s?apiKey=a%20b%2Bc", "").want(t, 200, "")
	s.do("POST", "/api/events?apiKey="+testKey, event("1")).want(t, 201, "")
	a := s.do("GET", "/api/events/s?apiKey=x"+testKey, "")
	a.want(t, 401, "authentication required")
	if strings.Contains(a.body, testKey) || logs.Len() > 0 {
		t.Errorf("%s %v", a.body, logs.All())
	}
	// The header is looked at first.
	s.do("GET", "/api/events/s?apiKey="+testKey, "", header("Authorization", "Bearer x")).want(t, 401, "")
}

// A connection is judged again by a new site, from what its peer was.
func TestAdmitAgain(t *testing.T) {
	first := newTestSite(t, func(s *Site, _ *siteBackend, _ *Config) {
		s.Access = Access{Keys: []string{testKey}, Origins: []string{"https://app.example"}}
	})
	r := httptest.NewRequest("GET", "http://hub.example/ws", nil)
	withKey(r)
	r.Header.Set("Origin", "https://app.example")
	grant, refusal := first.Admit(first.peer(r), true)
	if refusal != nil || !grant.Read || !grant.Write || !grant.Peer.Foreign {
		t.Fatalf("%+v %+v", grant, refusal)
	}
	judge := func(a Access) *Refusal {
		s := newTestSite(t, func(s *Site, _ *siteBackend, _ *Config) { s.Access = a })
		_, refusal := s.Admit(grant.Peer, false)
		return refusal
	}
	if r := judge(Access{Keys: []string{"new"}, Origins: []string{"https://app.example"}}); r == nil || r.Code != 4401 || r.Status != 401 {
		t.Errorf("key revoked: %+v", r)
	}
	if r := judge(Access{Keys: []string{testKey}}); r == nil || r.Code != 4403 || r.Status != 403 {
		t.Errorf("origin removed: %+v", r)
	}
	if r := judge(Access{Keys: []string{"new", testKey}, Origins: []string{"https://app.example", "https://b"}}); r != nil {
		t.Errorf("nothing taken away: %+v", r)
	}
}

func TestIsLocal(t *testing.T) {
	tests := []struct {
		remote, host string
		header       string
		want         bool
	}{
		{"127.0.0.1:1", "localhost", "", true},
		{"127.8.9.1:1", "localhost:8080", "", true},
		{"[::1]:1", "[::1]:8080", "", true},
		{"[::1]:1", "[::1]", "", true},
		{"[::ffff:127.0.0.1]:1", "127.0.0.1", "", true},
		{"127.0.0.1:1", "LocalHost", "", true},
		{"127.0.0.1:1", "hub.localhost:80", "", true},
		{"@", "localhost", "", true},
		{"", "localhost", "", true},

		{"192.0.2.1:1", "localhost", "", false},
		{"[fe80::1%eth0]:1", "localhost", "", false},
		{"nonsense", "localhost", "", false},
		{"127.0.0.1:1", "", "", false},
		{"127.0.0.1:1", "example.com", "", false},
		{"127.0.0.1:1", "127.0.0.1.nip.io", "", false},
		{"127.0.0.1:1", "localhost.evil.example", "", false},
		{"127.0.0.1:1", "notlocalhost", "", false},
		{"127.0.0.1:1", "192.168.1.2:8080", "", false},
		{"127.0.0.1:1", "0.0.0.0", "", false},
		{"@", "example.com", "", false},
		{"127.0.0.1:1", "localhost", "Forwarded", false},
		{"127.0.0.1:1", "localhost", "X-Forwarded-For", false},
		{"127.0.0.1:1", "localhost", "X-Forwarded-Host", false},
		{"127.0.0.1:1", "localhost", "X-Forwarded-Proto", false},
		{"127.0.0.1:1", "localhost", "X-Real-IP", false},
		{"127.0.0.1:1", "localhost", "Via", false},
		{"127.0.0.1:1", "localhost", "CF-Connecting-IP", false},
		{"127.0.0.1:1", "localhost", "True-Client-IP", false},
		{"@", "localhost", "X-Forwarded-For", false},
	}
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "/ws", nil)
		r.RemoteAddr, r.Host = tt.remote, tt.host
		if tt.header != "" {
			r.Header.Set(tt.header, "127.0.0.1")
		}
		if got := isLocal(r); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// Behind proxies the client's address may be anything; who is local is decided
// by the direct peer.
func TestLocalIsTheDirectPeer(t *testing.T) {
	s := newTestSite(t, func(s *Site, _ *siteBackend, _ *Config) {
		s.ClientIP = func(*http.Request) netip.Addr { return netip.MustParseAddr("127.0.0.1") }
	})
	s.do("GET", "/api/events/s", "", remote).want(t, 401, onlyLocal)
}

func TestSameOrigin(t *testing.T) {
	tests := []struct {
		origin, host string
		tls          bool
		want         bool
	}{
		{"http://hub.example", "hub.example", false, true},
		{"http://hub.example", "hub.example:80", false, true},
		{"http://hub.example:80", "HUB.example", false, true},
		{"http://hub.example:8080", "hub.example:8080", false, true},
		{"http://[::1]:8080", "[::1]:8080", false, true},
		{"https://hub.example", "hub.example", true, true},
		{"https://hub.example", "hub.example:443", true, true},
		{"HTTPS://Hub.Example:443", "hub.example", true, true},
		{"https://hub.example", "hub.example", false, true}, // TLS ended in front

		{"http://hub.example", "hub.example", true, false},
		{"http://hub.example", "hub.example:8080", false, false},
		{"http://hub.example:8080", "hub.example", false, false},
		{"https://hub.example", "hub.example:80", true, false},
		{"http://sub.hub.example", "hub.example", false, false},
		{"http://hub.example.evil", "hub.example", false, false},
		{"http://user@hub.example", "hub.example", false, false},
		{"http://hub.example/", "hub.example", false, false},
		{"ftp://hub.example", "hub.example", false, false},
		{"chrome-extension://hub.example", "hub.example", false, false},
		{"hub.example", "hub.example", false, false},
		{"null", "null", false, false},
		{"file://", "", false, false},
		{"", "", false, false},
	}
	s := newTestSite(t)
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "/ws", nil)
		r.Host, r.TLS = tt.host, nil
		if tt.tls {
			r.TLS = &tls.ConnectionState{}
		}
		r.Header.Set("Origin", tt.origin)
		if p := s.peer(r); p.Foreign == tt.want || !p.HasOrigin {
			t.Errorf("%+v: %+v", tt, p)
		}
	}
	r := httptest.NewRequest("GET", "/ws", nil)
	r.Header["Origin"] = []string{"http://example.com", "http://evil.example"}
	if p := s.peer(r); !p.Foreign || p.Origin != "null" {
		t.Errorf("two origins: %+v", p)
	}
}
