package breaker_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// hooksInOrderWithoutLock is rule 9.
func hooksInOrderWithoutLock(t *testing.T, lib library) string {
	if broken := hooksMayCall(t, lib); broken != "" {
		return broken // in a bubble a held mutex would hang the test
	}
	return hooksInOrder(t, lib)
}

// hooksMayCall makes a hook call its breaker. If that waits for a mutex it waits
// for ever, as nobody else uses the breaker; so the goroutine is watched until it
// has ended or stands before a mutex. In the latter case it is left there.
func hooksMayCall(t *testing.T, lib library) string {
	t.Helper()
	var b subject
	var once sync.Once
	inHook := make(chan []byte, 1)
	b, err := lib.new(settings{threshold: 1, reset: resetTimeout, probes: 1, onTransition: func(string, string) {
		once.Do(func() { inHook <- goroutine() })
		_ = b.State()
		_ = b.Call(context.Background(), func(context.Context) error { return nil })
	}})
	if err != nil {
		t.Fatal(err)
	}
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		_ = b.Call(context.Background(), func(context.Context) error { return errDown })
	}()
	id := <-inHook
	for {
		select {
		case <-returned:
			return ""
		default:
			if waitsForMutex(id) {
				return "hooks run under its lock; one that calls it hangs"
			}
			runtime.Gosched()
		}
	}
}

// goroutine is the name of this goroutine in a dump of all, "goroutine 7 ".
func goroutine() []byte {
	dump := make([]byte, 64)
	dump = dump[:runtime.Stack(dump, false)]
	return dump[:bytes.IndexByte(dump, '[')]
}

func waitsForMutex(id []byte) bool {
	dump := make([]byte, 1<<20)
	dump = dump[:runtime.Stack(dump, true)]
	for part := range bytes.SplitSeq(dump, []byte("\n\n")) {
		if head, _, _ := bytes.Cut(part, []byte("\n")); bytes.HasPrefix(head, id) {
			return bytes.Contains(head, []byte("[sync."))
		}
	}
	return false
}

// hooksInOrder lets the first hook wait until other calls have made the breaker
// open, half-open and closed again.
func hooksInOrder(t *testing.T, lib library) string {
	var log hookLog
	return inLab(t, lib, settings{threshold: 1, onTransition: log.hook}, func(l *lab) string {
		log.resume = make(chan struct{}) // of this bubble
		fail := func() { l.play("F") }
		go fail()
		synctest.Wait() // in the hook
		go fail()
		cool()
		go func() { l.play("S") }()
		synctest.Wait()
		close(log.resume)
		synctest.Wait()
		return log.judge(l.State())
	})
}

type hookLog struct {
	mu      sync.Mutex
	running int
	overlap bool
	events  [][2]string
	resume  chan struct{} // closed when the first hook may go on
}

func (h *hookLog) hook(from, to string) {
	h.mu.Lock()
	h.running++
	h.overlap = h.overlap || h.running > 1
	h.events = append(h.events, [2]string{from, to})
	first := len(h.events) == 1
	h.mu.Unlock()
	if first {
		<-h.resume
	}
	h.mu.Lock()
	h.running--
	h.mu.Unlock()
}

func (h *hookLog) judge(state string) string {
	if h.overlap {
		return "it runs a hook before the one for an earlier event has returned"
	}
	at := closed
	for _, e := range h.events {
		if e[0] != at {
			return fmt.Sprintf("it tells %v", h.events)
		}
		at = e[1]
	}
	if at != state {
		return fmt.Sprintf("it tells %v and is %s", h.events, state)
	}
	return ""
}
