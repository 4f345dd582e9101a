//go:build linux

package events

import (
	"runtime"
	"testing"
	"time"
)

// goroutinesOfReaders counts those that read a WebSocket or wait for one.
func goroutinesOfReaders() int {
	records := make([]runtime.StackRecord, 10_000)
	n, _ := runtime.GoroutineProfile(records)
	found := 0
	for _, r := range records[:n] {
		frames := runtime.CallersFrames(r.Stack())
		for {
			f, more := frames.Next()
			if f.Function == "github.com/actionflows/lifeline/events.(*wsConn).serve" ||
				f.Function == "github.com/actionflows/lifeline/events.(*wsConn).await" {
				found++
				break
			}
			if !more {
				break
			}
		}
	}
	return found
}

// The tests that follow count goroutines of the process: they are not parallel.

func TestASilentWebSocketHasNoGoroutine(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	url := hubServer(t, h)
	clients := make([]*wsClient, 20)
	for i := range clients {
		clients[i] = connect(t, url, "")
	}
	quiet := func() bool { return goroutinesOfReaders() == 0 }
	eventually(t, "nobody reads", quiet)
	for range 3 { // they come back for every message, and leave again
		for _, c := range clients {
			c.send(ping)
			c.want(`{"type":"pong"}`)
		}
		eventually(t, "nobody reads", quiet)
	}
}

// A client that has been ended and does not answer is dropped after the grace, though
// it was parked.
func TestAParkedWebSocketIsEnded(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(_ *Config, times *intervals) { times.closing = 50 * time.Millisecond })
	connect(t, hubServer(t, h), "")
	eventually(t, "nobody reads", func() bool { return goroutinesOfReaders() == 0 })
	for _, m := range h.connections.all() {
		m.end(closeGoingAway, "", false)
	}
	eventually(t, "it is gone", func() bool { n, _ := h.Counts(); return n == 0 })
}

func TestAParkedWebSocketIsAborted(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	connect(t, hubServer(t, h), "")
	eventually(t, "nobody reads", func() bool { return goroutinesOfReaders() == 0 })
	for _, m := range h.connections.all() {
		m.abort()
	}
	eventually(t, "it is gone", func() bool { n, _ := h.Counts(); return n == 0 })
}
