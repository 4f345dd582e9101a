package resilient

import (
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// dropAtOnce is how many entries whose time is over are let go of at once.
const dropAtOnce = 1024

// discard takes e, which is not in the backend, out of the journal for good.
func (j *journal) discard(e *entry, err error) {
	c := e.chain
	i := len(c.entries) - 1
	if c.entries[i] != e {
		i = c.ship + slices.Index(c.entries[c.ship:], e)
	}
	if c.rebase == e {
		c.rebase = nil
	}
	c.removeAt(i)
	c.wrote(e)
	j.abandon(e, err)
}

// abandon keeps the accounts of an entry that will not be in the backend; it is no
// longer in its chain.
func (j *journal) abandon(e *entry, err error) {
	j.pendingBytes -= e.size
	if e.acked {
		j.waiting--
		j.discarded++
	}
	e.err = err
	j.forget(e)
	e.settled()
}

// dropLog lets go of what it holds of a log and a queue that were dropped, pending
// or not, and reports whether there was something. Numbers go on.
func (j *journal) dropLog(name string) (held bool) {
	for _, t := range []target{logOf(name), {aQueue, name}} {
		if c := j.chains[t]; c != nil {
			held = j.empty(c) || held
		}
	}
	return held
}

func (j *journal) empty(c *chain) (held bool) {
	entries, ship := c.entries, c.ship
	if c.aside {
		j.asides--
	}
	c.lane.dequeue(c)
	c.entries, c.ship, c.stored, c.dropped, c.rebase = nil, 0, nil, nil, nil
	c.gapped, c.aside = false, false
	c.unknown()
	for i, e := range entries {
		if i >= ship {
			j.abandon(e, storage.ErrGone)
			continue
		}
		e.durable = true // whoever waits for the file waits for nothing any more
		j.forget(e)
		e.settled()
	}
	return len(entries) > 0
}

// forget takes an entry out of the accounts and has the file delete it.
func (j *journal) forget(e *entry) {
	e.remove()
	j.bytes -= e.size
	if e.op != nil {
		j.hot -= e.size
	}
	j.forgetID(e)
	if !j.durable {
		return
	}
	j.deletes = append(j.deletes, e.seq)
	j.replace(&e.noted, nil)
	j.replace(&e.takenNote, nil)
}

func (j *journal) forgetID(e *entry) {
	if key := (idKey{e.chain.target, e.id}); j.ids[key] == e {
		delete(j.ids, key)
	}
}

// drop lets go of shipped entries, oldest first: those that are over the bound,
// and those that were kept long enough. One whose caller waits until it is in the
// file stays, and with it what came later. Those whose time is over go little by
// little, for others wait meanwhile.
func (j *journal) drop(now time.Time) {
	for n := 0; ; n++ {
		e := j.shipped.front
		if e == nil || !e.durable && e.err == nil {
			return
		}
		if over := now.Sub(e.storedAt) > j.retain && n < dropAtOnce; j.bytes <= j.maxBytes && !over {
			return
		}
		e.chain.letGo(e)
		e.chain.removeAt(0)
		j.forget(e)
	}
}
