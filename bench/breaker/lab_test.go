package breaker_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

const resetTimeout = 30 * time.Second

// lab is a breaker under examination, in a bubble with a clock of its own.
type lab struct {
	subject
	t       *testing.T
	flights []*flight
}

// inLab runs an examination, which says how the breaker breaks the rule, or "".
func inLab(t *testing.T, lib library, s settings, examine func(*lab) string) (broken string) {
	t.Helper()
	if s.reset == 0 {
		s.reset = resetTimeout
	}
	s.probes = max(s.probes, 1)
	synctest.Test(t, func(t *testing.T) {
		breaker, err := lib.new(s)
		if err != nil {
			t.Fatal(err)
		}
		l := &lab{subject: breaker, t: t}
		defer l.land()
		broken = examine(l)
	})
	return broken
}

// flight is a call whose operation has not been told to return yet.
type flight struct {
	admitted bool
	result   chan error // what the operation is to return
	landed   bool
}

// start makes a call and returns once its operation runs, or it was rejected.
func (l *lab) start() *flight {
	f := &flight{result: make(chan error)}
	entered := make(chan struct{})
	go func() {
		_ = l.Call(l.t.Context(), func(context.Context) error {
			close(entered)
			return <-f.result
		})
	}()
	synctest.Wait()
	select {
	case <-entered:
		f.admitted = true
	default:
	}
	l.flights = append(l.flights, f)
	return f
}

// end lets the operation return.
func (f *flight) end(err error) {
	if f.admitted && !f.landed {
		f.landed = true
		f.result <- err
		synctest.Wait()
	}
}

// land ends what is in flight, as a bubble ends only when its goroutines have.
func (l *lab) land() {
	for _, f := range l.flights {
		f.end(nil)
	}
}

// play makes calls one after the other: S succeeds, F fails, C is cancelled by
// its caller, D misses a deadline of the operation's own. It reports whether the
// last was admitted.
func (l *lab) play(calls string) (admitted bool) {
	for _, c := range calls {
		ctx, cancel := context.WithCancel(l.t.Context())
		err := l.Call(ctx, func(ctx context.Context) error {
			switch c {
			case 'F':
				return errDown
			case 'C':
				cancel()
				return ctx.Err()
			case 'D':
				short, stop := context.WithTimeout(ctx, time.Second)
				defer stop()
				<-short.Done()
				return short.Err()
			default:
				return nil
			}
		})
		cancel()
		admitted = err == nil || !l.Rejected(err)
	}
	return admitted
}

// pass lets time go by, timers included.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// cool waits until a breaker that has just opened may be probed. Whether that is
// at the end of the time or just after it is not asked here.
func cool() { pass(resetTimeout + time.Millisecond) }

// half trips a breaker of threshold 1 and waits until it may be probed.
func (l *lab) half() {
	l.play("F")
	cool()
}
