package breaker

import "context"

// Do calls op through b and returns its result. If b rejects the call, op is not
// called and the error is an [*OpenError]. Otherwise ctx and op's error decide,
// by Classify, how the call counts, and the error is returned as it is.
//
// A panic or [runtime.Goexit] in op counts as a failure and goes on unwinding.
func Do[T any](ctx context.Context, b *Breaker, op func(context.Context) (T, error)) (v T, err error) {
	w := b.load()
	if w.phase() == open {
		return v, b.reject()
	}
	if !w.idle() {
		return do(ctx, b, op)
	}
	// The healthy call, without the weight of a Token.
	c := call{b: b, word: w, inside: true}
	defer c.unwound()
	v, err = op(ctx)
	c.inside = false
	if err != nil || b.load() != w {
		c.settle(ctx, err)
	} else if b.counting {
		b.successes.Add(1)
	}
	return v, err
}

// do is Do for every other case.
func do[T any](ctx context.Context, b *Breaker, op func(context.Context) (T, error)) (v T, err error) {
	token, err := b.Acquire()
	if err != nil {
		return v, err
	}
	defer token.abandon()
	v, err = op(ctx)
	token.Done(ctx, err)
	return v, err
}

// call is a call by Do or Run that was admitted by an idle word.
type call struct {
	b      *Breaker
	word   word
	inside bool // the operation has not returned
}

// unwound counts an operation that did not return. It is meant to be deferred.
func (c *call) unwound() {
	if c.inside {
		c.b.fail(c.word, 0, ErrPanic)
	}
}

func (c *call) settle(ctx context.Context, err error) {
	t := Token{b: c.b, word: c.word}
	t.Done(ctx, err)
}

// Run is [Do] for an operation without a result.
func (b *Breaker) Run(ctx context.Context, op func(context.Context) error) (err error) {
	w := b.load()
	if w.phase() == open {
		return b.reject()
	}
	if !w.idle() {
		return b.run(ctx, op)
	}
	c := call{b: b, word: w, inside: true}
	defer c.unwound()
	err = op(ctx)
	c.inside = false
	if err != nil || b.load() != w {
		c.settle(ctx, err)
	} else if b.counting {
		b.successes.Add(1)
	}
	return err
}

// run is Run for every other case.
func (b *Breaker) run(ctx context.Context, op func(context.Context) error) error {
	token, err := b.Acquire()
	if err != nil {
		return err
	}
	defer token.abandon()
	err = op(ctx)
	token.Done(ctx, err)
	return err
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
