package breaker

import "context"

// Do calls op through b and returns its result. If b rejects the call, op is not
// called and the error is an [*OpenError]. Otherwise ctx and op's error decide,
// by Classify, how the call counts, and the error is returned as it is.
//
// A panic or [runtime.Goexit] in op counts as a failure and goes on unwinding.
func Do[T any](ctx context.Context, b *Breaker, op func(context.Context) (T, error)) (T, error) {
	token, err := b.Acquire()
	if err != nil {
		var zero T
		return zero, err
	}
	defer token.abandon()
	v, err := op(ctx)
	token.Done(ctx, err)
	return v, err
}

// DoOr is [Do] with a second way: if the call is rejected, or op returns an
// error of whatever outcome, the result is that of fallback, which is given the
// error. fallback runs outside the breaker: what it does is not counted. A panic
// in op does not lead to it. A nil fallback makes DoOr the same as Do.
func DoOr[T any](
	ctx context.Context, b *Breaker,
	op func(context.Context) (T, error),
	fallback func(context.Context, error) (T, error),
) (T, error) {
	v, err := Do(ctx, b, op)
	if err == nil || fallback == nil {
		return v, err
	}
	return fallback(ctx, err)
}

// Run is [Do] for an operation without a result.
func (b *Breaker) Run(ctx context.Context, op func(context.Context) error) error {
	token, err := b.Acquire()
	if err != nil {
		return err
	}
	defer token.abandon()
	err = op(ctx)
	token.Done(ctx, err)
	return err
}

// Typed is a view of a breaker for operations with results of one type. Many
// views may share one breaker. It is safe for concurrent use once its fields are
// set.
type Typed[T any] struct {
	// B is the breaker. It must not be nil.
	B *Breaker
	// Fallback is used by Do as by [DoOr]. It may be nil.
	Fallback func(context.Context, error) (T, error)
}

// Do is [DoOr] with B and Fallback.
func (t Typed[T]) Do(ctx context.Context, op func(context.Context) (T, error)) (T, error) {
	return DoOr(ctx, t.B, op, t.Fallback)
}
