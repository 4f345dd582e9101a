package outage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// server is a process under test, and how its clients speak to it.
type server struct {
	name string
	addr string
	log  *bytes.Buffer
	// publish posts an event; nil: it was acknowledged.
	publish func(ctx context.Context, session string, event []byte) error
	// follow hands on the events of a session until ctx is done, over as many
	// connections as it takes.
	follow func(ctx context.Context, session string, live chan<- struct{}, on func(event []byte))
	// history is all events that are kept of a session.
	history func(session string) ([][]byte, error)
	// normal reports whether the server says that all is well; nil: it does not say.
	normal func() bool
}

// here is the directory of this package, wherever its test binary runs.
var here = func() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}()

// build compiles a command of the module in dir.
func build(tb testing.TB, dir, pkg, path string) {
	tb.Helper()
	c := exec.Command("go", "build", "-o", path, pkg)
	c.Dir = filepath.Join(here, dir)
	if out, err := c.CombinedOutput(); err != nil {
		tb.Fatalf("build %s: %v\n%s", pkg, err, out)
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

// start runs a command until the test ends, and waits until it is healthy.
func (s *server) start(tb testing.TB, env []string, path string, args ...string) {
	tb.Helper()
	s.log = new(bytes.Buffer)
	c := exec.Command(path, args...)
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), env...), s.log, s.log
	if err := c.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	defer func() {
		if tb.Failed() {
			tb.Logf("%s", s.log)
		}
	}()
	wait(tb, s.name+" is up", func() bool {
		_, err := get("http://" + s.addr + "/health")
		return err == nil
	})
}

func startOurs(tb testing.TB, redisURL string) *server {
	tb.Helper()
	dir := tb.TempDir()
	caddy, config := filepath.Join(dir, "caddy-binary"), filepath.Join(dir, "Caddyfile")
	build(tb, "../..", "./cmd/caddy", caddy)
	s := &server{name: "Lifeline", addr: freeAddr(tb)}
	text := fmt.Sprintf("{\n\tadmin off\n\tlifeline {\n\t\tstorage redis %s\n\t\thistory %d\n\t}\n}\nhttp://%s {\n\tlifeline\n}\n",
		redisURL, historySize, s.addr)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	s.start(tb, []string{"XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}, caddy, "run", "--config", config)
	s.publish = func(ctx context.Context, _ string, event []byte) error {
		return post(ctx, "http://"+s.addr+"/api/events", event)
	}
	s.follow = s.followOurs
	s.history = s.ourHistory
	s.normal = func() bool {
		b, err := get("http://" + s.addr + "/api/health/circuit-breakers")
		return err == nil && bytes.Contains(b, []byte(`"status":"ok"`))
	}
	return s
}

func (s *server) ourHistory(session string) ([][]byte, error) {
	var events [][]byte
	since := "1970-01-01T00:00:00Z"
	for {
		b, err := get(fmt.Sprintf("http://%s/api/events/%s?limit=1000&since=%s", s.addr, session, url.QueryEscape(since)))
		if err != nil {
			return nil, err
		}
		var page struct {
			Events  []json.RawMessage
			Cursor  string
			HasMore bool
		}
		if err := json.Unmarshal(b, &page); err != nil {
			return nil, fmt.Errorf("%w: %.100q", err, b)
		}
		for _, e := range page.Events {
			events = append(events, e)
		}
		if !page.HasMore {
			return events, nil
		}
		since = page.Cursor
	}
}

func startCentrifuge(tb testing.TB, redisAddr string) *server {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "centrifuge")
	build(tb, "..", "./centrifuge", path)
	s := &server{name: "centrifuge", addr: freeAddr(tb)}
	s.start(tb, nil, path, "-addr", s.addr, "-redis", redisAddr)
	s.publish = func(ctx context.Context, session string, event []byte) error {
		return post(ctx, "http://"+s.addr+"/publish?channel="+session, event)
	}
	s.follow = s.followCentrifuge
	s.history = func(session string) ([][]byte, error) {
		b, err := get("http://" + s.addr + "/history?channel=" + session)
		if err != nil {
			return nil, err
		}
		var events []json.RawMessage
		err = json.Unmarshal(b, &events)
		all := make([][]byte, len(events))
		for i, e := range events {
			all[i] = e
		}
		return all, err
	}
	return s
}

// client keeps a connection for every request that may be unanswered at a time.
var client = &http.Client{Transport: &http.Transport{MaxIdleConns: inFlight, MaxIdleConnsPerHost: inFlight}, Timeout: time.Minute}

func post(ctx context.Context, target string, event []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(event))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	_, err = do(r)
	return err
}

func get(target string) ([]byte, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	return do(r)
}

func do(r *http.Request) ([]byte, error) {
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %.100q", answer.Status, b)
	}
	return b, err
}

const patience = 20 * time.Second

func wait(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %v: %s", patience, what)
		}
	}
}
