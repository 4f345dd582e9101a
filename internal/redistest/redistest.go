// Package redistest starts real redis-servers for one test and does to them what
// happens to servers: they are killed, restarted empty, frozen and thawed.
//
// A [Server] listens on a free loopback port, keeps nothing on disk unless asked
// to, and ends with its test; should the test process itself be killed, the
// kernel ends the server. A [Cluster] and [Sentinels] are made of such servers.
// The package knows nothing about lifeline.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	startTimeout = 10 * time.Second
	doTimeout    = 5 * time.Second
)

// Server is one redis-server child. Its methods are meant for one goroutine at a
// time and end the test when they fail.
type Server struct {
	t    testing.TB
	dir  string
	port int
	args []string
	// With conf the server is a Sentinel, with password it wants that one.
	conf, password string

	child  *child
	client *goredis.Client
}

// Start starts a redis-server with these additional arguments and returns when
// it answers, be it with an error such as NOAUTH. Without redis-server on PATH
// the test fails; it is never skipped.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), args: args}
	s.start(freePort)
	return s
}

// start launches the server on a port that free answers, until its test ends. A
// free port may be taken by somebody else before the child binds it.
func (s *Server) start(free func(testing.TB) int) {
	s.t.Helper()
	s.t.Cleanup(s.stop)
	for range 5 {
		s.port = free(s.t)
		if s.client != nil {
			_ = s.client.Close()
		}
		s.client = newClient(s.Addr(), s.password)
		err := s.launch()
		if err == nil {
			return
		}
		if !errors.Is(err, errEnded) {
			s.t.Fatalf("redistest: %v", err)
		}
	}
	s.t.Fatalf("redistest: redis-server does not stay up: %s", s.Log())
}

// Addr is host:port of the server; it stays the same across Restart.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is the server's address as a redis:// URL.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// Dir is the server's working directory.
func (s *Server) Dir() string { return s.dir }

// Kill ends the server with SIGKILL and returns when it is gone.
func (s *Server) Kill() {
	s.t.Helper()
	if err := s.child.end(); err != nil {
		s.t.Fatalf("redistest: kill: %v", err)
	}
}

// Restart starts the server again on the same port, empty unless its arguments
// make it keep data; a running one is killed first.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	if err := s.launch(); err != nil {
		s.t.Fatalf("redistest: restart: %v: %s", err, s.Log())
	}
}

// Freeze stops the server with SIGSTOP: connections stay up, nothing answers.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.child.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("redistest: %v: %v", sig, err)
	}
}

// Do sends one command over a connection of its own and answers the reply. An
// error reply is returned as it came; go-redis' Nil means a nil reply.
func (s *Server) Do(ctx context.Context, args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, doTimeout)
	defer cancel()
	return s.client.Do(ctx, args...).Result()
}

// MustDo is Do, ending the test on an error.
func (s *Server) MustDo(args ...any) any {
	s.t.Helper()
	v, err := s.Do(context.Background(), args...)
	if err != nil {
		s.t.Fatalf("redistest: %v: %v", args, err)
	}
	return v
}

// await waits until the server answers ok to a command, be it an error.
func (s *Server) await(what string, ok func(reply any, err error) bool, command ...any) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var reply any
	var err error
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); <-tick.C {
		if reply, err = s.Do(context.Background(), command...); ok(reply, err) {
			return
		}
	}
	s.t.Fatalf("redistest: %s: not within %v: %v, %v: %s", what, startTimeout, reply, err, s.Log())
}

// Log is what the server has written so far.
func (s *Server) Log() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "redis.log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (s *Server) launch() error {
	args := []string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir,
		"--logfile", filepath.Join(s.dir, "redis.log"),
	}
	if s.conf == "" {
		args = append(args, "--save", "", "--appendonly", "no")
	} else {
		args = append([]string{s.conf, "--sentinel"}, args...)
	}
	c, err := startChild(append(args, s.args...))
	if err != nil {
		return err
	}
	s.child = c
	return s.up()
}

var errEnded = errors.New("redis-server ended")

// up waits until the server answers or ends.
func (s *Server) up() error {
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.answers() {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.child.ended:
			return errEnded
		case <-deadline.C:
			return fmt.Errorf("no answer within %v", startTimeout)
		}
	}
}

// answers reports whether a command gets a reply, be it an error such as NOAUTH
// or LOADING.
func (s *Server) answers() bool {
	_, err := s.Do(context.Background(), "PING")
	var reply goredis.Error
	return err == nil || errors.As(err, &reply)
}

func (s *Server) stop() {
	if s.client != nil {
		_ = s.client.Close()
	}
	if s.child == nil {
		return
	}
	if err := s.child.end(); err != nil {
		s.t.Errorf("redistest: stop: %v", err)
	}
}

func newClient(addr, password string) *goredis.Client {
	return goredis.NewClient(&goredis.Options{
		Addr:     addr,
		Password: password,
		// A fresh dial each time tells the truth about a server that comes and
		// goes, where the pool of go-redis would remember failures for a second.
		Dialer:     dial,
		MaxRetries: -1,
		// The caller's deadline ends a wait for a frozen server.
		ContextTimeoutEnabled: true,
		DialerRetries:         1,
		DisableIdentity:       true,
	})
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("redistest: find a free port: %v", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// child is one run of redis-server.
type child struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed once the process has been waited for
	once  sync.Once
}

func startChild(args []string) (*child, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("these tests need redis-server 6.2 or newer on PATH "+
			"(Debian: package redis-server); `make test` says what else: %w", err)
	}
	c := &child{cmd: exec.Command(path, args...), ended: make(chan struct{})} //nolint:gosec // from PATH, for tests
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go c.run(started)
	return c, <-started
}

// run starts and awaits the process on one thread that lives as long: Pdeathsig
// fires when the thread that started the child ends, not only the process.
func (c *child) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.ended)
	if err := c.cmd.Start(); err != nil {
		started <- fmt.Errorf("start redis-server: %w", err)
		return
	}
	started <- nil
	_ = c.cmd.Wait() // it was killed, or its log says why it ended
}

func (c *child) end() error {
	var err error
	c.once.Do(func() {
		err = c.cmd.Process.Kill()
		if errors.Is(err, os.ErrProcessDone) {
			err = nil
		}
	})
	<-c.ended
	return err
}
