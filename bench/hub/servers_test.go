//go:build linux

package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// server is a process under test, and how its clients speak to it.
type server struct {
	name, addr string
	pid        int
	// postPath is where events of a session are posted, wsPath where it is followed.
	postPath, wsPath func(session string) string
	// follow are the messages by which a client follows it from now on.
	follow func(session string) []string
	// replay has a client get all events of a session, whose first one was answered
	// with first: the path of the WebSocket, what is said once it is up, and what then
	// asks for the events; without that the upgrade itself does.
	replay func(session string, first []byte) (path string, before, ask []string)
	// pollPath is where the events after the first are got; nil: nowhere.
	pollPath func(session string, first []byte) string
}

// here is the directory of this package, wherever its test binary runs.
var here = func() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}()

// binaries are built once for all benchmarks, in a directory that TestMain removes.
var binaries struct {
	dir   string
	built sync.Map // path by package
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "lifeline-hub")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// build compiles a command of the module in dir and gives its path.
func build(tb testing.TB, dir, pkg string) string {
	tb.Helper()
	path := filepath.Join(binaries.dir, filepath.Base(pkg))
	if _, done := binaries.built.LoadOrStore(pkg, path); done {
		return path
	}
	run(tb, filepath.Join(here, dir), "go", "build", "-o", path, pkg)
	return path
}

func run(tb testing.TB, dir string, command ...string) {
	tb.Helper()
	c := exec.Command(command[0], command[1:]...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		tb.Fatalf("%v: %v\n%s", command, err, out)
	}
}

// freeAddr is an address at which nobody listens.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// start runs a command until the benchmark ends, and waits until it listens.
func (s *server) start(tb testing.TB, env []string, command ...string) {
	tb.Helper()
	log := new(bytes.Buffer)
	c := exec.Command(command[0], command[1:]...)
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), env...), log, log
	if err := c.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
		if tb.Failed() {
			tb.Logf("%s: %.4000s", s.name, log)
		}
	})
	s.pid = c.Process.Pid
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%s does not listen: %v", s.name, err)
		}
	}
}

// setup is what differs between the configurations of ours.
type setup struct{ storage, site, scheme string }

func ours(tb testing.TB) *server { return startOurs(tb, setup{}) }

func startOurs(tb testing.TB, with setup) *server {
	tb.Helper()
	if with.storage == "" {
		with.storage = "memory"
	}
	if with.scheme == "" {
		with.scheme = "http"
	}
	s := &server{name: "Lifeline", addr: freeAddr(tb)}
	text := fmt.Sprintf("{\n\tadmin off\n\tskip_install_trust\n\tlifeline {\n\t\tstorage %s\n\t\tmax_connections 20000\n\t\tmax_queue 64MiB 100000\n\t}\n}\n"+
		"%s://%s {\n%s\tlifeline {\n\t\tpoll_rate 1000000 1s\n\t}\n}\n", with.storage, with.scheme, s.addr, with.site)
	s.caddy(tb, text)
	s.postPath = func(string) string { return "/api/events" }
	s.wsPath = func(string) string { return "/ws" }
	s.follow = func(session string) []string {
		return []string{fmt.Sprintf(`{"type":"subscribe","sessionId":%q}`, session)}
	}
	s.replay = func(session string, _ []byte) (path string, before, ask []string) {
		return "/ws", nil, []string{fmt.Sprintf(`{"type":"subscribe","sessionId":%q,"since":"1970-01-01T00:00:00Z"}`, session)}
	}
	s.pollPath = func(session string, first []byte) string {
		var answer struct{ Cursor string }
		if err := json.Unmarshal(first, &answer); err != nil || answer.Cursor == "" {
			tb.Fatalf("no cursor in %q: %v", first, err)
		}
		return "/api/events/poll/" + session + "?since=" + url.QueryEscape(answer.Cursor)
	}
	return s
}

// caddy starts our binary with a Caddyfile.
func (s *server) caddy(tb testing.TB, text string) {
	tb.Helper()
	dir := tb.TempDir()
	config := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	s.start(tb, []string{"XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}, build(tb, "../..", "./cmd/caddy"), "run", "--config", config)
}

// respond is the same binary that answers everything, and does nothing else.
func respond(tb testing.TB) *server {
	tb.Helper()
	s := &server{name: "respond", addr: freeAddr(tb), postPath: func(string) string { return "/api/events" }}
	s.caddy(tb, fmt.Sprintf("{\n\tadmin off\n}\nhttp://%s {\n\trespond \"taken\" 201\n}\n", s.addr))
	return s
}

func centrifuge(tb testing.TB) *server { return startCentrifuge(tb, "") }

func startCentrifuge(tb testing.TB, redis string) *server {
	tb.Helper()
	s := &server{name: "centrifuge", addr: freeAddr(tb)}
	s.start(tb, nil, build(tb, "..", "./centrifuge"), "-addr", s.addr, "-redis", redis, "-history", "1000")
	const hello = `{"id":1,"connect":{}}`
	s.postPath = func(session string) string { return "/publish?channel=" + session }
	s.wsPath = func(string) string { return "/connection/websocket" }
	s.follow = func(session string) []string {
		return []string{hello, fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, session)}
	}
	s.replay = func(session string, first []byte) (path string, before, ask []string) {
		var answer struct{ Epoch string }
		if err := json.Unmarshal(first, &answer); err != nil || answer.Epoch == "" {
			tb.Fatalf("no epoch in %q: %v", first, err)
		}
		ask = []string{fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q,"recover":true,"offset":0,"epoch":%q}}`, session, answer.Epoch)}
		return s.wsPath(session), []string{hello}, ask
	}
	s.pollPath = func(session string, _ []byte) string { return "/history?channel=" + session + "&since=1" }
	return s
}

const nchanConfig = `load_module modules/ngx_nchan_module.so;
worker_processes 1;
worker_rlimit_nofile 20000;
daemon off;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 19000; }
http {
	access_log off;
	client_body_temp_path body;
	keepalive_requests 1000000000;
	nchan_shared_memory_size 1024m;
	nchan_message_buffer_length 1000;
	nchan_message_timeout 1h;
	server {
		listen %s backlog=4096;
		client_body_buffer_size 16k;
		location ~ ^/pub/(.+)$ { nchan_publisher; nchan_channel_id $1; }
		location ~ ^/sub/(.+)$ { nchan_subscriber websocket; nchan_channel_id $1; nchan_subscriber_first_message newest; }
		location ~ ^/all/(.+)$ { nchan_subscriber websocket; nchan_channel_id $1; nchan_subscriber_first_message oldest; }
	}
}
`

// nchan is nginx with Nchan, with one worker: a channel lives in one of them.
func nchan(tb testing.TB) *server {
	tb.Helper()
	s := &server{name: "Nchan", addr: freeAddr(tb)}
	dir := tb.TempDir()
	config := filepath.Join(dir, "nginx.conf")
	text := strings.Replace(nchanConfig, "modules/", nginxModules(tb)+"/", 1)
	if err := os.WriteFile(config, fmt.Appendf(nil, text, s.addr), 0o600); err != nil {
		tb.Fatal(err)
	}
	s.start(tb, nil, "nginx", "-e", "stderr", "-p", dir, "-c", config)
	s.postPath = func(session string) string { return "/pub/" + session }
	s.wsPath = func(session string) string { return "/sub/" + session }
	s.follow = func(string) []string { return nil }
	s.replay = func(session string, _ []byte) (path string, before, ask []string) { return "/all/" + session, nil, nil }
	return s
}

// nginxModules is where the distributions put them.
func nginxModules(tb testing.TB) string {
	tb.Helper()
	for _, dir := range []string{"/usr/lib/nginx/modules", "/usr/lib64/nginx/modules"} {
		if _, err := os.Stat(filepath.Join(dir, "ngx_nchan_module.so")); err == nil {
			return dir
		}
	}
	tb.Fatal("nginx's module Nchan is missing: make bench installs it where the distribution has it, as Debian and Ubuntu do (libnginx-mod-nchan)")
	return ""
}

// node is a small server on the library ws, as the original's stack was.
func node(tb testing.TB) *server {
	tb.Helper()
	s := &server{name: "Node ws", addr: freeAddr(tb)}
	dir := filepath.Join(here, "node")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "ws")); err != nil {
		run(tb, dir, "npm", "ci", "--no-audit", "--no-fund")
	}
	_, port, _ := net.SplitHostPort(s.addr)
	s.start(tb, nil, "node", filepath.Join(dir, "server.mjs"), port)
	s.postPath = func(session string) string { return "/publish/" + session }
	s.wsPath = func(string) string { return "/ws" }
	s.follow = func(session string) []string { return []string{fmt.Sprintf(`{"subscribe":%q}`, session)} }
	s.replay = func(session string, _ []byte) (path string, before, ask []string) {
		return "/ws", nil, []string{fmt.Sprintf(`{"subscribe":%q,"since":0}`, session)}
	}
	s.pollPath = func(session string, _ []byte) string { return "/poll/" + session + "?since=1" }
	return s
}

// raw only writes what it gets to all sockets: the limit of what any server can do.
func raw(tb testing.TB) *server {
	tb.Helper()
	s := &server{name: "raw write", addr: freeAddr(tb)}
	s.start(tb, nil, build(tb, ".", "./raw"), "-addr", s.addr)
	s.postPath = func(string) string { return "/" }
	s.wsPath = func(string) string { return "/" }
	s.follow = func(string) []string { return nil }
	return s
}
