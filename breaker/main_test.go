package breaker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/actionflows/lifeline/breaker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("dependency is down")

// exact is a jitter too small to move a nanosecond.
var exact = breaker.Backoff{Jitter: 1e-15}

func newBreaker(tb testing.TB, cfg breaker.Config) *breaker.Breaker {
	tb.Helper()
	if cfg.Backoff == (breaker.Backoff{}) {
		cfg.Backoff = exact
	}
	b, err := breaker.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(b.Close)
	return b
}

// acquire returns the token of an admitted call.
func acquire(tb testing.TB, b *breaker.Breaker) *breaker.Token {
	tb.Helper()
	token, err := b.Acquire()
	if err != nil {
		tb.Fatalf("call rejected: %v", err)
	}
	return &token
}

// rejected checks that a call is rejected, and returns its error.
func rejected(tb testing.TB, b *breaker.Breaker) *breaker.OpenError {
	tb.Helper()
	token, err := b.Acquire()
	var open *breaker.OpenError
	if !errors.As(err, &open) || !errors.Is(err, breaker.ErrOpen) {
		tb.Fatalf("call got error %v, want a rejection", err)
	}
	token.Report(breaker.Failure) // needs no settling, and must do no harm
	return open
}

// play makes calls one after the other: S succeeds, F fails, C is cancelled by
// its caller, D misses the operation's own deadline.
func play(tb testing.TB, b *breaker.Breaker, calls string) {
	tb.Helper()
	for _, c := range calls {
		token := acquire(tb, b)
		ctx := tb.Context()
		switch c {
		case 'S':
			token.Done(ctx, nil)
		case 'F':
			token.Done(ctx, errDown)
		case 'C':
			cancelled, cancel := context.WithCancel(ctx)
			cancel()
			token.Done(cancelled, cancelled.Err())
		case 'D':
			token.Done(ctx, context.DeadlineExceeded)
		default:
			tb.Fatalf("no such call %q", c)
		}
	}
}

func wantState(tb testing.TB, b *breaker.Breaker, want breaker.State) {
	tb.Helper()
	if got := b.State(); got != want {
		tb.Fatalf("state is %v, want %v", got, want)
	}
	if got := b.Stats().State; got != want {
		tb.Fatalf("state in Stats is %v, want %v", got, want)
	}
}

// pass lets time go by in a synctest bubble, timers included.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// bubble runs a test with a clock of its own, a breaker, and the breaker closed
// at the end.
func bubble(t *testing.T, cfg breaker.Config, test func(t *testing.T, b *breaker.Breaker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newBreaker(t, cfg)) })
}
