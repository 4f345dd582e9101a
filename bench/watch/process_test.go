package watch

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// subjects are the watchers, and how each is started.
var subjects = []struct {
	name    string
	command func(testing.TB) []string
}{
	{"ours", func(tb testing.TB) []string { return []string{build(tb, "ours")} }},
	{"chokidar", chokidar},
	{"plain", func(tb testing.TB) []string { return []string{build(tb, "plain")} }},
}

// here is the directory of this package, wherever its test binary runs.
var here = func() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}()

func build(tb testing.TB, name string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	inPackage(tb, ".", "go", "build", "-o", path, "./"+name)
	return path
}

func chokidar(tb testing.TB) []string {
	tb.Helper()
	if _, err := os.Stat(filepath.Join(here, "chokidar", "node_modules")); err != nil {
		inPackage(tb, "chokidar", "npm", "ci", "--no-audit", "--no-fund")
	}
	return []string{"node", filepath.Join(here, "chokidar", "main.mjs")}
}

func inPackage(tb testing.TB, dir string, command ...string) {
	tb.Helper()
	c := exec.Command(command[0], command[1:]...)
	c.Dir = filepath.Join(here, dir)
	if out, err := c.CombinedOutput(); err != nil {
		tb.Fatalf("%v: %v\n%s", command, err, out)
	}
}

// line is what a watcher says: an event, that it is ready, or what it holds.
type line struct {
	Kind string // created, modified or deleted
	Path string
	At   int64 // when the event left, in ns since 1970

	Ready   *int64 // ms that the first scan took
	Heap    int64  // bytes that the entries take
	Entries int
}

// process is a watcher that runs.
type process struct {
	tb    testing.TB
	cmd   *exec.Cmd
	stdin io.Closer
	scan  time.Duration
	ended chan struct{} // closed when it has said all
	log   strings.Builder

	mu     sync.Mutex
	events []line
	last   time.Time // when the last one came
	holds  line
}

// patience bounds every wait.
const patience = 3 * time.Minute

// start runs a watcher and waits until it is ready.
func start(tb testing.TB, command []string, dir string) *process {
	tb.Helper()
	p := &process{tb: tb, ended: make(chan struct{})}
	p.cmd = exec.Command(command[0], append(command[1:], dir)...)
	p.cmd.Stderr = &p.log
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = p.cmd.Process.Kill() })
	p.stdin = stdin
	ready := make(chan struct{})
	go p.read(stdout, ready)
	select {
	case <-ready:
	case <-p.ended:
		tb.Fatalf("%v ended: %s", command, p.log.String())
	case <-time.After(patience):
		tb.Fatalf("%v is not ready", command)
	}
	return p
}

func (p *process) read(stdout io.Reader, ready chan<- struct{}) {
	defer close(p.ended)
	for s := bufio.NewScanner(stdout); s.Scan(); {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			fmt.Fprintf(&p.log, "%v: %s\n", err, s.Bytes())
			return
		}
		p.mu.Lock()
		switch {
		case l.Ready != nil:
			p.scan = time.Duration(*l.Ready) * time.Millisecond
			close(ready)
		case l.Kind != "":
			p.events = append(p.events, l)
			p.last = time.Now()
		default:
			p.holds = l
		}
		p.mu.Unlock()
	}
}

// quiet is how long no event must come until all have: longer than any debounce, and
// than the 2 s after which what cannot be watched is looked at.
const quiet = 4 * time.Second

// settle waits until no event comes any more, and takes those that have come.
func (p *process) settle() []line {
	p.tb.Helper()
	began := time.Now()
	for {
		p.mu.Lock()
		last := p.last
		p.mu.Unlock()
		if last.Before(began) {
			last = began
		}
		left := quiet - time.Since(last)
		if left <= 0 {
			break
		}
		if time.Since(began) > patience {
			p.tb.Fatal("events come without end")
		}
		<-time.After(left)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	events := p.events
	p.events = nil
	return events
}

// stop has the watcher end, and answers what it holds.
func (p *process) stop() line {
	p.tb.Helper()
	_ = p.stdin.Close()
	<-p.ended
	if err := p.cmd.Wait(); err != nil {
		p.tb.Fatalf("%v: %v\n%s", p.cmd.Args, err, p.log.String())
	}
	return p.holds
}

func (p *process) signal(sig os.Signal) {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.tb.Fatal(err)
	}
}

// cpu is the time that the process has had so far.
func (p *process) cpu() time.Duration {
	p.tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		p.tb.Fatal(err)
	}
	system, err := strconv.Atoi(fields[12])
	if err != nil {
		p.tb.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // ticks of 1/100 s
}

// resident is the memory of the process, in bytes.
func (p *process) resident() float64 {
	p.tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		p.tb.Fatal(err)
	}
	return float64(kib) * 1024
}
