package lifeline_test

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
)

// canary is a password that nobody may be told.
const canary = "kanarienvogel"

// TestSecretsOfStorageAreNotTold gives passwords of Redis in each way, right and wrong
// ones, lets the server meet what can go wrong with them at level debug, and looks for
// them in all that it says and writes.
func TestSecretsOfStorageAreNotTold(t *testing.T) {
	r := redistest.Start(t, "--requirepass", canary)
	gone := redistest.Start(t)
	gone.Kill()
	s := newServer(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "CANARY="+canary, "CANARY_URL=redis://:"+canary+"@"+r.Addr(), "CANARY_WRONG=wrong-"+canary)
	config := func(more string) string {
		text := "{\ndebug\nmetrics\nadmin ADMIN\nlifeline {\nstorage redis {env.CANARY_URL}\n" + more + "}\n"
		var sites strings.Builder
		for name, storage := range map[string]string{
			"inurl":    "redis://:{env.CANARY}@" + r.Addr() + "/1",
			"byenv":    r.URL() + " {\npassword {env.CANARY}\ndb 2\n}",
			"byfile":   r.URL() + " {\npassword {file." + secret + "}\ndb 3\n}",
			"wrong":    r.URL() + " {\npassword {env.CANARY_WRONG}\n}",
			"gone":     gone.URL() + " {\nusername u\npassword {env.CANARY}\n}",
			"cluster":  "redis://:{env.CANARY}@ {\ncluster " + r.Addr() + "\n}",
			"sentinel": "redis:// {\npassword {env.CANARY}\nsentinel_password {env.CANARY_WRONG}\nsentinel main " + r.Addr() + " " + gone.Addr() + "\n}",
		} {
			text += "lifeline " + name + " {\nstorage redis " + storage + "\n}\n"
			sites.WriteString("http://" + name + ".localhost:PORT {\nlifeline " + name + "\n}\n")
		}
		return text + "}\nhttp://localhost:PORT {\nlog\nlifeline {\nbreaker_admin *\n}\n}\n" + sites.String()
	}
	s.start(config(""))
	var said strings.Builder
	see := func(a answer) {
		said.WriteString(a.raw + "\n")
		for name, values := range a.header {
			said.WriteString(name + ": " + strings.Join(values, ",") + "\n")
		}
	}
	for _, name := range []string{"inurl", "byenv", "byfile", "wrong", "gone", "cluster", "sentinel"} {
		host := "Host: " + name + ".localhost:" + s.port
		a := s.post(stepEvent("s", "1", 1), host)
		if a.status != http.StatusCreated {
			t.Errorf("%s: %v", name, a)
		}
		see(a)
		for _, path := range []string{"/api/events/s", "/api/sessions", "/health", "/api/health/circuit-breakers"} {
			see(s.get(path, host))
		}
		see(s.get(s.admin + "/lifeline/breakers/" + name))
	}
	for _, name := range []string{"wrong", "gone", "sentinel"} {
		s.waitUntil("the breaker of "+name+" trips", func() bool {
			a := s.get(s.admin + "/lifeline/breakers/" + name)
			see(a)
			see(s.post(stepEvent("s", "2", 1), "Host: "+name+".localhost:"+s.port))
			return strings.Contains(a.raw, `"open"`)
		})
		see(s.do(http.MethodPost, s.admin+"/lifeline/breakers/"+name+"/redis/reset", ""))
	}
	r.Freeze()
	see(s.post(stepEvent("s", "2", 1)))
	s.waitUntil("a breaker trips", func() bool { state, a := s.breaker(); see(a); return state == "open" })
	r.Thaw()
	for _, path := range []string{"/config/", "/lifeline/breakers", "/lifeline/none", "/metrics", "/lifeline/breakers/default/none/reset"} {
		see(s.get(s.admin + path))
	}
	for _, args := range [][]string{{"adapt"}, {"validate"}} {
		out, code := s.caddy(append(args, "--config", s.dir+"/Caddyfile", "--adapter", "caddyfile")...)
		if code != 0 {
			t.Errorf("%s: %s", args, out)
		}
		said.WriteString(out)
	}
	out, _ := s.reload(config("journal off\n"))
	said.WriteString(out)
	s.terminate()
	for what, text := range map[string]string{"an answer": said.String(), "the log": s.log.String()} {
		if i := strings.Index(text, canary); i >= 0 {
			t.Errorf("%s tells it: …%s…", what, text[max(0, i-300):min(len(text), i+100)])
		}
	}
	if log := s.log.String(); !strings.Contains(log, `"level":"debug"`) || !strings.Contains(log, "WRONGPASS") {
		t.Error("the log has none of what this test is about")
	}
	files := 0
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), canary) {
			t.Errorf("%s tells it", path)
		}
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("%d files: %v", files, err)
	}
}
