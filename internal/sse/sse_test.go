package sse

import (
	"errors"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// conn takes nothing: a write ends by its deadline, or not at all.
type conn struct {
	http.ResponseWriter

	mu       sync.Mutex
	deadline time.Time
	moved    chan struct{}
}

func (c *conn) Header() http.Header { return http.Header{} }
func (c *conn) WriteHeader(int)     {}

func (c *conn) SetWriteDeadline(at time.Time) error {
	c.mu.Lock()
	c.deadline = at
	c.mu.Unlock()
	c.moved <- struct{}{}
	return nil
}

func (c *conn) Write([]byte) (int, error) {
	for {
		c.mu.Lock()
		left := time.Until(c.deadline)
		c.mu.Unlock()
		select {
		case <-c.moved:
		case <-time.After(left):
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// wrapper remembers the deadline without a lock, as Caddy's does.
type wrapper struct {
	*conn

	deadline time.Time
}

func (w *wrapper) Unwrap() http.ResponseWriter { return w.conn }

func (w *wrapper) SetWriteDeadline(at time.Time) error {
	err := w.conn.SetWriteDeadline(at)
	w.deadline = at
	return err
}

func (w *wrapper) Write(b []byte) (int, error) {
	_, err := w.conn.Write(b)
	if w.deadline.IsZero() {
		return 0, errors.New("no deadline was set")
	}
	return 0, err
}

// A write takes its timeout at most, or what End leaves it, whoever wraps the
// connection: run with -race.
func TestWritesEnd(t *testing.T) {
	for name, c := range map[string]struct {
		ends []time.Duration // when End is called, and until when it lets it go on
		want time.Duration
	}{
		"by its timeout": {nil, 10 * time.Second},
		"by End":         {[]time.Duration{2 * time.Second, 3 * time.Second}, 3 * time.Second},
		"at once":        {[]time.Duration{2 * time.Second, 2 * time.Second}, 2 * time.Second},
		"not later":      {[]time.Duration{time.Second, 3 * time.Second, 2 * time.Second, 7 * time.Second}, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				s := New(&wrapper{conn: &conn{moved: make(chan struct{}, 9)}}, 10*time.Second)
				done := make(chan error, 1)
				go func() { done <- s.Write([]byte("data: x\n\n")) }()
				for i := 0; i < len(c.ends); i += 2 {
					time.Sleep(time.Until(begin.Add(c.ends[i])))
					s.End(begin.Add(c.ends[i+1]))
				}
				err := <-done
				if took := time.Since(begin); took != c.want || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("it took %v, want %v: %v", took, c.want, err)
				}
			})
		})
	}
}

// What comes after the handler does not touch the connection, which is the server's.
func TestEndAfterLeave(t *testing.T) {
	c := &conn{moved: make(chan struct{}, 9)}
	s := New(c, time.Second)
	s.Leave()
	s.End(time.Now())
	if !c.deadline.IsZero() {
		t.Errorf("the deadline is %v", c.deadline)
	}
}
