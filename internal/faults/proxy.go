// Package faults stands between a client and its server in tests and does what
// networks do: cuts, refuses, swallows, and loses answers on the way back.
//
// A [Proxy] forwards TCP byte by byte and knows no protocol. A [Process] is the
// test binary run once more, to be killed and frozen. Both end with their test and
// leave no goroutine behind.
package faults

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy forwards connections to one target. All methods are safe for concurrent
// use; each takes effect before it returns.
type Proxy struct {
	t    testing.TB
	addr string

	mu          sync.Mutex
	target      string
	spared      []byte       // nil: every connection suffers
	listener    net.Listener // nil while refusing
	pairs       map[*pair]struct{}
	cuts        int // how often Cut was called
	blackhole   bool
	dropReplies bool
	dropped     int64
	closed      bool

	wg sync.WaitGroup
}

// NewProxy listens on a free loopback port and forwards to target, host:port,
// until the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{t: t, target: target, pairs: map[*pair]struct{}{}}
	if err := p.listen("127.0.0.1:0"); err != nil {
		t.Fatalf("faults: %v", err)
	}
	p.addr = p.listener.Addr().String()
	t.Cleanup(p.close)
	return p
}

// Addr is host:port of the proxy.
func (p *Proxy) Addr() string { return p.addr }

// Cut closes every connection that is open; new ones are served.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts++
	for c := range p.pairs {
		if !c.spared {
			c.close()
		}
	}
}

// Spare has Cut, Blackhole and DropReplies pass over the connections whose
// client sends this text in one piece, from then on. "" spares none any more.
func (p *Proxy) Spare(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spared = []byte(text)
	if text == "" {
		p.spared = nil
	}
	for c := range p.pairs {
		c.spared = c.spared && text != ""
	}
}

// Retarget has new connections go to another target, host:port. Open ones stay.
func (p *Proxy) Retarget(target string) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
}

// Refuse closes the listener, so that new connections are refused, or opens it
// again on the same port. Open connections stay.
func (p *Proxy) Refuse(on bool) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case on && p.listener != nil:
		_ = p.listener.Close()
		p.listener = nil
	case !on && p.listener == nil && !p.closed:
		if err := p.listen(p.addr); err != nil {
			p.t.Errorf("faults: accept again: %v", err)
		}
	}
}

// Blackhole swallows everything in both directions; connections are accepted and
// stay open. What was swallowed is lost.
func (p *Proxy) Blackhole(on bool) {
	p.mu.Lock()
	p.blackhole = on
	p.mu.Unlock()
}

// DropReplies lets commands through and swallows what comes back.
func (p *Proxy) DropReplies(on bool) {
	p.mu.Lock()
	p.dropReplies = on
	p.mu.Unlock()
}

// Dropped is how many bytes of replies DropReplies has swallowed so far: more
// than before means that the target has carried something out.
func (p *Proxy) Dropped() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dropped
}

// listen is called under the lock, or before anyone else knows the proxy.
func (p *Proxy) listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	p.listener = l
	p.wg.Go(func() { p.accept(l) })
	return nil
}

func (p *Proxy) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				p.t.Logf("faults: accept: %v", err)
			}
			return
		}
		p.serve(conn)
	}
}

func (p *Proxy) serve(client net.Conn) {
	p.mu.Lock()
	target, cuts := p.target, p.cuts
	p.mu.Unlock()
	server, err := net.DialTimeout("tcp", target, time.Second)
	if err != nil {
		_ = client.Close() // as if the target itself had closed it
		return
	}
	p.open(&pair{client: client, server: server}, cuts)
}

// open has a pair forward what comes, unless it was accepted before a cut, so many of
// which there had been then, or before connections were refused: it was not open yet, and
// would be as if nothing had happened.
func (p *Proxy) open(c *pair, cuts int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.cuts != cuts || p.listener == nil {
		c.close()
		return
	}
	p.pairs[c] = struct{}{}
	p.wg.Go(func() { p.forward(c, c.server, c.client, false) })
	p.wg.Go(func() { p.forward(c, c.client, c.server, true) })
}

// forward copies from src to dst until either ends, and then ends the pair.
func (p *Proxy) forward(c *pair, dst io.Writer, src io.Reader, reply bool) {
	defer p.forget(c)
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 && !p.swallow(c, buf[:n], reply) {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) swallow(c *pair, b []byte, reply bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !reply && p.spared != nil && bytes.Contains(b, p.spared) {
		c.spared = true
	}
	if c.spared {
		return false
	}
	if p.blackhole {
		return true
	}
	if reply && p.dropReplies {
		p.dropped += int64(len(b))
		return true
	}
	return false
}

func (p *Proxy) forget(c *pair) {
	p.mu.Lock()
	delete(p.pairs, c)
	p.mu.Unlock()
	c.close()
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	for c := range p.pairs {
		c.close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// pair is one connection and its counterpart.
type pair struct {
	client, server net.Conn
	spared         bool // guarded by the proxy's lock
}

func (c *pair) close() {
	_ = c.client.Close()
	_ = c.server.Close()
}
