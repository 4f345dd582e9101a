package lifeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the server under test: cmd/caddy, built with the race detector.
var binary string

func TestMain(m *testing.M) {
	if slices.ContainsFunc(os.Args, func(arg string) bool { return strings.HasPrefix(arg, "-test.fuzz") }) {
		os.Exit(m.Run()) // fuzzing has many processes, and starts no server
	}
	dir, err := os.MkdirTemp("", "lifeline-test")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "caddy")
	build := exec.Command("go", "build", "-race", "-o", binary, "./cmd/caddy")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build cmd/caddy:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// patience bounds every wait for a condition; it is long because machines are
// shared, and reached only by a failure.
const patience = 30 * time.Second

// server is one running Caddy.
type server struct {
	t     *testing.T
	dir   string // working directory, with data and configuration beneath
	url   string
	admin string
	port  string
	env   []string
	// client makes the requests; nil: http.DefaultClient
	client *http.Client
	cmd    *exec.Cmd
	log    *logBuffer
	done   chan struct{} // closed when the process has ended
}

// logBuffer keeps what the server logs.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newServer prepares a server without starting it. In a Caddyfile, :PORT, ADMIN
// and DIR stand for its port, its admin address and its directory.
func newServer(t *testing.T) *server {
	t.Helper()
	port, adminPort := freePort(t), freePort(t)
	s := &server{
		t: t, dir: t.TempDir(), port: port,
		url: "http://localhost:" + port, admin: "http://localhost:" + adminPort,
	}
	s.env = append(os.Environ(),
		"XDG_DATA_HOME="+filepath.Join(s.dir, "data"), "XDG_CONFIG_HOME="+filepath.Join(s.dir, "config"),
		"HOME="+s.dir, "AFW_DISABLE_CIRCUIT_BREAKER=",
		// The race detector would have each exit wait for a second.
		"GORACE=atexit_sleep_ms=50",
		// The listen order of a busy machine must not decide about ports.
		"LIFELINE_PORT="+port, "LIFELINE_ADMIN=localhost:"+adminPort)
	return s
}

func start(t *testing.T, caddyfile string) *server {
	t.Helper()
	s := newServer(t)
	s.start(caddyfile)
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// site is a Caddyfile with the global options and site options given.
func site(global, options string) string {
	return "{\n\tadmin ADMIN\n" + global + "\n}\nhttp://localhost:PORT {\n\tlifeline {\n" + options + "\n\t}\n}\n"
}

func (s *server) expand(caddyfile string) string {
	if strings.Contains(caddyfile, "{$LIFELINE_") {
		return caddyfile // takes its addresses from the environment
	}
	return strings.NewReplacer("ADMIN", strings.TrimPrefix(s.admin, "http://"), "PORT", s.port, "DIR", s.dir).Replace(caddyfile)
}

func (s *server) write(caddyfile string) (path string) {
	s.t.Helper()
	path = filepath.Join(s.dir, "Caddyfile")
	if err := os.WriteFile(path, []byte(s.expand(caddyfile)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *server) start(caddyfile string) {
	s.t.Helper()
	s.launch(s.write(caddyfile))
	s.waitUntil("the server answers", func() bool {
		select {
		case <-s.done:
			s.t.Fatalf("the server ended:\n%s", s.log)
		default:
		}
		resp, err := http.Get(s.url + "/health")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// launch starts the process and sees to it that it ends with the test.
func (s *server) launch(config string) {
	s.t.Helper()
	s.log = new(logBuffer)
	s.done = make(chan struct{})
	s.cmd = exec.Command(binary, "run", "--config", config, "--adapter", "caddyfile")
	s.cmd.Dir, s.cmd.Env = s.dir, s.env
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done, cmd := s.done, s.cmd
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	log := s.log
	s.t.Cleanup(func() {
		s.terminate()
		if strings.Contains(log.String(), "DATA RACE") {
			s.t.Errorf("the server has a data race")
		}
		for line := range strings.Lines(log.String()) {
			if strings.Count(line, `"source":`) > 1 {
				s.t.Errorf("a log entry names its source twice: %s", line)
			}
		}
		if s.t.Failed() {
			s.t.Logf("server log:\n%s", log)
		}
	})
}

// terminate sends SIGTERM and waits; it answers how long the exit took.
func (s *server) terminate() time.Duration {
	s.t.Helper()
	begin := time.Now()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(patience):
		_ = s.cmd.Process.Kill()
		<-s.done
		s.t.Errorf("the server did not end within %s of SIGTERM", patience)
	}
	return time.Since(begin)
}

// caddy runs a command of the binary and answers its output and exit code.
func (s *server) caddy(args ...string) (output string, code int) {
	s.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		s.t.Fatalf("caddy %v: %v", args, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// reload loads a Caddyfile through the admin API, as `caddy reload` does.
func (s *server) reload(caddyfile string) (output string, code int) {
	s.t.Helper()
	defer s.settle()
	return s.caddy("reload", "--config", s.write(caddyfile), "--adapter", "caddyfile",
		"--address", strings.TrimPrefix(s.admin, "http://"), "--force")
}

// logs waits until the log says all of this: it comes through a pipe, and so perhaps
// after the answer to what it is about.
func (s *server) logs(all ...string) {
	s.t.Helper()
	for _, text := range all {
		s.waitUntil(fmt.Sprintf("the log says %q", text), func() bool { return strings.Contains(s.log.String(), text) })
	}
}

// settle waits until the former admin endpoint has stopped: Caddy does that after it has
// answered a load, and resets a connection that comes to it meanwhile.
func (s *server) settle() {
	s.t.Helper()
	s.waitUntil("the former admin endpoint has stopped", func() bool {
		log := s.log.String()
		return strings.Count(log, `"admin endpoint started"`) <= strings.Count(log, `"stopped previous server"`)+1
	})
}

func (s *server) waitUntil(what string, ok func() bool) {
	s.t.Helper()
	waitUntil(s.t, what, ok)
}

func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain until %s", patience, what)
		}
		time.Sleep(10 * time.Millisecond) // the pace of asking
	}
}

// answer is an HTTP answer with its JSON body.
type answer struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.raw) }

func (a answer) text(field string) string {
	s, _ := a.body[field].(string)
	return s
}

// do makes a request; headers are "Name: value".
// open gets what may have no end, a path or a whole URL, of which nothing is read.
func (s *server) open(ctx context.Context, url string, headers []string) *http.Response {
	s.t.Helper()
	if strings.HasPrefix(url, "/") {
		url = s.url + url
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header = headersOf(headers)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp
}

func (s *server) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	a, err := s.try(method, path, body, headers...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (s *server) try(method, path, body string, headers ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if strings.HasPrefix(path, "/") {
		path = s.url + path
	}
	req, err := http.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	client := s.client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	_ = json.Unmarshal(raw, &a.body) // not every answer is an object
	return a, nil
}

const asJSON = "Content-Type: application/json"

func (s *server) get(path string, headers ...string) answer {
	s.t.Helper()
	return s.do(http.MethodGet, path, "", headers...)
}

func (s *server) post(event string, headers ...string) answer {
	s.t.Helper()
	return s.do(http.MethodPost, "/api/events", event, append(headers, asJSON)...)
}

// stepEvent is an event with a number in it.
func stepEvent(session string, id string, n int) string {
	return fmt.Sprintf(`{"type":"step:started","sessionId":%q,"id":%q,"stepNumber":%d}`, session, id, n)
}
