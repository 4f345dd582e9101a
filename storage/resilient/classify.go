package resilient

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
)

// backendFailed reports whether err says that the backend is in trouble: it
// called itself unavailable, or a deadline of ours has passed. ctx is the
// caller's; what happens after he gave up says nothing.
func backendFailed(ctx context.Context, err error) bool {
	if err == nil || ctx.Err() != nil {
		return false
	}
	var unavailable *storage.UnavailableError
	return errors.As(err, &unavailable) || errors.Is(err, context.DeadlineExceeded)
}

// outcomeError is the error of an Apply, or else the first of its results that
// says that the backend is in trouble.
func outcomeError(ctx context.Context, results []storage.Result, err error) error {
	if err != nil {
		return err
	}
	for i := range results {
		if backendFailed(ctx, results[i].Err) {
			return results[i].Err
		}
	}
	return nil
}

// wrote reports whether one of the operations has changed the backend. A reply
// alone proves nothing: what is there already can be told by a backend that takes
// no writes.
func wrote(results []storage.Result) bool {
	return slices.ContainsFunc(results, func(r storage.Result) bool { return r.Err == nil && !r.Duplicate })
}

// guardedApply is one Apply as one attempt in the eyes of the breaker. ctx is the
// caller's, inner the one for the driver.
func guardedApply(ctx, inner context.Context, b *breaker.Breaker, d storage.Driver, ops []storage.Op) ([]storage.Result, error) {
	token, err := b.Acquire()
	if err != nil {
		err = refused(err)
		return failAll(len(ops), err), err
	}
	defer token.Report(breaker.Failure) // a panic; does nothing once settled
	results, err := d.Apply(inner, ops)
	if failure := outcomeError(ctx, results, err); failure != nil || wrote(results) {
		report(&token, ctx, failure)
	} else {
		reportAnswer(&token)
	}
	return results, err
}

// guardedTake is one Take in the same way.
func guardedTake(
	ctx, inner context.Context, b *breaker.Breaker, d storage.Driver, queue string, most int,
) ([]storage.Item, error) {
	token, err := b.Acquire()
	if err != nil {
		return nil, refused(err)
	}
	defer token.Report(breaker.Failure)
	items, err := d.Take(inner, queue, most)
	if err == nil && len(items) == 0 { // nothing was removed: it says nothing of writes
		token.Report(breaker.Ignore)
	} else {
		report(&token, ctx, err)
	}
	return items, err
}

// inTime answers what a deadline of ours becomes for a caller whose own has not
// passed: he is to try again.
func inTime(ctx context.Context, err error) error {
	var unavailable *storage.UnavailableError
	if err == nil || ctx.Err() != nil || errors.As(err, &unavailable) || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &storage.UnavailableError{Reason: "the storage does not answer in time", RetryAfter: time.Second, Err: err}
}

// report settles a token with what err says of the backend.
func report(token *breaker.Token, ctx context.Context, err error) {
	switch {
	case err == nil:
		token.Report(breaker.Success)
	case backendFailed(ctx, err):
		token.Done(ctx, inTime(ctx, err)) // names the cause
	default:
		token.Report(breaker.Ignore)
	}
}

// reportAnswer settles the token of a call that was answered and changed nothing.
// That is as good as any while all is well, but must not close the breaker of a
// backend that reads and does not write.
func reportAnswer(token *breaker.Token) {
	if token.Probe() {
		token.Report(breaker.Ignore)
	} else {
		token.Report(breaker.Success)
	}
}

// refused turns the breaker's rejection into the error for callers.
func refused(err error) error {
	e := &storage.UnavailableError{Reason: "circuit breaker open", Err: breaker.ErrOpen}
	if open, ok := errors.AsType[*breaker.OpenError](err); ok {
		e.RetryAfter = open.RetryAfter()
		if open.Name != "" {
			e.Reason = open.Name + ": " + e.Reason
		}
	}
	return e
}

func failAll(n int, err error) []storage.Result {
	results := make([]storage.Result, n)
	for i := range results {
		results[i].Err = err
	}
	return results
}
