package lifeline

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
)

// A reload may give a hub another storage. Where both can be open at the same time,
// the new one is opened when the configuration starts, which fails if it cannot be, and
// comes into force when the configuration has been accepted; the former one stores what
// is still in its journal and is closed then. Where they need the same directory, as
// when only a size or the breaker has changed, the former one is closed first; should
// the new one not open, it is opened again.

// drainWait is how long a reload waits for a journal that has to become empty before
// its storage is closed.
const drainWait = 5 * time.Second

// prepare opens the storage of h while another one is in force.
func (rt *runtime) prepare(h *Hub) error {
	if o := rt.formers.take(func(o *opened) bool { return o.by.key == h.key }); o != nil {
		rt.next = o
		return nil
	}
	for _, o := range rt.formers.all() {
		if h.sharesDir(o.by, rt.name) {
			return fmt.Errorf("a former storage of the hub still uses the same directory, and has to store events, %d; "+
				"reload again when it is closed, which is logged", o.storage.Status().Pending)
		}
	}
	if h.sharesDir(rt.opened().by, rt.name) {
		return rt.reopen(h)
	}
	var err error
	rt.next, err = rt.openStorage(h)
	return err
}

// accept puts the storage into force that prepare has opened.
func (rt *runtime) accept(h *Hub) {
	next, former := rt.next, rt.opened()
	rt.next = nil
	if next == nil {
		return
	}
	_ = rt.hub.Load().ChangeStorage(h.info.Driver, func() error { // which cannot fail
		rt.install(next, h)
		return nil
	})
	rt.logger.Info("the hub has another storage", sourceStorage,
		zap.String("former", former.by.info.Driver), zap.String("driver", h.info.Driver))
	rt.formers.add(former)
}

// reject gives up what prepare has done for a configuration that did not start; before
// is that of before.
func (rt *runtime) reject(before *Hub) error {
	if rt.next != nil {
		rt.formers.add(rt.next)
		rt.next = nil
		return nil
	}
	if rt.opened().by.key == before.key {
		return nil
	}
	return rt.reopen(before)
}

// install has the hub use a storage with the settings of h.
func (rt *runtime) install(o *opened, h *Hub) {
	if rt.untell != nil {
		rt.untell()
	}
	rt.backend.set(o, h)
	rt.telemetry.status(o.storage.Status()) // a bare storage has nothing to tell
	rt.untell = o.storage.OnStatus(rt.telemetry.status)
}

// reopen closes the storage in force and opens that of h, which needs the same
// directory.
func (rt *runtime) reopen(h *Hub) error {
	former, current := rt.opened(), rt.users[len(rt.users)-1]
	if err := former.drained(rt.name, h); err != nil {
		return err
	}
	return rt.hub.Load().ChangeStorage(h.info.Driver, func() error {
		if err := former.drained(rt.name, h); err != nil { // now nothing more comes
			return err
		}
		rt.backend.hold()
		stats := former.storage.CircuitBreakerStats()
		if err := former.close(); err != nil {
			rt.logger.Error("close the storage to open it with other settings", sourceStorage, zap.Error(err))
		}
		next, err := rt.openStorage(h)
		if err == nil {
			next.keepHolds(stats)
			rt.install(next, h)
			return nil
		}
		again, problem := rt.openStorage(former.by)
		if problem != nil {
			rt.logger.Error("the hub has no storage: the one of before cannot be opened again; restart the server",
				sourceStorage, zap.Error(problem))
			again = former // which answers that it is closed
		}
		rt.install(again, current)
		return errors.Join(err, problem)
	})
}

// keepHolds holds breakers as those of the same names are held by these stats.
func (o *opened) keepHolds(stats []breaker.Stats) {
	for _, b := range o.breakers {
		i := slices.IndexFunc(stats, func(s breaker.Stats) bool { return s.Name == b.Name() })
		if i < 0 || stats[i].Held == nil {
			continue
		}
		held := stats[i].Held
		if held.Until == nil {
			b.Hold(held.State, 0)
		} else if left := time.Until(*held.Until); left > 0 {
			b.Hold(held.State, left)
		}
	}
}

// drained waits until nothing is left to store that whoever opens the storage by h does
// not take over, for a while.
func (o *opened) drained(hub string, h *Hub) error {
	if o.by.leavesJournalTo(h, hub) {
		return nil
	}
	deadline := time.Now().Add(drainWait)
	look := time.NewTicker(formerLook / 10)
	defer look.Stop()
	for {
		pending := o.storage.Status().Pending
		switch {
		case pending == 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("acknowledged events have to be stored in %s before it is given up, %d; "+
				"make it available and reload again, or restart the server with the new settings", o.by.info.Driver, pending)
		}
		<-look.C
	}
}

// leavesJournalTo reports whether what waits in the journal of h is stored, and in the
// same place, by whoever opens the storage of next.
func (h *Hub) leavesJournalTo(next *Hub, hub string) bool {
	return h.info.Remote && next.info.Remote && h.driverKey == next.driverKey &&
		!h.Journal.Off && h.Journal.Dir == next.lastJournal(hub)
}
