package disk

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/boltfile"
)

const (
	// expireInterval is how often logs that nobody writes any more are looked for.
	expireInterval = time.Hour
	// endInterval is how often what has ended is removed: documents, deletions and
	// queues. It has been invisible since its end.
	endInterval = time.Minute
	// A step of the janitor changes at most so much in one transaction, which
	// appends wait for.
	stepRecords = 1000
	stepSize    = 8 << 20
	// scanChunk is how many logs one read transaction visits: a long one would
	// keep freed pages from being used.
	scanChunk = 1000
	// slack is the part of MaxSize that is freed beyond it once it is reached.
	slack = 64
)

// found is what the janitor knows of a log.
type found struct {
	name    string
	written int64 // µs
	maxAge  time.Duration
	grave   bool // it was dropped
}

// clean removes what is too much or too old, step by step, until the driver is
// closed.
func (d *Driver) clean() {
	t := time.NewTicker(expireInterval)
	defer t.Stop()
	ends := time.NewTicker(endInterval)
	defer ends.Stop()
	for {
		select {
		case <-d.life.Done():
			return
		case <-d.full:
			d.makeRoom()
		case <-ends.C:
			d.removeEnded()
		case <-t.C:
			d.expire()
		}
	}
}

// measure notes how many bytes the file uses and wakes the janitor when these
// are too many. The committer calls it.
func (d *Driver) measure(used int64) {
	d.used.Store(used)
	if !d.roomMissing() {
		d.stuffed.Store(false)
	}
	if used <= d.maxSize {
		return
	}
	if d.stuffed.Load() {
		return // there is nothing to be done
	}
	select {
	case d.full <- struct{}{}:
	default:
	}
}

// carry has a job done in the committer's next transaction; false: not now.
func (d *Driver) carry(j job) bool {
	r := newRequest(d.life)
	r.job = j
	return d.do(r) == nil
}

func (d *Driver) roomMissing() bool { return d.used.Load() > d.maxSize-d.maxSize/slack }

// step changes one log and answers whether there is more to do in it.
type step func(c *committer, tx *bbolt.Tx, l *log, b *bbolt.Bucket, left *budget) (more bool, err error)

// walk takes a step in each log, several in one transaction, as long as wanted.
// It answers how many transactions that took, and false when one failed.
func (d *Driver) walk(logs []found, do step, wanted func() bool) (n int, ok bool) {
	for len(logs) > 0 && wanted() {
		ok := d.carry(func(c *committer, tx *bbolt.Tx) error {
			left := &budget{records: stepRecords, size: int(min(stepSize, d.maxSize/slack))}
			for ; len(logs) > 0; left.records-- { // a log costs something by itself
				more, err := c.step(tx, logs[0].name, do, left)
				if err != nil {
					return err
				}
				if more || left.records <= 0 || left.size <= 0 {
					break
				}
				logs = logs[1:]
			}
			return nil
		})
		// A transaction measures the file when it begins: one more, of nothing,
		// shows what this one has freed.
		if !ok || !d.carry(func(*committer, *bbolt.Tx) error { return nil }) {
			return n, false
		}
		n++
	}
	return n, true
}

func (c *committer) step(tx *bbolt.Tx, name string, do step, left *budget) (more bool, err error) {
	b := logBucket(tx, name)
	if b == nil {
		return false, nil
	}
	l, err := c.logs.get(name, b)
	if err != nil {
		return false, c.undamaged(err)
	}
	more, err = do(c, tx, l, b, left)
	return more && err == nil, c.undamaged(err)
}

// removeEnded removes what has ended, in small transactions. It answers false
// when one failed.
func (d *Driver) removeEnded() bool {
	for more := true; more; {
		ok := d.carry(func(c *committer, tx *bbolt.Tx) (err error) {
			more, err = c.expireStep(tx, &budget{records: stepRecords})
			return err
		})
		if !ok {
			return false
		}
	}
	return true
}

// makeRoom removes what has ended, then takes their history from the logs written
// longest ago, and when none has any more, forgets logs. When that is not enough
// the file is full: documents, queues and counters are not removed for others.
func (d *Driver) makeRoom() {
	if !d.removeEnded() {
		return
	}
	for _, do := range []step{evict, forgetEmpty} {
		logs := d.scan()
		slices.SortFunc(logs, func(a, b found) int { return cmp.Compare(a.written, b.written) })
		n, ok := d.walk(logs, do, d.roomMissing)
		if n > 0 {
			d.log.Warn("max_size is reached: the logs written longest ago have lost history",
				zap.Int64("max_size", d.maxSize), zap.Int64("used", d.used.Load()))
		}
		if !ok || !d.roomMissing() {
			return
		}
	}
	if used := d.used.Load(); used > d.maxSize && !d.stuffed.Swap(true) {
		d.log.Error("max_size is reached and no history is left to remove: nothing is accepted until something is deleted",
			zap.Int64("max_size", d.maxSize), zap.Int64("used", used))
	}
}

// evict removes the oldest records of a log; its state stays, so that readers
// are told.
func evict(c *committer, _ *bbolt.Tx, l *log, b *bbolt.Bucket, left *budget) (bool, error) {
	if l.oldest == 0 {
		return false, nil
	}
	c.written = true
	err := c.logs.remove(l, b, left)
	return l.oldest != 0, err
}

// forgetEmpty forgets a log of which nothing but the state is left.
func forgetEmpty(c *committer, tx *bbolt.Tx, l *log, b *bbolt.Bucket, _ *budget) (bool, error) {
	if l.oldest != 0 {
		return false, nil
	}
	return false, c.forget(tx, l, b)
}

// forget forgets a log without records, but not that it was dropped.
func (c *committer) forget(tx *bbolt.Tx, l *log, b *bbolt.Bucket) error {
	grave := l.meta.state
	grave.Epoch = 0
	c.hold(l, false)
	if grave.Forgotten(c.now()) {
		c.logs.drop(l)
		return c.removeLog(tx, l.name)
	}
	if !l.meta.state.Known() {
		return nil
	}
	c.written = true
	c.logs.drop(l)
	if err := b.Put(keyLogMeta, encodeLogMeta(logMeta{state: grave, written: l.meta.written})); err != nil {
		return fmt.Errorf("write gravestone of log %q: %w", l.name, err)
	}
	return nil
}

// expire goes through the logs idle for longer than their MaxAge: their entries
// lose their data, and logs whose ids need not be remembered either are
// forgotten.
func (d *Driver) expire() {
	logs := slices.DeleteFunc(d.scan(), func(l found) bool {
		return !l.grave && (l.maxAge <= 0 || d.idle(l.written) <= l.maxAge)
	})
	d.walk(logs, expireLog, func() bool { return true })
}

func (d *Driver) idle(written int64) time.Duration { return d.now().Sub(time.UnixMicro(written)) }

func expireLog(c *committer, tx *bbolt.Tx, l *log, b *bbolt.Bucket, left *budget) (bool, error) {
	age, idle := l.meta.state.MaxAge, c.idle(l.meta.written)
	switch {
	case !l.meta.state.Known():
		return false, c.forget(tx, l, b)
	case age <= 0 || idle <= age: // it was written meanwhile
		return false, nil
	case idle > max(age, storage.DedupAge):
		if l.oldest == 0 {
			return false, c.forget(tx, l, b)
		}
		c.written = true
		return true, c.logs.remove(l, b, left)
	case l.first != 0:
		c.written = true
		c.logs.mark(l)
		err := l.strip(b, math.MaxUint64, 0, left)
		return l.first != 0, err
	}
	return false, nil
}

// scan visits all logs. One whose metadata cannot be read is left alone.
func (d *Driver) scan() (logs []found) {
	var from []byte
	for d.life.Err() == nil {
		f := d.file.Load()
		if f == nil {
			return nil
		}
		var chunk []found
		err := boltfile.Guard(func() error {
			return f.DB.View(func(tx *bbolt.Tx) error {
				chunk, from = scanFrom(tx.Bucket(bucketLogs), from)
				return nil
			})
		})
		if err != nil {
			_ = d.readFailed(err)
			return nil
		}
		logs = append(logs, chunk...)
		if from == nil {
			return logs
		}
	}
	return nil
}

// scanFrom answers a number of logs and where the next ones begin; nil: nowhere.
func scanFrom(b *bbolt.Bucket, from []byte) (logs []found, next []byte) {
	c := b.Cursor()
	for k, _ := c.Seek(from); k != nil; k, _ = c.Next() {
		if len(logs) == scanChunk {
			return logs, slices.Clone(k)
		}
		l := b.Bucket(k)
		if l == nil {
			continue
		}
		m, err := decodeLogMeta(l.Get(keyLogMeta))
		if err != nil {
			continue
		}
		logs = append(logs, found{string(k), m.written, m.state.MaxAge, !m.state.Known()})
	}
	return logs, nil
}
