package resilient

import (
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient/internal/journalfile"
)

// Bounds of what is written to the journal's file at once: what a caller behind it
// waits for at most. lazyRecords is how much that nobody waits for may gather, and
// lazyAtOnce how many deletions, and how many places, are written at once.
const (
	commitEntries = 4096
	commitBytes   = 16 << 20
	lazyRecords   = 4096
	lazyAtOnce    = 4 * commitEntries
)

// mendEvery is the time between attempts to mend a file that could not be written.
const mendEvery = time.Second

// journalFile is the journal on disk; nil: there is none.
type journalFile interface {
	Commit(b journalfile.Batch) error
	Load(seqs []uint64) ([]journalfile.Record, error)
	Broken() bool
	Mend(after uint64) error
	Close() error
}

// write is what the committer writes at once.
type write struct {
	batch   journalfile.Batch
	entries []*entry
	placed  []*entry
	notices []*notice
	notes   *notes // the record that says where placed are; nil: there are none
}

// commit is the one goroutine that writes to the file: what has gathered while it
// wrote the last time, until Close says that nothing more comes.
func (j *Journaled) commit() {
	for last := false; !last; {
		select {
		case <-j.toWrite:
		case <-j.mendTimer():
			j.mend()
		case <-j.quit:
			last = true
		}
		for w := j.gather(last); w != nil; w = j.gather(last) {
			began := time.Now()
			if !j.write(w) {
				break // what is left nobody waits for: not again at once
			}
			if !last {
				j.linger(len(w.entries), time.Since(began))
			}
		}
	}
}

// maxLinger bounds linger where writing takes very long.
const maxLinger = 5 * time.Millisecond

// linger gives the callers of the last write, which had n entries and took so long,
// that time to come again. Without it the next write begins with the few who were
// quickest, the others wait for it to end, and every sync is for a part of them. A lone
// caller is kept only when he comes with fewer entries than before. PostgreSQL has this
// as commit_delay.
func (j *Journaled) linger(n int, most time.Duration) {
	waiting := func() int {
		j.mu.Lock()
		defer j.mu.Unlock()
		return len(j.journal.fresh)
	}
	timer := time.NewTimer(min(most, maxLinger))
	defer timer.Stop()
	for all := n + waiting(); waiting() < all; {
		select {
		case <-j.toWrite:
		case <-timer.C:
			return
		}
	}
}

// gather takes what is to be written; nil: nothing is, or nothing that is urgent
// unless all is wanted.
func (j *Journaled) gather(all bool) *write {
	j.mu.Lock()
	defer j.mu.Unlock()
	k := j.journal
	lazy := k.lazy()
	if len(k.fresh) == 0 && len(k.notices) == 0 && (lazy == 0 || !all && lazy < lazyRecords) {
		return nil
	}
	w := new(write)
	n, size := 0, int64(0)
	for n < len(k.fresh) && n < commitEntries && size < commitBytes {
		size += k.fresh[n].size
		n++
	}
	for _, e := range k.fresh[:n] {
		if e.in == nil {
			continue // discarded or dropped meanwhile: it would stay in the file for ever
		}
		w.entries = append(w.entries, e)
		w.batch.Records = append(w.batch.Records, e.record())
	}
	if k.fresh = k.fresh[n:]; len(k.fresh) > 0 {
		return w // what is told of them comes behind them
	}
	k.fresh = nil
	w.batch.Delete, k.deletes = cut(k.deletes, lazyAtOnce)
	if len(k.deletes) == 0 { // else those who wait for all deletions wait on
		k.noteTaken(w)
	}
	k.notePlaces(w)
	return w
}

// cut divides a list into the first n and the rest.
func cut[T any](list []T, n int) (first, rest []T) {
	if len(list) <= n {
		return list, nil
	}
	return list[:n:n], list[n:]
}

// lazy counts what the file is to be told and nobody waits for.
func (k *journal) lazy() int { return len(k.placed) + len(k.deletes) }

// noteTaken adds the records that say which items were handed out.
func (k *journal) noteTaken(w *write) {
	w.notices, k.notices = k.notices, nil
	for _, n := range w.notices {
		if len(n.taken) == 0 {
			continue
		}
		k.seq++
		n.notes = &notes{seq: k.seq}
		r := journalfile.Record{Seq: k.seq, Kind: journalfile.Taken, At: time.Now()}
		for _, e := range n.taken {
			r.Seqs = append(r.Seqs, e.seq)
		}
		w.batch.Records = append(w.batch.Records, r)
	}
}

// notePlaces adds the record that says where entries were stored.
func (k *journal) notePlaces(w *write) {
	var places []journalfile.Place
	var placed []*entry
	placed, k.placed = cut(k.placed, lazyAtOnce)
	for _, e := range placed {
		if e.in != &k.shipped {
			continue
		}
		w.placed = append(w.placed, e)
		at := e.result.Cursor
		places = append(places, journalfile.Place{Seq: e.seq, Epoch: at.Epoch, Pos: at.Pos, Foreign: e.foreign})
	}
	if len(places) == 0 {
		return
	}
	k.seq++
	w.notes = &notes{seq: k.seq}
	w.batch.Records = append(w.batch.Records, journalfile.Record{
		Seq: k.seq, Kind: journalfile.Placed, At: time.Now(), Places: places,
	})
}

func (e *entry) record() journalfile.Record {
	op := e.op
	switch o := op.(type) {
	case *storage.Append:
		a := *o
		a.Link, a.Epoch = e.link, e.epoch
		op = &a
	case *storage.Push:
		p := *o
		p.Link, p.Taken = e.link, e.taken
		op = &p
	case *storage.Add:
		a := *o
		a.Link = e.link
		op = &a
	}
	return journalfile.Record{Seq: e.seq, Kind: journalfile.Entry, At: e.at, Op: op}
}

// write has the file take w, and tells whoever waits for it.
func (j *Journaled) write(w *write) (ok bool) {
	err := j.file.Commit(w.batch)
	if err != nil {
		j.unwritten(w, err)
		return false
	}
	j.mu.Lock()
	relieved := j.journal.careful
	j.journal.careful, j.unwritable = false, nil
	lanes := map[*lane]struct{}{}
	for _, e := range w.entries {
		if e.in == nil {
			continue // dropped while it was written
		}
		j.journal.secured(e)
		if relieved {
			lanes[e.chain.lane] = struct{}{}
		}
	}
	for _, e := range w.placed {
		if e.in == &j.journal.shipped {
			j.journal.replace(&e.noted, w.notes)
		}
	}
	j.journal.finish(w.notes)
	for _, n := range w.notices {
		for _, e := range n.taken {
			if e.in != nil {
				j.journal.replace(&e.takenNote, n.notes)
			}
		}
		j.journal.finish(n.notes)
	}
	j.written = max(j.written, lastSeq(w))
	j.mu.Unlock()
	if relieved {
		j.observer.look()
	}
	for l := range lanes {
		l.wake()
	}
	w.answer(nil)
	return true
}

func lastSeq(w *write) (seq uint64) {
	for _, r := range w.batch.Records {
		seq = max(seq, r.Seq)
	}
	return seq
}

func (w *write) answer(err error) {
	for _, n := range w.notices {
		n.done <- err
	}
}

// unwritten deals with what the file did not take, and what was accepted behind it:
// none of it was acknowledged, and all of it is refused. What was not sent to the
// backend either is taken back. What was sent may be there, so its number is used;
// the same id again is another entry, which the backend recognises.
func (j *Journaled) unwritten(w *write, err error) {
	err = refusal(err)
	j.mu.Lock()
	k := j.journal
	back := append(w.entries, k.fresh...)
	w.notices = append(w.notices, k.notices...)
	k.fresh, k.notices = nil, nil
	deletes := k.deletes // none for what the file never had
	for _, e := range slices.Backward(back) {
		switch {
		case e.in == nil:
		case e.sent:
			k.disown(e, err)
		default:
			k.takeBack(e, err)
		}
	}
	k.careful, j.unwritable = true, err
	for _, l := range j.lanes {
		l.prune()
	}
	k.placed = append(w.placed, k.placed...)
	k.deletes = append(w.batch.Delete, deletes...)
	if j.file.Broken() {
		if j.broken == nil {
			j.mendAt = time.Now().Add(mendEvery)
		}
		j.broken = err
	}
	j.mu.Unlock()
	j.complaints.unwritten.note(max(len(back), 1), zap.Error(err))
	j.observer.look()
	w.answer(err)
}

// takeBack undoes an add: e is the last of its chain.
func (k *journal) takeBack(e *entry, err error) {
	c := e.chain
	if e.link.Number > 0 {
		c.last--
	}
	k.discard(e, err)
}

// disown refuses an entry that may be in the backend.
func (k *journal) disown(e *entry, err error) {
	e.err = err
	k.forgetID(e)
	e.settled()
}

// refusal is the error of the file as callers get it.
func refusal(err error) error {
	if _, known := errors.AsType[*storage.UnavailableError](err); known {
		return err
	}
	return &storage.UnavailableError{Reason: "the journal cannot be written", RetryAfter: mendEvery, Err: err}
}

// mendTimer fires when a broken file is to be mended; nil, never, if it is whole.
func (j *Journaled) mendTimer() <-chan time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken == nil {
		return nil
	}
	return time.After(time.Until(j.mendAt))
}

// mend opens a broken file again, without what was being written to it.
func (j *Journaled) mend() {
	j.mu.Lock()
	after := j.written
	j.mendAt = time.Now().Add(mendEvery)
	j.mu.Unlock()
	if j.file.Mend(after) != nil {
		return // it has said so
	}
	j.mu.Lock()
	j.broken, j.unwritable = nil, nil
	j.mu.Unlock()
	j.observer.look()
}

// barrier waits until what the file has been told so far is in it: that these items
// were taken, and all deletions.
func (j *Journaled) barrier(taken []*entry) error {
	if j.file == nil {
		return nil
	}
	n := &notice{taken: taken, done: make(chan error, 1)}
	j.mu.Lock()
	if j.committed {
		j.mu.Unlock()
		return storage.ErrClosed
	}
	j.journal.notices = append(j.journal.notices, n)
	j.mu.Unlock()
	j.wakeCommitter()
	return <-n.done
}
