package lifeline_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
)

// lifeline runs `caddy lifeline …` against the server's admin endpoint, and answers its
// output without repeated spaces.
func (s *server) lifeline(args ...string) (output string, code int) {
	s.t.Helper()
	args = append([]string{"lifeline"}, args...)
	output, code = s.caddy(append(args, "--address", strings.TrimPrefix(s.admin, "http://"))...)
	return regexp.MustCompile(" +").ReplaceAllString(output, " "), code
}

func contains(t *testing.T, output string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(output, text) {
			t.Errorf("the output does not say %q:\n%s", text, output)
		}
	}
}

// TestCommandLine operates on a hub as a person would.
func TestCommandLine(t *testing.T) {
	redis := redistest.Start(t)
	s := start(t, "{\nadmin ADMIN\nlifeline {\nstorage redis "+redis.URL()+"\nbreaker {\nfailure_threshold 1\n}\n}\nlifeline side {\nstorage memory\n}\n}\n"+
		"http://localhost:PORT {\nhandle_path /side/* {\nlifeline side\n}\nlifeline\n}\n")
	s.dial(nil)
	output, code := s.lifeline("status")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	contains(t, output, "HUB STORAGE STATE PENDING JOURNAL CONNECTIONS BREAKERS\n",
		"default redis ok 0 ", ", 1 websocket redis closed\n", "side memory ok 0 0 B ")

	if output, code := s.lifeline("status", "side"); code != 0 || strings.Contains(output, "default") {
		t.Errorf("one hub: %d %s", code, output)
	}
	if output, code := s.lifeline("breakers"); code != 0 {
		t.Errorf("breakers: %d %s", code, output)
	} else {
		contains(t, output, "HUB BREAKER STATE FAILURES TRIPS REJECTED RETRY IN HELD UNTIL\n", "default redis closed 0 0 0 - -\n")
	}
	redis.Kill()
	for _, step := range []struct{ args, want string }{
		{"trip redis --cause maintenance", "default redis open 0 1 0 30s -\n"},
		{"hold redis --state disabled --for forever", "default redis disabled "},
		{"hold redis --state forced-open --for 10m", "default redis forced-open "},
		{"release redis", "default redis closed "},
		{"reset redis", "default redis closed "},
	} {
		output, code := s.lifeline(strings.Fields(step.args)...)
		if code != 0 {
			t.Errorf("%s: exit code %d", step.args, code)
		}
		contains(t, output, step.want)
	}
	if output, _ := s.lifeline("hold", "redis", "--state", "forced-open", "--for", "forever"); !strings.Contains(output, "forever") {
		t.Errorf("hold: %s", output)
	}
	s.waitUntil("the hub is degraded", func() bool {
		output, code = s.lifeline("status")
		return code == 2
	})
	contains(t, output, "default redis degraded ", "redis forced-open", "hub default is degraded: ")
	s.logs("maintenance")
}

// TestCommandLineJSON: what the admin endpoint answers, as it is.
func TestCommandLineJSON(t *testing.T) {
	s := start(t, site("lifeline {\nstorage disk\n}", ""))
	for args, path := range map[string]string{
		"status": "/lifeline/hubs", "status default": "/lifeline/hubs/default", "breakers": "/lifeline/breakers", "breakers default": "/lifeline/breakers/default",
	} {
		output, code := s.lifeline(append(strings.Fields(args), "--json")...)
		if want := s.get(s.admin + path).raw; code != 0 || output != want {
			t.Errorf("%s: %d %s, want %s", args, code, output, want)
		}
	}
	if output, code := s.lifeline("reset", "disk", "--json"); code != 0 || !strings.HasPrefix(output, `{"name":"disk","state":"closed"`) {
		t.Errorf("reset: %d %s", code, output)
	}
	if a := s.do(http.MethodPost, s.admin+"/lifeline/hubs", ""); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "GET" {
		t.Errorf("POST: %v", a)
	}
}

// TestCommandLineSaysTheWayOut: every mistake has a message that names what to do.
func TestCommandLineSaysTheWayOut(t *testing.T) {
	s := start(t, site("lifeline {\nstorage disk\n}\nlifeline m {\nstorage memory\n}", "")+"http://localhost:"+freePort(t)+" {\nlifeline m\n}\n")
	for args, want := range map[string]string{
		"breakers nowhere":    `unknown hub \"nowhere\"; running hubs: default, m`,
		"status nowhere":      `unknown hub \"nowhere\"; running hubs: default, m`,
		"reset redis":         `hub default has no breaker \"redis\"; it has: disk`,
		"reset disk --hub m":  "hub m has no breaker: it is off, or its storage needs none",
		"hold disk":           `state is missing; it is \"forced-open\" or \"disabled\"`,
		"hold disk --state x": `forced-open`,
		"hold disk --state forced-open --for soon": `for is \"soon\"; it is a duration such as \"10m\", or \"forever\"`,
		"reset":                      "`caddy lifeline reset` takes the name of a breaker, not 0 arguments; see `caddy lifeline reset --help`",
		"status a b":                 "takes the name of a hub, or nothing for all, not 2 arguments",
		"tail http://localhost":      "takes the URL of a site and 1 to 50 sessions, not 1 arguments",
		"tail localhost:8080 s":      `the site's address is \"localhost:8080\"; it begins with http:// or https:// and a host`,
		"tail http://x a b --from c": "a cursor is that of one session; here are 2",
		"nonsense":                   "there is no command \"nonsense\"; `caddy lifeline --help` lists them",
		"status --config nowhere":    "nowhere",
	} {
		args := append([]string{"lifeline"}, strings.Fields(args)...)
		if !slices.Contains(args, "--config") {
			args = append(args, "--address", strings.TrimPrefix(s.admin, "http://"))
		}
		output, code := s.caddy(args...)
		if code != 1 {
			t.Errorf("%v: exit code %d", args, code)
		}
		contains(t, output, want)
	}
	output, code := s.caddy("lifeline", "status", "--address", "localhost:"+freePort(t))
	if code != 1 {
		t.Errorf("nobody there: exit code %d", code)
	}
	contains(t, output, "no answer from Caddy's admin endpoint at localhost:", "is Caddy running there? --address or --config tell another address")
	if output, code := s.caddy("lifeline"); code != 0 {
		t.Errorf("help: %d %s", code, output)
	} else {
		contains(t, output, "Available Commands:", "breakers", "hold", "release", "reset", "status", "tail", "trip", "watchers", "--address")
	}
}

// TestCommandLineByConfigAndSocket: the endpoint's address is found in a Caddyfile, and
// may be a socket.
func TestCommandLineByConfigAndSocket(t *testing.T) {
	s := newServer(t)
	s.admin = "unix/" + filepath.Join(s.dir, "admin.sock")
	s.start(site("lifeline {\nstorage memory\n}", ""))
	for _, args := range [][]string{{"--config", "Caddyfile"}, {"-c", "Caddyfile", "-a", "caddyfile"}, {"--address", s.admin}} {
		output, code := s.caddy(append([]string{"lifeline", "status"}, args...)...)
		if code != 0 || !strings.Contains(output, "memory") {
			t.Errorf("%v: %d %s", args, code, output)
		}
	}
}

// tailing is a `caddy lifeline tail` that runs.
type tailing struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	log   *logBuffer
}

func (s *server) tail(env []string, args ...string) *tailing {
	s.t.Helper()
	tl := &tailing{cmd: exec.Command(binary, append([]string{"lifeline", "tail"}, args...)...), log: new(logBuffer)}
	tl.cmd.Env, tl.cmd.Stderr = append(slices.Clone(s.env), env...), tl.log
	tl.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := tl.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := tl.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { tl.cmd.Process.Kill(); tl.cmd.Wait() })
	tl.lines = bufio.NewScanner(out)
	return tl
}

// ids are those of the next lines, each of which is one event.
func (tl *tailing) ids(t *testing.T, n int) (ids []string) {
	t.Helper()
	for range n {
		if !tl.lines.Scan() || !json.Valid(tl.lines.Bytes()) {
			t.Fatalf("no further event, but %q: %s", tl.lines.Text(), tl.log)
		}
		ids = append(ids, eventID(tl.lines.Bytes()))
	}
	return ids
}

func TestTail(t *testing.T) {
	s := start(t, site("lifeline {\nstorage disk\n}", "api_key secret"))
	const key = "Authorization: Bearer secret"
	post := func(session, kind, id string) {
		t.Helper()
		if a := s.post(`{"type":"`+kind+`","sessionId":"`+session+`","id":"`+id+`"}`, key); a.status != http.StatusCreated {
			t.Fatal(a)
		}
	}
	post("a", "x:one", "1")
	post("b", "x:two", "2")
	post("a", "y:three", "3")

	both := s.tail([]string{"LIFELINE_KEY=secret"}, s.url, "a", "b", "--from", "1970-01-01T00:00:00Z", "--types", "x:*,y:four")
	got := both.ids(t, 2)
	slices.Sort(got)
	post("a", "y:four", "4")
	if got = append(got, both.ids(t, 1)...); !slices.Equal(got, []string{"1", "2", "4"}) {
		t.Errorf("got %v", got)
	}

	first := s.tail(nil, s.url, "a", "--key", "secret", "--from", "1970-01-01T00:00:00Z")
	if got := first.ids(t, 3); !slices.Equal(got, []string{"1", "3", "4"}) {
		t.Errorf("got %v", got)
	}
	s.terminate() // and it goes on through this
	s.start(site("lifeline {\nstorage disk\n}", "api_key secret"))
	post("a", "x:one", "5")
	if got := first.ids(t, 1); !slices.Equal(got, []string{"5"}) {
		t.Errorf("got %v", got)
	}
	first.cmd.Process.Signal(syscall.SIGINT)
	if first.lines.Scan() || first.cmd.Wait() != nil || first.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("it ended with %v: %s", first.cmd.ProcessState, first.log)
	}
	contains(t, first.log.String(), "; trying again\n")
	cursor := regexp.MustCompile(`to go on here: --from '(.+)'\n`).FindStringSubmatch(first.log.String())
	if cursor == nil {
		t.Fatalf("it does not say how to go on: %s", first.log)
	}
	post("a", "x:one", "6")
	if got := s.tail(nil, s.url, "a", "--key", "secret", "--from", cursor[1]).ids(t, 1); !slices.Equal(got, []string{"6"}) {
		t.Errorf("got %v", got)
	}

	refused := s.tail(nil, s.url, "a", "--key", "wrong")
	if refused.lines.Scan() || refused.cmd.Wait() == nil || refused.cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("a wrong key: %v", refused.cmd.ProcessState)
	}
	contains(t, refused.log.String(), "the hub refuses: 401")
	if strings.Contains(refused.log.String(), "wrong") {
		t.Errorf("it tells the key: %s", refused.log)
	}
}

// TestTailTellsOfTrouble: a history that was trimmed, and storage that is away.
func TestTailTellsOfTrouble(t *testing.T) {
	s := start(t, site("lifeline {\nstorage memory\nhistory 2\n}", ""))
	first := s.post(stepEvent("s", "1", 1))
	for _, id := range []string{"2", "3", "4", "5"} {
		s.post(stepEvent("s", id, 1))
	}
	tl := s.tail(nil, s.url, "s", "--from", first.text("cursor"))
	if got := tl.ids(t, 2); !slices.Equal(got, []string{"4", "5"}) {
		t.Errorf("got %v", got)
	}
	s.waitUntil("it tells", func() bool {
		return strings.Contains(tl.log.String(), "lifeline: events of s may be missing here: gap\n")
	})

	redis := redistest.Start(t)
	s = start(t, site("lifeline {\nstorage redis "+redis.URL()+"\nbreaker {\nfailure_threshold 1\n}\n}", ""))
	s.post(stepEvent("s", "1", 1))
	tl = s.tail(nil, s.url, "s", "--from", "1970-01-01T00:00:00Z")
	tl.ids(t, 1)
	redis.Kill()
	s.post(stepEvent("s", "2", 1))
	s.waitUntil("it tells", func() bool { return strings.Contains(tl.log.String(), "lifeline: the hub's storage is degraded: ") })
	redis.Restart()
	s.waitUntil("it tells", func() bool { return strings.Contains(tl.log.String(), "lifeline: the hub's storage is well again\n") })
}
