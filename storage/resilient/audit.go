package resilient

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// An audit compares chains in turns, between batches, so that it never holds up
// the entries of others: auditTurn in a turn, auditReads at a time.
const (
	auditTurn  = 128
	auditReads = 16
)

// finding is what an audit has seen of one chain: the state of a log, or whether
// the latest write to a collection is there.
type finding struct {
	chain   *chain
	state   storage.LogState
	missing bool
	err     error
}

// compareSome compares the chains of one turn with the journal. Those that could
// not be asked for are compared again.
func (l *lane) compareSome(ctx context.Context) error {
	if err := l.turn.lock(ctx); err != nil {
		return err
	}
	defer l.turn.unlock()
	j := l.owner
	j.mu.Lock()
	chains := l.takeAudit(auditTurn)
	j.mu.Unlock()
	findings := j.examine(ctx, chains)

	j.mu.Lock()
	defer j.mu.Unlock()
	var failed error
	refilled := 0
	for _, f := range findings {
		c := f.chain
		switch {
		case f.err == nil && c.kind == aCollection:
			if f.missing {
				c.rewindAll()
			}
			c.gapped = false
			l.enqueue(c)
		case f.err == nil:
			if n := c.compare(f.state); n > 0 {
				j.unmirror(c.name)
				refilled += n
			}
		case permanent(f.err):
			// It cannot be read; what is to be written to it will tell.
			c.gapped = false
			l.enqueue(c)
		default:
			failed = f.err
			l.auditFirst(c)
		}
	}
	if refilled > 0 {
		j.complaints.refilled.note(refilled)
		j.observer.look()
	}
	return failed
}

// examine asks the backend about each chain.
func (j *Journaled) examine(ctx context.Context, chains []*chain) []finding {
	findings := make([]finding, len(chains))
	ctx, cancel := context.WithTimeout(ctx, j.cfg.ReadTimeout)
	defer cancel()
	var readers sync.WaitGroup
	for first := range min(auditReads, len(chains)) {
		readers.Go(func() {
			for i := first; i < len(chains); i += auditReads {
				findings[i] = j.examineOne(ctx, chains[i])
			}
		})
	}
	readers.Wait()
	return findings
}

func (j *Journaled) examineOne(ctx context.Context, c *chain) (f finding) {
	f.chain = c
	if c.kind == aLog {
		page, err := j.driver.ReadLog(ctx, c.name, storage.LogQuery{Limit: 1})
		f.state, f.err = page.State, err
		return f
	}
	j.mu.Lock()
	e := c.latestStored(time.Now())
	f.missing = c.lost || e == nil && c.probed > 0
	j.mu.Unlock()
	if e == nil || f.missing {
		return f
	}
	b := batch{entries: []*entry{e}}
	if f.err = j.fill(&b); f.err != nil {
		return f
	}
	if len(b.ops) == 0 { // its record is damaged: it tells nothing
		f.missing = true
		return f
	}
	results, err := j.driver.Apply(ctx, b.ops)
	if err == nil {
		err = results[0].Err
	}
	if errors.Is(err, storage.ErrGap) {
		f.missing = true
		return f
	}
	f.err = err
	f.missing = err == nil && !results[0].Duplicate
	j.mu.Lock()
	if c.probed = 0; err != nil && !permanent(err) { // perhaps it is there now
		c.probed = e.seq
	}
	j.mu.Unlock()
	return f
}

// probeMargin is how long what a write has written must still last, that one can tell
// by it.
const probeMargin = 10 * time.Second

// latestStored is the write to a collection by which one can tell whether it has
// lost something: sent again, it is a duplicate. It is an earlier one than that of which
// the last attempt to tell had no answer, for that may have brought it back, and nothing
// else. nil: there is none.
func (c *chain) latestStored(now time.Time) *entry {
	for _, e := range slices.Backward(c.entries[:c.ship]) {
		if (c.probed == 0 || e.seq < c.probed) && !e.over(now.Add(probeMargin)) {
			return e
		}
	}
	return nil
}

// suspect has a log compared soon: a read has shown that it lost entries.
func (j *Journaled) suspect(log string) {
	j.mu.Lock()
	c := j.journal.chains[logOf(log)]
	if c != nil && !c.aside {
		c.lane.auditFirst(c)
	}
	j.mu.Unlock()
	if c != nil {
		c.lane.wake()
	}
}

// Subscribe implements [storage.Driver]. On [storage.NoticeChannel] fn sees the
// notices of other nodes only.
func (j *Journaled) Subscribe(ctx context.Context, channel string, fn func(storage.Message)) error {
	return j.driver.Subscribe(ctx, channel, func(m storage.Message) {
		switch {
		case m.Lost && !j.tells: // perhaps the backend was started anew, and empty
			j.auditEverything()
		case m.Lost:
			j.beatSoon() // tells whether it was
		case channel == storage.NoticeChannel:
			if n, err := storage.ParseNotice(m.Data); err == nil && j.Own(n.Producer) {
				return
			}
		}
		fn(m)
	})
}

// auditEverything has all that the journal could refill compared.
func (j *Journaled) auditEverything() {
	j.mu.Lock()
	for _, l := range j.lanes {
		l.auditDue = true
	}
	j.mu.Unlock()
	for _, l := range j.lanes {
		l.wake()
	}
}
