package resilient

import "context"

// lane is a lock that one does not wait for beyond a context.
type lane chan struct{}

func newLane() lane { return make(lane, 1) }

// lock takes the lane; an error means that ctx ended first.
func (l lane) lock(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l lane) unlock() { <-l }
