package resilient

import (
	"context"
	"sync"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
)

// An audit compares logs in turns, between batches, so that it never holds up
// the entries of others: auditTurn logs in a turn, auditReads at a time.
const (
	auditTurn  = 128
	auditReads = 16
)

// compareSome compares the logs of one turn with the journal. Logs that could
// not be read are compared again.
func (j *Journaled) compareSome(ctx context.Context) error {
	if err := j.lane.lock(ctx); err != nil {
		return err
	}
	defer j.lane.unlock()
	j.mu.Lock()
	chains := j.journal.takeAudit(auditTurn)
	j.mu.Unlock()
	states, errs := j.readStates(ctx, chains)

	j.mu.Lock()
	defer j.mu.Unlock()
	var failed error
	refilled, logs := 0, 0
	for i, c := range chains {
		switch err := errs[i]; {
		case err == nil:
			if n := j.journal.compare(c, states[i]); n > 0 {
				refilled += n
				logs++
			}
		case permanent(err):
			// It cannot be read; what is to be written to it will tell.
			c.gapped = false
			j.journal.enqueue(c)
		default:
			failed = err
			j.journal.auditFirst(c)
		}
	}
	if refilled > 0 {
		j.logger.Warn("the backend has lost entries: they are stored again from the journal",
			zap.Int("logs", logs), zap.Int("entries", refilled))
		j.observer.look()
	}
	return failed
}

// readStates reads the state of each log from the backend.
func (j *Journaled) readStates(ctx context.Context, chains []*chain) ([]storage.LogState, []error) {
	states, errs := make([]storage.LogState, len(chains)), make([]error, len(chains))
	ctx, cancel := context.WithTimeout(ctx, j.cfg.ReadTimeout)
	defer cancel()
	var readers sync.WaitGroup
	for first := range min(auditReads, len(chains)) {
		readers.Go(func() {
			for i := first; i < len(chains); i += auditReads {
				page, err := j.driver.ReadLog(ctx, chains[i].log, storage.LogQuery{Limit: 1})
				states[i], errs[i] = page.State, err
			}
		})
	}
	readers.Wait()
	return states, errs
}

// suspect has a log compared soon: a read has shown that it lost entries.
func (j *Journaled) suspect(log string) {
	j.mu.Lock()
	if c := j.journal.chains[log]; c != nil && !c.aside {
		j.journal.auditFirst(c)
	}
	j.mu.Unlock()
	j.wakeShipper()
}

// Subscribe implements [storage.Driver]. On [storage.NoticeChannel] fn sees the
// notices of other nodes only.
func (j *Journaled) Subscribe(ctx context.Context, channel string, fn func(storage.Message)) error {
	return j.driver.Subscribe(ctx, channel, func(m storage.Message) {
		if m.Lost { // perhaps the backend was started anew, and empty
			j.mu.Lock()
			j.journal.auditDue = true
			j.mu.Unlock()
			j.wakeShipper()
		} else if channel == storage.NoticeChannel {
			if n, err := storage.ParseNotice(m.Data); err == nil && j.Own(n.Producer) {
				return
			}
		}
		fn(m)
	})
}
