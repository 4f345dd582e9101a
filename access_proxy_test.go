package lifeline_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// gateway is a real back end for forward_auth: it knows who has a cookie, lets guests
// in without naming them, and refuses everybody else.
func gateway(t *testing.T) (address string) {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch cookie, _ := r.Cookie("who"); {
		case cookie == nil:
			http.Error(w, "log in", http.StatusUnauthorized)
		case cookie.Value == "guest":
		default:
			w.Header().Set("Remote-User", cookie.Value)
		}
	}))
	t.Cleanup(backend.Close)
	return strings.TrimPrefix(backend.URL, "http://")
}

const forgeable = "believes a header that any client can send"

// TestForwardAuth: the user is whom the back end names, whatever the client says.
func TestForwardAuth(t *testing.T) {
	address := gateway(t)
	options := "user {http.request.header.Remote-User}\n"
	site := func(before string) string {
		before = strings.ReplaceAll(before, "AUTH", "forward_auth "+address+" {\nuri /verify\ncopy_headers Remote-User\n}\n")
		return "{\nadmin ADMIN\nlifeline {\nstorage memory\n}\n}\nhttp://localhost:PORT {\n" + before + "\n}\n"
	}
	for name, config := range map[string]string{
		"copied":            site("AUTH\nlifeline {\n" + options + "}"),
		"removed, too":      site("route {\nrequest_header -Remote-*\nAUTH\nlifeline {\n" + options + "}\n}"),
		"below a path only": site("handle_path /live/* {\nAUTH\nlifeline {\n" + options + "}\n}"),
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.launch(s.write(config))
			if strings.Contains(config, "/live/") {
				s.url += "/live"
			}
			const ann, guest, forged = "Cookie: who=ann", "Cookie: who=guest", "Remote-User: root"
			s.waitUntil("the server answers", func() bool {
				_, err := s.try(http.MethodGet, "/health", "")
				return err == nil
			})
			if strings.Contains(s.log.String(), forgeable) {
				t.Error("warned without cause")
			}
			if a := s.post(stepEvent("s", "1", 1), forged); a.status != http.StatusUnauthorized || !strings.Contains(a.raw, "log in") {
				t.Errorf("nobody: %v", a)
			}
			if a := s.post(stepEvent("s", "1", 1), ann, forged); a.status != http.StatusCreated {
				t.Errorf("ann: %v", a)
			}
			if a := s.get("/api/sessions/s", ann, "Remote-User: root", "remote-user: root"); a.text("user") != "ann" {
				t.Errorf("the session of a forged user: %v", a)
			}
			for _, path := range []string{"/api/sessions/s", "/api/events/s"} {
				if a := s.get(path, guest, "Remote-User: ann"); a.status != http.StatusUnauthorized || a.text("error") != "authentication required" {
					t.Errorf("a guest who says that he is ann: %v", a)
				}
			}
		})
	}
}

// TestForgeableUserIsWarnedAbout: a site that believes a header of its clients.
func TestForgeableUserIsWarnedAbout(t *testing.T) {
	const user = "lifeline {\nuser {header.remote-user}\n}\n"
	const auth = "forward_auth %s 127.0.0.1:1 {\nuri /verify\ncopy_headers Remote-User\n}\n"
	for config, want := range map[string]bool{
		user:                             true,
		"request_header -Other\n" + user: true,
		strings.Replace(auth, "%s", "/admin/*", 1) + user:                    true,
		"@x path /x\nrequest_header @x -Remote-User\n" + user:                true,
		"reverse_proxy /x 127.0.0.1:1 {\nheader_up -Remote-User\n}\n" + user: true,

		strings.Replace(auth, "%s ", "", 1) + user:                                 false,
		"request_header -remote-user\n" + user:                                     false,
		"route {\nrequest_header -Remote-*\n" + user + "}\n":                       false,
		"lifeline {\nuser {http.request.tls.client.subject}\n}\n":                  false,
		"handle /x/* {\nrequest_header -Remote-User\n" + user + "}\n":              false,
		"lifeline {\napi_key k\n}\n":                                               false,
		"handle /x/* {\nrequest_header -Remote-User\n}\nhandle {\n" + user + "}\n": true,
	} {
		s := newServer(t)
		out, code := s.caddy("validate", "--config", s.write("http://localhost:PORT {\n"+config+"}\n"), "--adapter", "caddyfile")
		if code != 0 || strings.Contains(out, forgeable) != want {
			t.Errorf("exit %d, want a warning %t:\n%s\n%s", code, want, config, out)
		}
	}
}
