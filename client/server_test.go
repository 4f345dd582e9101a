package client_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/actionflows/lifeline/internal/faults"
)

// patience bounds every wait for a condition; only a failure reaches it.
const patience = 30 * time.Second

// binary is the server: cmd/caddy, built with the race detector.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "lifeline-client-test")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "caddy")
	build := exec.Command("go", "build", "-race", "-o", binary, "../cmd/caddy")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build cmd/caddy:", err)
		os.Exit(1)
	}
	cmd, ended, err := runForExamples(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start a hub for the examples:", err)
		os.Exit(1)
	}
	before := goleak.IgnoreCurrent()
	code := m.Run()
	if err := goleak.Find(before); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	_ = cmd.Process.Kill()
	<-ended
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// site is the address of a hub that the examples use.
var site string

func runForExamples(dir string) (*exec.Cmd, chan struct{}, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	site = "http://" + l.Addr().String()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	caddyfile := "{\nadmin off\nlifeline {\nstorage memory\n}\n}\n" + site + " {\nlifeline\n}\n"
	if err := os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(caddyfile), 0o600); err != nil {
		return nil, nil, err
	}
	if err := l.Close(); err != nil {
		return nil, nil, err
	}
	return run(dir, port)
}

// server is a Caddy with a hub. Clients come through two things that can be troubled: a
// gate, which knows HTTP, and behind it a proxy, which knows only bytes.
type server struct {
	t     *testing.T
	dir   string
	port  string
	proxy *faults.Proxy
	gate  *gate
	cmd   *exec.Cmd
	ended chan struct{}
}

// start starts a hub with these options, on a site with those, and below /hub on one
// without.
func start(t *testing.T, hub, site string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), port: freePort(t)}
	caddyfile := fmt.Sprintf("{\nadmin off\nlog {\nlevel ERROR\n}\nlifeline {\n%s\n}\n}\nhttp://127.0.0.1:%s {\nhandle_path /hub/* {\nlifeline\n}\nlifeline {\n%s\n}\n}\n",
		strings.ReplaceAll(hub, "DIR", s.dir), s.port, site)
	if err := os.WriteFile(filepath.Join(s.dir, "Caddyfile"), []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	s.launch()
	s.proxy = faults.NewProxy(t, "127.0.0.1:"+s.port)
	s.gate = newGate(t, "127.0.0.1:"+s.port, s.proxy.Addr())
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// direct is the site without anything in between, url the way through gate and proxy.
func (s *server) direct() string { return "http://127.0.0.1:" + s.port }
func (s *server) url() string    { return s.gate.server.URL }

func (s *server) launch() {
	s.t.Helper()
	cmd, ended, err := run(s.dir, s.port)
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd, s.ended = cmd, ended
	s.t.Cleanup(func() {
		s.signal(syscall.SIGCONT)
		_ = cmd.Process.Kill()
		<-ended
		text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		if strings.Contains(string(text), "DATA RACE") || s.t.Failed() {
			s.t.Errorf("server log:\n%s", text)
		}
	})
}

// run starts the server of a directory's Caddyfile, and returns when it answers.
func run(dir, port string) (cmd *exec.Cmd, ended chan struct{}, err error) {
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	cmd = exec.Command(binary, "run", "--config", "Caddyfile")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "AFW_DISABLE_CIRCUIT_BREAKER=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	defer http.DefaultClient.CloseIdleConnections()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) { // the pace of asking
		select {
		case <-ended:
			deadline = time.Time{}
		default:
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			return nil, nil, fmt.Errorf("the server does not answer:\n%s", text)
		}
		if resp, err := http.Get("http://127.0.0.1:" + port + "/health"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return cmd, ended, nil
			}
		}
	}
}

func (s *server) signal(sig syscall.Signal) { _ = s.cmd.Process.Signal(sig) }

// end ends the server.
func (s *server) end(sig syscall.Signal) {
	s.signal(sig)
	<-s.ended
}

func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain until %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond) // the pace of asking
	}
}

// gate is a proxy that lets some paths not through.
type gate struct {
	server  *httptest.Server
	blocked atomic.Pointer[[]string]
	seen    atomic.Pointer[[]string] // paths of all requests
}

// newGate forwards by way of a proxy to the host.
func newGate(t *testing.T, host, proxy string) *gate {
	g := new(gate)
	g.block()
	g.seen.Store(new([]string))
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, proxy)
	}}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: host})
		},
		Transport: transport, FlushInterval: -1,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // as if it were not there
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	g.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.saw(r.URL.Path)
		for _, path := range *g.blocked.Load() {
			if strings.HasPrefix(r.URL.Path, path) {
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, "<html>not through here</html>")
				return
			}
		}
		forward.ServeHTTP(w, r)
	}))
	g.server.Start()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		g.server.CloseClientConnections()
		g.server.Close()
	})
	return g
}

func (g *gate) saw(path string) {
	for {
		old := g.seen.Load()
		if list := append(append([]string(nil), *old...), path); g.seen.CompareAndSwap(old, &list) {
			return
		}
	}
}

// attempts is how many requests of a path have come.
func (g *gate) attempts(path string) (n int) {
	for _, p := range *g.seen.Load() {
		if strings.HasPrefix(p, path) {
			n++
		}
	}
	return n
}

// block answers requests of these paths, and of no others, as a proxy does that does
// not let them through.
func (g *gate) block(paths ...string) { g.blocked.Store(&paths) }
