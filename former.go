package lifeline

import (
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// formerStay is how long a former storage stays open at least, for requests that
	// are still under way; then its journal is looked at every formerLook.
	formerStay = 5 * time.Second
	formerLook = 250 * time.Millisecond
)

// formers are the former storages of a hub that may still have something to store.
type formers struct {
	logger *zap.Logger

	mu   sync.Mutex // guards list; held while one of them is closed
	list []*former
}

// former is one of them.
type former struct {
	*opened

	stop    chan struct{} // closed when it has been taken out
	stopped chan struct{} // closed when nobody looks after it any more
}

// add closes a storage once all that it has acknowledged is stored.
func (f *formers) add(o *opened) {
	one := &former{opened: o, stop: make(chan struct{}), stopped: make(chan struct{})}
	f.mu.Lock()
	f.list = append(f.list, one)
	f.mu.Unlock()
	if n := o.storage.Status().Pending; n > 0 {
		f.logger.Warn("the former storage still has to store events, and does so now", sourceStorage,
			zap.String("driver", o.by.info.Driver), zap.Int("pending", n))
	}
	go func() {
		defer close(one.stopped)
		if one.drained() {
			f.finish(one)
		}
	}()
}

// drained waits until nothing is pending; false: it has been taken out.
func (o *former) drained() bool {
	for wait := formerStay; ; wait = formerLook {
		select {
		case <-time.After(wait):
		case <-o.stop:
			return false
		}
		if o.storage.Status().Pending == 0 {
			return true
		}
	}
}

// finish closes one, unless it has been taken out.
func (f *formers) finish(one *former) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(f.list, one)
	if i < 0 {
		return
	}
	f.list = slices.Delete(f.list, i, i+1)
	if err := one.close(); err != nil {
		f.logger.Error("close the former storage", sourceStorage, zap.Error(err))
		return
	}
	f.logger.Info("the former storage has all that it acknowledged, and is closed", sourceStorage,
		zap.String("driver", one.by.info.Driver))
}

// take takes one out, still open, that ok wants; nil: there is none.
func (f *formers) take(ok func(*opened) bool) *opened {
	f.mu.Lock()
	i := slices.IndexFunc(f.list, func(one *former) bool { return ok(one.opened) })
	if i < 0 {
		f.mu.Unlock()
		return nil
	}
	one := f.list[i]
	f.list = slices.Delete(f.list, i, i+1)
	f.mu.Unlock()
	close(one.stop)
	<-one.stopped
	return one.opened
}

// close closes them all, whatever they still have to store: their journals keep it.
func (f *formers) close() error {
	var errs []error
	for o := f.any(); o != nil; o = f.any() {
		errs = append(errs, o.close())
	}
	return errors.Join(errs...)
}

func (f *formers) any() *opened { return f.take(func(*opened) bool { return true }) }

// all are those that are open.
func (f *formers) all() []*opened {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*opened, len(f.list))
	for i, one := range f.list {
		all[i] = one.opened
	}
	return all
}
