package faultmatrix

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/faults"
)

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

// errDown: the node's process has ended before it answered.
var errDown = errors.New("the node is down")

// client is a node process as its test sees it, over all its lives.
type client struct {
	t       testing.TB
	subject Subject
	index   int   // of the node
	book    *book // of the run
	config  nodeConfig
	log     string // file of what the processes write to stderr

	mu      sync.Mutex
	process *faults.Process
	up      chan struct{} // closed while the node is up
	next    uint64
	addr    string
	life    int                   // how often it was started
	waiting map[uint64]chan reply // nil while it is down
	reading sync.WaitGroup
}

func newClient(r *run, config nodeConfig) *client {
	t := r.t
	return &client{
		t: t, subject: r.subject, index: len(r.nodes), book: r.book, config: config, up: make(chan struct{}),
		log: filepath.Join(t.TempDir(), config.Name+".log"),
	}
}

// start starts the process and returns when it answers.
func (c *client) start() {
	c.t.Helper()
	settings, err := json.Marshal(c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	process := faults.StartProcess(c.t, log, Env+"="+string(settings))
	_ = log.Close()
	lines := bufio.NewReaderSize(process.Out, 1<<20)
	var ready reply
	line, err := lines.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil {
		process.Kill()
		c.t.Fatalf("node %s does not start: %v\n%s", c.config.Name, err, c.tail())
	}
	c.mu.Lock()
	c.process, c.waiting, c.addr = process, make(map[uint64]chan reply), ready.Addr
	c.life++
	close(c.up)
	c.mu.Unlock()
	c.reading.Go(func() { c.read(lines) })
}

// read hands replies to who waits for them, until the process ends.
func (c *client) read(lines *bufio.Reader) {
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var r reply
		if err := json.Unmarshal(line, &r); err != nil {
			c.t.Errorf("node %s wrote %q: %v", c.config.Name, line, err)
			break
		}
		c.mu.Lock()
		answer := c.waiting[r.N]
		delete(c.waiting, r.N)
		c.mu.Unlock()
		if answer != nil {
			answer <- r
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, answer := range c.waiting {
		close(answer)
	}
	c.waiting = nil
	c.up = make(chan struct{})
}

// call asks the node. The error is errDown or ctx's; what the storage says is in
// the reply.
func (c *client) call(ctx context.Context, q request) (reply, error) {
	_, at := c.visit()
	at.since = q.Cursor
	ask := c.callOverPipe
	if c.subject.Call != nil && q.Do != DoDisk {
		ask = c.callOverNetwork
	}
	r, err := ask(ctx, q)
	r.visit = at
	if !q.waits() {
		c.book.locked(func() { c.book.claims.asked(at.began) })
	}
	return r, err
}

// visit is one that begins now, and where the node is to be found.
func (c *client) visit() (addr string, v visit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addr, visit{node: c.index, life: c.life, began: time.Now()}
}

// callOverNetwork answers errDown only when the process has ended; whoever is not
// answered by one that lives tries again.
func (c *client) callOverNetwork(ctx context.Context, q request) (reply, error) {
	addr, up := c.address()
	if !up {
		return reply{}, errDown
	}
	start := time.Now()
	r, err := c.subject.Call(ctx, addr, q)
	r.took(start)
	if err == nil {
		return r, nil
	}
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	if _, up := c.address(); !up {
		return r, errDown
	}
	r.Error, r.Later = err.Error(), true
	return r, nil
}

func (c *client) address() (addr string, up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addr, c.waiting != nil
}

func (c *client) callOverPipe(ctx context.Context, q request) (reply, error) {
	answer := make(chan reply, 1)
	c.mu.Lock()
	if c.waiting == nil {
		c.mu.Unlock()
		return reply{}, errDown
	}
	c.next++
	q.N = c.next
	c.waiting[q.N] = answer
	process := c.process
	c.mu.Unlock()
	line, err := json.Marshal(q)
	if err != nil {
		return reply{}, err
	}
	if _, err := process.In.Write(append(line, '\n')); err != nil {
		return reply{}, errDown
	}
	select {
	case r, ok := <-answer:
		if !ok {
			return reply{}, errDown
		}
		return r, nil
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
}

// must asks for something that cannot fail.
func (c *client) must(ctx context.Context, q request) reply {
	c.t.Helper()
	r, err := c.call(ctx, q)
	if err != nil || r.Error != "" {
		c.t.Errorf("node %s: %s: %v %s", c.config.Name, q.Do, err, r.Error)
	}
	return r
}

// awaitUp waits until the node is up; an error means that ctx ended first.
func (c *client) awaitUp(ctx context.Context) error {
	c.mu.Lock()
	up := c.up
	c.mu.Unlock()
	select {
	case <-up:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// freeze stops the process, thaw lets it go on.
func (c *client) freeze() { c.process.Freeze() }
func (c *client) thaw()   { c.process.Thaw() }

// kill ends the process with SIGKILL.
func (c *client) kill() {
	c.process.Kill()
	c.reading.Wait()
}

// close has the node close its storage and end.
func (c *client) close() {
	c.t.Helper()
	process := c.process
	if process == nil {
		return // it was never started
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			c.t.Errorf("node %s: %v", c.config.Name, err)
		}
	case <-time.After(patience):
		c.t.Errorf("node %s does not end", c.config.Name)
		c.process.Kill()
		<-ended
	}
	c.reading.Wait()
}

// tail is the end of what the node has logged.
func (c *client) tail() string {
	b, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(len(b)-4000, 0):])
}

// raced reports what the node said of data races and panics.
func (c *client) raced() error {
	b, err := os.ReadFile(c.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, sign := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if i := bytes.Index(b, []byte(sign)); i >= 0 {
			return fmt.Errorf("node %s: %s", c.config.Name, b[i:min(len(b), i+4000)])
		}
	}
	return nil
}
