package faults

import (
	"net"
	"testing"
)

// A connection that was accepted and not open yet, when all were cut or refused, is not
// opened afterwards.
func TestProxyOpensNothingFromBeforeACut(t *testing.T) {
	p := NewProxy(t, "127.0.0.1:1")
	opened := func(cuts int) bool {
		client, _ := net.Pipe()
		server, _ := net.Pipe()
		p.open(&pair{client: client, server: server}, cuts)
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.pairs) > 0
	}
	p.Cut()
	if opened(0) {
		t.Error("it was accepted before the cut, and is open")
	}
	p.Refuse(true)
	if opened(1) {
		t.Error("connections are refused, and it is open")
	}
	p.Refuse(false)
	if !opened(1) {
		t.Error("nothing has happened to it, and it is not open")
	}
}
