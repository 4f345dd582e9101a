package resilient

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

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

// ship is the lane's one shipper: it carries entries to the backend, in order,
// until Close cancels it. It sleeps only where something is sure to wake it: an
// entry or an audit (work), a time, or, at an open breaker, a look every 25 ms.
func (l *lane) ship() {
	var sending, comparing pace
	for ctx := l.owner.ctx; ctx.Err() == nil; {
		send, compare, beat := l.due()
		if !send {
			sending = pace{}
		}
		if !send && !compare && !beat {
			l.sleep(l.work, time.Hour)
			continue
		}
		if l.look() {
			sending, comparing = pace{}, pace{}
			l.sleep(l.kick, restPoll)
			continue
		}
		if beat {
			_ = l.beatOnce(ctx) // a failure is the probe's to count
		}
		pause := time.Hour
		if send {
			if pause = sending.wait(); pause == 0 {
				sending.note(l.attempt())
			}
		}
		// Logs are compared when the backend works: not while a batch fails.
		if compare && sending.delay == 0 {
			wait := comparing.wait()
			if wait == 0 {
				comparing.note(l.compareSome(ctx))
			}
			pause = min(pause, wait)
		}
		if pause > 0 && (send || compare) {
			l.sleep(l.work, pause)
		}
	}
}

// sleep waits for wake, for d, or for the end.
func (l *lane) sleep(wake <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	case <-l.owner.ctx.Done():
	}
}

// due says what there is to do, and takes note that a beat will be.
func (l *lane) due() (send, compare, beat bool) {
	j := l.owner
	j.mu.Lock()
	defer j.mu.Unlock()
	send = len(l.queue) > 0
	compare = l.toCompare()
	beat, l.beatDue = l.beatDue, false
	if !send && !compare {
		j.noteDrained()
	}
	return send, compare, beat
}

// attempt ships one batch behind the breaker. The turn comes first, so that the
// rule about slow calls does not see the wait for it.
func (l *lane) attempt() error {
	ctx := l.owner.ctx
	if err := l.turn.lock(ctx); err != nil {
		return err
	}
	defer l.turn.unlock()
	token, err := l.breaker.Acquire()
	if err != nil {
		return err
	}
	defer token.Report(breaker.Failure) // a panic; does nothing once settled
	sent, err := l.shipBatch(ctx)
	switch {
	case sent == nothing: // the probe was faster, or the journal cannot be read
		token.Report(breaker.Ignore)
	case err == nil && sent == asked:
		reportAnswer(&token)
	case err == nil || ctx.Err() != nil:
		report(&token, ctx, err)
	default: // whatever it is, the batch was not taken
		token.Done(ctx, inTime(ctx, err))
	}
	l.look()
	return err
}

// probe notices the failure of an idle backend and that it has lost data, and
// brings an open breaker back early: it ships the head batch, and carries out a
// write of its own unless an open backend has proved by the batch that it works.
func (l *lane) probe(ctx context.Context) error {
	if err := l.turn.lock(ctx); err != nil {
		return err
	}
	defer l.turn.unlock()
	sent, err := l.shipBatch(ctx)
	if err == nil && (sent != written || !l.isOpen()) {
		err = l.beat(ctx)
	}
	l.owner.observer.look()
	return inTime(ctx, err)
}

func (l *lane) beatOnce(ctx context.Context) error {
	if err := l.turn.lock(ctx); err != nil {
		return err
	}
	defer l.turn.unlock()
	return l.beat(ctx)
}

// beat writes to every partition of the lane; turn is held. Where the backend does
// not tell of losses, a failure may have been one.
func (l *lane) beat(ctx context.Context) error {
	j := l.owner
	bounded, cancel := context.WithTimeout(ctx, j.cfg.BatchTimeout)
	defer cancel()
	if j.tells {
		return l.beatAll(bounded)
	}
	err := j.driver.Health(bounded)
	if err != nil {
		j.mu.Lock()
		l.auditDue = true
		j.mu.Unlock()
	}
	return err
}

// beatAll beats in every partition of the lane: where one breaker guards all of the
// driver's lanes, in each of these.
func (l *lane) beatAll(ctx context.Context) error {
	j := l.owner
	lanes := len(j.partitioned.Lanes())
	if len(j.lanes) > 1 || lanes < 2 {
		return j.partitioned.Beat(ctx, l.index)
	}
	failures := make([]error, lanes)
	var beats sync.WaitGroup
	for i := range lanes {
		beats.Go(func() { failures[i] = j.partitioned.Beat(ctx, i) })
	}
	beats.Wait()
	return errors.Join(failures...)
}

// beatSoon has every lane look whether its partitions are as they were.
func (j *Journaled) beatSoon() {
	j.mu.Lock()
	for _, l := range j.lanes {
		l.beatDue = true
	}
	j.mu.Unlock()
	for _, l := range j.lanes {
		l.wake()
	}
}

// sent is what a batch did to the backend.
type sent int

const (
	nothing sent = iota // there was none
	asked               // it was answered without a write: all was there, or refused
	written
)

// shipBatch sends what is queued, as much as fits one batch; turn is held. The
// error is why the batch, or a part of it, must be sent again.
func (l *lane) shipBatch(ctx context.Context) (did sent, err error) {
	j := l.owner
	j.mu.Lock()
	b := l.take(l.limit, j.cfg.BatchBytes)
	j.mu.Unlock()
	if len(b.entries) == 0 {
		return nothing, nil
	}
	if err := j.fill(&b); err != nil {
		j.complaints.unread.note(1, zap.Error(err))
		return nothing, err
	}
	if len(b.entries) == 0 {
		j.mu.Lock()
		l.prune()
		j.mu.Unlock()
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
	err = l.settle(b, results, err)
	// A backend that is too slow for a batch gets smaller ones.
	if late {
		l.limit = max(len(b.entries)/2, 1)
	} else if err == nil {
		l.limit = min(2*l.limit, j.cfg.BatchOps)
	}
	return did, err
}
