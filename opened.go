package lifeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient"
)

// opened is storage that is open, with its breakers and its journal.
type opened struct {
	by       *Hub // the settings that it was opened with, and nothing else
	storage  resilient.Storage
	breakers []*breaker.Breaker // none, one, or one for each lane of the storage
	watcher  atomic.Pointer[breakerWatcher]

	census *storage.Census
	end    context.CancelFunc // of the census
	ended  chan struct{}      // closed when it has
}

// breakerWatcher is storage whose status depends on its breakers.
type breakerWatcher interface{ BreakerChanged() }

// openStorage opens what h says.
func (rt *runtime) openStorage(h *Hub) (*opened, error) {
	driver, err := h.storage.Open(rt.name, rt.logger.With(sourceStorage))
	if err != nil {
		return nil, fmt.Errorf("open %s storage: %w", h.info.Driver, err)
	}
	driver = storage.Meter(driver, &rt.calls)
	o := &opened{by: h.storageSettings()}
	if o.breakers, err = newBreakers(h, driver, rt.logger, rt.telemetry, o.breakerChanged); err != nil {
		return nil, errors.Join(err, driver.Close())
	}
	if o.storage, err = protect(driver, rt.name, h, o.breakers, rt.logger); err != nil {
		closeBreakers(o.breakers)
		return nil, errors.Join(err, driver.Close())
	}
	if w, ok := o.storage.(breakerWatcher); ok {
		o.watcher.Store(&w)
	}
	o.count(rt.logger.With(sourceStorage))
	return o, nil
}

// count counts what the storage holds until close.
func (o *opened) count(logger *zap.Logger) {
	ctx, end := context.WithCancel(context.Background())
	o.census, o.end, o.ended = storage.NewCensus(o.storage), end, make(chan struct{})
	go func() {
		defer close(o.ended)
		if err := o.census.Run(ctx); err != nil {
			logger.Warn("max_logs does not hold: this storage does not count what it has", zap.Error(err))
		}
	}()
}

// breakerChanged is called by the breakers' hooks, which may run before the storage
// around them is made.
func (o *opened) breakerChanged() {
	if w := o.watcher.Load(); w != nil {
		(*w).BreakerChanged()
	}
}

func (o *opened) close() error {
	o.end()
	<-o.ended
	err := o.storage.Close()
	closeBreakers(o.breakers)
	if err != nil {
		return fmt.Errorf("close %s storage: %w", o.by.info.Driver, err)
	}
	return nil
}

// storageSettings are those that storage is opened with: what stays open knows no
// configuration.
func (h *Hub) storageSettings() *Hub {
	return &Hub{Breaker: h.Breaker, Journal: h.Journal, storage: h.storage, info: h.info, key: h.key, driverKey: h.driverKey}
}

// dirs are the directories of which only one storage at a time can have each open.
func (h *Hub) dirs(hub string) (dirs []string) {
	if h.info.Dir != "" {
		dirs = append(dirs, h.info.Dir)
	}
	if h.info.Remote {
		dirs = append(dirs, h.lastJournal(hub))
	}
	return dirs
}

// sharesDir reports whether two configurations of a hub need the same directory.
func (h *Hub) sharesDir(other *Hub, hub string) bool {
	return slices.ContainsFunc(h.dirs(hub), func(dir string) bool { return slices.Contains(other.dirs(hub), dir) })
}
