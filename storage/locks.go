package storage

import (
	"context"
	"hash/maphash"
)

// locks order what is read, changed and written back. They belong to the process,
// not to a Store, since several may stand over one backend; between nodes the last
// writer wins.
var (
	locks    [256]chan struct{} // each holds one place
	lockSeed = maphash.MakeSeed()
)

func init() {
	for i := range locks {
		locks[i] = make(chan struct{}, 1)
	}
}

// lock waits for its turn with what has this name. Unlike a mutex it gives up when
// ctx is done. Who holds a lock must not ask for a second one.
func lock(ctx context.Context, name string) (unlock func(), err error) {
	lock := locks[maphash.String(lockSeed, name)%uint64(len(locks))]
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, ctx.Err() //nolint:wrapcheck // the caller's own
	}
}
