package resilient

import "context"

// turn is a lock that one does not wait for beyond a context.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// lock takes the turn; an error means that ctx ended first.
func (t turn) lock(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t turn) unlock() { <-t }
