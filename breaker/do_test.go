package breaker_test

import (
	"context"
	"errors"
	"testing"

	"github.com/actionflows/lifeline/breaker"
)

func TestDoPassesEverythingThrough(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "caller")
	b := newBreaker(t, breaker.Config{Name: "redis"})
	if b.Name() != "redis" {
		t.Errorf("name is %q", b.Name())
	}
	op := func(err error) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) {
			if ctx.Value(key{}) != "caller" {
				t.Error("not the context of the caller")
			}
			return 42, err
		}
	}
	// A value beside an error is the operation's business, and kept.
	for _, err := range []error{nil, errDown} {
		if v, got := breaker.Do(ctx, b, op(err)); v != 42 || got != err {
			t.Errorf("Do returned %d, %v, want 42, %v", v, got, err)
		}
		if v, got := (breaker.Typed[int]{B: b}).Do(ctx, op(err)); v != 42 || got != err {
			t.Errorf("Typed returned %d, %v, want 42, %v", v, got, err)
		}
		if got := b.Run(ctx, func(context.Context) error { return err }); got != err {
			t.Errorf("Run returned %v, want %v", got, err)
		}
	}
	b.Trip(nil)
	never := func(context.Context) (int, error) { t.Error("called"); return 42, nil }
	if v, err := breaker.Do(ctx, b, never); v != 0 || !errors.Is(err, breaker.ErrOpen) {
		t.Errorf("Do returned %d, %v while open", v, err)
	}
	if v, err := (breaker.Typed[int]{B: b}).Do(ctx, never); v != 0 || !errors.Is(err, breaker.ErrOpen) {
		t.Errorf("Typed returned %d, %v while open", v, err)
	}
	if err := b.Run(ctx, func(ctx context.Context) error { _, err := never(ctx); return err }); !errors.Is(err, breaker.ErrOpen) {
		t.Errorf("Run returned %v while open", err)
	}
}

func TestFallback(t *testing.T) {
	errAlso := errors.New("no copy either")
	tests := []struct {
		name     string
		open     bool
		op       error // of the operation
		fallback error
		sees     error // nil: the fallback is not called
		want     int
	}{
		{name: "success", want: 1},
		{name: "failure", op: errDown, sees: errDown, want: 2},
		{name: "rejection", open: true, sees: breaker.ErrOpen, want: 2},
		{name: "failure of both", op: errDown, fallback: errAlso, sees: errDown, want: 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBreaker(t, breaker.Config{})
			if test.open {
				b.Trip(nil)
			}
			var saw error
			op := func(context.Context) (int, error) { return 1, test.op }
			fallback := func(ctx context.Context, err error) (int, error) {
				if ctx != t.Context() {
					t.Error("not the context of the caller")
				}
				saw = err
				return 2, test.fallback
			}
			before := b.Stats().Failures
			for _, call := range []func() (int, error){
				func() (int, error) { return breaker.DoOr(t.Context(), b, op, fallback) },
				func() (int, error) { return breaker.Typed[int]{b, fallback}.Do(t.Context(), op) },
			} {
				saw = nil
				v, err := call()
				if v != test.want || err != test.fallback || !errors.Is(saw, test.sees) {
					t.Errorf("returned %d, %v; the fallback saw %v", v, err, saw)
				}
			}
			// The operation counts, the fallback does not.
			want := uint64(0)
			if test.op != nil {
				want = 2
			}
			if got := b.Stats().Failures - before; got != want {
				t.Errorf("%d failures counted, want %d", got, want)
			}
		})
	}
	t.Run("nil", func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		if _, err := breaker.DoOr(t.Context(), b, func(context.Context) (int, error) { return 0, errDown }, nil); err != errDown {
			t.Errorf("error %v", err)
		}
	})
}
