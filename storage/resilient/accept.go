package resilient

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
)

// accept numbers ops and puts them into the journal, all or none.
func (j *Journaled) accept(ops []storage.Op) (claims []claim, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, storage.ErrClosed
	}
	now := time.Now()
	var size int64
	for _, op := range ops {
		if id := idOf(op); id == "" || j.journal.ids[idKey{targetOf(op), id}] == nil {
			size += opSize(op)
		}
	}
	switch {
	case size > 0 && j.broken != nil:
		return nil, j.broken
	case size > 0 && !j.journal.fits(size):
		err := &storage.UnavailableError{
			Reason:     "the journal of events that wait to be stored is full",
			RetryAfter: time.Second,
		}
		j.tooMuch = size
		j.complaints.full.note(1, zap.Int("waiting", j.journal.waiting), zap.Int64("max_size", j.cfg.MaxBytes))
		j.observer.look()
		return nil, err
	}
	claims = make([]claim, len(ops))
	for i, op := range ops {
		claims[i] = j.claim(op, now)
	}
	j.wakeFor(claims)
	return claims, nil
}

// wakeFor wakes whoever carries the claims on; mu is held.
func (j *Journaled) wakeFor(claims []claim) {
	if j.file != nil {
		j.wakeCommitter()
	}
	for _, c := range claims {
		if c.e != nil {
			c.e.chain.lane.wake()
		}
	}
}

// reclaim accepts an append once more.
func (j *Journaled) reclaim(op storage.Op, tries int) claim {
	again, err := j.accept([]storage.Op{op})
	if err != nil {
		return claim{err: err, tries: tries}
	}
	again[0].tries = tries
	return again[0]
}

func (j *Journaled) claim(op storage.Op, now time.Time) claim {
	if err := storage.Check(op); err != nil {
		return claim{err: err}
	}
	t := targetOf(op)
	if c := j.journal.chains[t]; c != nil && c.aside {
		if now.Sub(c.asideAt) < asideRetry {
			return claim{err: errAside}
		}
		j.journal.revive(c)
		c.lane.wake()
	}
	if id := idOf(op); id != "" {
		if e := j.journal.ids[idKey{t, id}]; e != nil && !e.over(now) {
			return claim{e: e, repeat: true}
		}
	}
	if push, ok := op.(*storage.Push); ok && j.fullQueue(push, now) {
		return claim{err: storage.ErrFull}
	}
	return claim{e: j.journal.add(op, now)}
}

// fullQueue reports whether what is known of a queue while the backend is away is
// as much as it may hold; mu is held.
func (j *Journaled) fullQueue(push *storage.Push, now time.Time) bool {
	c := j.journal.chains[targetOf(push)]
	if push.MaxLen <= 0 || c == nil || !c.lane.isOpen() {
		return false
	}
	waiting := 0
	for _, e := range c.unshipped() {
		if !e.taken && !e.over(now) {
			waiting++
		}
	}
	return waiting >= push.MaxLen
}

var errAside = &storage.UnavailableError{
	Reason: "this log cannot be written", RetryAfter: asideRetry,
	Err: errors.New("the backend refused it several times"),
}

// answer is the result for a claim, once there is one; otherwise wait and opened
// say when to ask again. hurry: an entry that is pending is acknowledged as such.
func (j *Journaled) answer(c claim, op storage.Op, hurry bool) (r storage.Result, done bool, wait, opened <-chan struct{}) {
	if c.err != nil {
		return storage.Result{Err: c.err}, true, nil, nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	e := c.e
	switch {
	case e.err != nil:
		return storage.Result{Err: e.err}, true, nil, nil
	case e.placed && e.durable && (e.in == nil || e.inBackend()):
		return e.storedResult(c.repeat), true, nil, nil
	case e.chain.aside:
		return storage.Result{Err: errAside}, true, nil, nil
	}
	l := e.chain.lane
	// The shipper of an idle lane sleeps, and has not looked since the breaker closed.
	hurry = l.lookLocked() || hurry
	mayPend := !j.closed || j.file != nil // on the way out nothing volatile is promised
	if e.durable && (e.acked || hurry && mayPend) {
		return j.pendingResult(e, op, c.repeat), true, nil, nil
	}
	if hurry {
		e.hurried = true
	} else {
		opened = l.opened
	}
	return storage.Result{}, false, e.changes(), opened
}

func (e *entry) storedResult(repeat bool) storage.Result {
	r := e.result
	r.Duplicate = repeat || e.foreign
	r.Exists = r.Exists || repeat
	if !e.foreign {
		r.Link = e.link
	}
	return r
}

// pendingResult acknowledges an entry that is not in the backend; mu is held.
func (j *Journaled) pendingResult(e *entry, op storage.Op, repeat bool) storage.Result {
	if j.journal.waiting == 0 {
		j.observer.look()
	}
	exists := repeat || j.exists(e, op)
	j.journal.acknowledge(e)
	r := storage.Result{
		ReceivedAt: e.at.UTC().Truncate(time.Microsecond),
		Link:       e.link,
		Duplicate:  repeat,
		Exists:     exists,
		Pending:    true,
		Volatile:   j.file == nil,
	}
	if e.chain.kind == aLog {
		r.Cursor = e.chain.headCursor(time.Now()).With(e.link)
	}
	return r
}

// exists is Result.Exists as far as this node knows, and true where it does not;
// mu is held.
func (j *Journaled) exists(e *entry, op storage.Op) bool {
	switch op := op.(type) {
	case *storage.Append:
		return e.chain.known || e.link.Number > 1
	case *storage.Put:
		return j.existed(e, op.ID)
	case *storage.Del:
		return j.existed(e, op.ID)
	}
	return true
}

// existed reports whether the document that e writes was there before.
func (j *Journaled) existed(e *entry, id string) bool {
	if e.earlier != nil && e.earlier.waits() {
		_, put := e.earlier.op.(*storage.Put)
		return put || e.earlier.op == nil
	}
	_, found, known := j.documents.get(e.chain.name, id, time.Now())
	return found || !known
}
