package resilient

import (
	"context"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// Pauses of the shipper.
const (
	paceMin  = 10 * time.Millisecond  // after a failed attempt, doubled
	paceMax  = 250 * time.Millisecond // at each further one, up to this
	restPoll = 25 * time.Millisecond  // between looks at an open breaker
)

// pace spaces the retries of one kind of work.
type pace struct {
	delay time.Duration // 0: the last attempt succeeded
	next  time.Time
}

func (p *pace) note(err error) {
	if err == nil {
		*p = pace{}
		return
	}
	p.delay = min(max(2*p.delay, paceMin), paceMax)
	p.next = time.Now().Add(p.delay)
}

// wait is how long the work must still wait.
func (p *pace) wait() time.Duration {
	if p.delay == 0 {
		return 0
	}
	return max(time.Until(p.next), 0)
}

// ship is the one shipper: it carries entries to the backend, in order, until
// Close cancels it. It sleeps only where something is sure to wake it: an append
// or an audit (work), a time, or, at an open breaker, a look every 25 ms.
func (j *Journaled) ship() {
	var sending, comparing pace
	for j.ctx.Err() == nil {
		send, compare := j.due()
		if !send {
			sending = pace{}
		}
		if !send && !compare {
			j.sleep(j.work, time.Hour)
			continue
		}
		if j.lookAtBreaker() {
			sending, comparing = pace{}, pace{}
			j.sleep(j.kick, restPoll)
			continue
		}
		pause := time.Hour
		if send {
			if pause = sending.wait(); pause == 0 {
				sending.note(j.attempt())
			}
		}
		// Logs are compared when the backend works: not while a batch fails.
		if compare && sending.delay == 0 {
			wait := comparing.wait()
			if wait == 0 {
				comparing.note(j.compareSome(j.ctx))
			}
			pause = min(pause, wait)
		}
		if pause > 0 {
			j.sleep(j.work, pause)
		}
	}
}

// sleep waits for wake, for d, or for the end.
func (j *Journaled) sleep(wake <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	case <-j.ctx.Done():
	}
}

// due says what there is to do. When that is nothing, it tells Close.
func (j *Journaled) due() (send, compare bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	send = len(j.journal.queue) > 0
	compare = j.journal.auditDue || len(j.journal.audit) > 0
	if !send && !compare && j.drained != nil {
		close(j.drained)
		j.drained = nil
	}
	return send, compare
}

// attempt ships one batch behind the breaker. The lane comes first, so that the
// rule about slow calls does not see the wait for it.
func (j *Journaled) attempt() error {
	if err := j.lane.lock(j.ctx); err != nil {
		return err
	}
	defer j.lane.unlock()
	token, err := j.breaker.Acquire()
	if err != nil {
		return err
	}
	defer token.Report(breaker.Failure) // a panic; does nothing once settled
	sent, err := j.shipBatch(j.ctx)
	switch {
	case sent == nothing: // the probe was faster
		token.Report(breaker.Ignore)
	case err == nil && sent == asked:
		reportAnswer(&token)
	case err == nil || j.ctx.Err() != nil:
		report(&token, j.ctx, err)
	default: // whatever it is, the batch was not taken
		token.Done(j.ctx, err)
	}
	j.lookAtBreaker()
	return err
}

// probe notices the failure of an idle backend, and brings an open breaker back
// early: it ships the head batch, and carries out a write of its own when nothing
// is pending or what is pending was there already.
func (j *Journaled) probe(ctx context.Context) error {
	if err := j.lane.lock(ctx); err != nil {
		return err
	}
	defer j.lane.unlock()
	sent, err := j.shipBatch(ctx)
	if err == nil && sent != written {
		bounded, cancel := context.WithTimeout(ctx, j.cfg.BatchTimeout)
		defer cancel()
		err = j.driver.Health(bounded)
		if err != nil {
			j.mu.Lock()
			j.journal.auditDue = true
			j.mu.Unlock()
		}
	}
	j.observer.look()
	return err
}

// sent is what a batch did to the backend.
type sent int

const (
	nothing sent = iota // there was none
	asked               // it was answered without a write: all was there, or refused
	written
)

// shipBatch sends what is queued, as much as fits one batch. lane is held. The
// error is why the batch, or a part of it, must be sent again.
func (j *Journaled) shipBatch(ctx context.Context) (did sent, err error) {
	j.mu.Lock()
	b := j.journal.take(j.limit, j.cfg.BatchBytes)
	j.mu.Unlock()
	if len(b.entries) == 0 {
		return nothing, nil
	}
	bounded, cancel := context.WithTimeout(ctx, j.cfg.BatchTimeout)
	results, err := j.driver.Apply(bounded, b.ops)
	late := bounded.Err() != nil && ctx.Err() == nil
	cancel()
	did = asked
	if wrote(results) {
		did = written
	}
	err = j.settle(b, results, err)
	// A backend that is too slow for a batch gets smaller ones.
	if late {
		j.limit = max(len(b.entries)/2, 1)
	} else if err == nil {
		j.limit = min(2*j.limit, j.cfg.BatchOps)
	}
	return did, err
}
