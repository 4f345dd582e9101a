package events

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func newTestOutbox(maxBytes int64, maxFrames int) (o *outbox, wakes, fulls *int) {
	wakes, fulls = new(int), new(int)
	return &outbox{
		maxBytes: maxBytes, maxFrames: maxFrames,
		wake: func() { *wakes++ }, full: func() { *fulls++ },
	}, wakes, fulls
}

// Small chunks are joined into one write, a large one goes by itself, in order.
func TestHubOutboxJoins(t *testing.T) {
	o, wakes, _ := newTestOutbox(1<<20, 1000)
	large := bytes.Repeat([]byte("L"), maxJoin)
	for _, b := range [][]byte{[]byte("a"), []byte("b"), large, []byte("c")} {
		o.push(b)
	}
	if *wakes != 1 {
		t.Errorf("woken %d times", *wakes)
	}
	for _, want := range []string{"ab", string(large), "c"} {
		if b, ended := o.take(nil); string(b) != want || ended {
			t.Fatalf("took %d bytes, %v; want %d", len(b), ended, len(want))
		}
	}
	if b, ended := o.take(nil); b != nil || ended {
		t.Errorf("took %q, %v from an empty one", b, ended)
	}
	o.wait() // nobody writes
	o.push([]byte("d"))
	if *wakes != 2 {
		t.Errorf("woken %d times", *wakes)
	}
}

func TestHubOutboxBounds(t *testing.T) {
	for name, bounds := range map[string]struct {
		bytes  int64
		frames int
	}{"bytes": {10, 1000}, "frames": {1000, 2}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, _, fulls := newTestOutbox(bounds.bytes, bounds.frames)
				o.push(bytes.Repeat([]byte("x"), 8))
				o.push(bytes.Repeat([]byte("x"), 8)) // over the bound, by one only
				if !o.isOpen() {
					t.Fatal("full too early")
				}
				o.push([]byte("x"))
				synctest.Wait()
				if *fulls != 1 || o.isOpen() {
					t.Fatalf("full %d times, open %v", *fulls, o.isOpen())
				}
				o.push([]byte("x"))
				if !o.finish([]byte("bye"), true) || o.finish([]byte("again"), true) {
					t.Error("finish works once")
				}
				if b, _ := o.take(nil); string(b) != "bye" {
					t.Errorf("last came %q", b)
				}
				if b, ended := o.take(nil); b != nil || !ended {
					t.Errorf("after the end: %q, %v", b, ended)
				}
			})
		})
	}
}

// What is queued goes first, nothing comes after the last.
func TestHubOutboxFinish(t *testing.T) {
	o, _, _ := newTestOutbox(100, 100)
	o.push([]byte("a"))
	o.finish([]byte("bye"), false)
	o.push([]byte("b"))
	if err := o.pushWait(t.Context(), chunk{b: []byte("c"), frames: 1}); !errors.Is(err, errConnectionEnded) {
		t.Error(err)
	}
	if b, _ := o.take(nil); string(b) != "abye" {
		t.Errorf("sent %q", b)
	}
	o.kill()
	if b, ended := o.take(nil); b != nil || !ended {
		t.Errorf("after the end: %q, %v", b, ended)
	}
}

// A replay leaves half of the queue to live frames, and waits for room.
func TestHubOutboxWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _, _ := newTestOutbox(100, 100)
		for range 5 {
			if err := o.pushWait(t.Context(), chunk{b: bytes.Repeat([]byte("x"), 10), frames: 1}); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error)
		wait := func(ctx context.Context, size int) {
			go func() { done <- o.pushWait(ctx, chunk{b: bytes.Repeat([]byte("x"), size), frames: 1}) }()
			synctest.Wait()
			select {
			case err := <-done:
				t.Fatalf("did not wait: %v", err)
			default:
			}
		}
		wait(t.Context(), 1000) // larger than the queue: waits for an empty one
		o.take(nil)
		if err := <-done; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		wait(ctx, 1)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		wait(t.Context(), 1)
		o.kill()
		if err := <-done; !errors.Is(err, errConnectionEnded) {
			t.Error(err)
		}
	})
}

func TestHubGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		g.setLimit(1)
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		var order []int
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 4 {
			use := t.Context()
			if i == 1 {
				use = ctx
			}
			go func() {
				if g.enter(use) == nil {
					order = append(order, i) // one at a time, by the gate
					g.leave()
				}
			}()
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		g.leave()
		synctest.Wait()
		if len(order) != 3 || order[0] != 0 || order[1] != 2 || order[2] != 3 {
			t.Errorf("let in: %v", order)
		}
		if g.used != 0 || len(g.waiting) != 0 {
			t.Errorf("%d used, %d waiting", g.used, len(g.waiting))
		}
		g.setLimit(0)
		go func() { _ = g.enter(t.Context()); g.leave() }()
		synctest.Wait()
		g.setLimit(1) // after a reload
		synctest.Wait()
		if g.used != 0 {
			t.Error("a larger limit lets nobody in")
		}
	})
}

func TestHubTasks(t *testing.T) {
	ts := newTasks()
	release := make(chan struct{})
	if !ts.run(func() { <-release }) {
		t.Fatal("not run")
	}
	done := ts.close()
	if ts.run(func() {}) {
		t.Error("run after close")
	}
	select {
	case <-done:
		t.Error("done too early")
	default:
	}
	close(release)
	<-done
	<-ts.close()
}
