package disk

import (
	"errors"
	"syscall"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/boltfile"
)

// Attempts to reopen a file after an error are this far apart.
const (
	minPause = 250 * time.Millisecond
	maxPause = 10 * time.Second
)

// retryFull is when to try again on a full disk: people must make room.
const retryFull = 5 * time.Second

func unavailable(err error) *storage.UnavailableError {
	u := &storage.UnavailableError{Reason: "writing to the disk failed", RetryAfter: time.Second, Err: err}
	switch {
	case boltfile.IsFull(err):
		u.Reason, u.RetryAfter = "the disk is full", retryFull
	case errors.Is(err, syscall.EROFS):
		u.Reason = "the disk is read-only"
	case errors.Is(err, boltfile.ErrPanic):
		u.Reason = "the event file cannot be read"
	}
	return u
}

// unavailable is the answer while the file is closed after an error.
func (d *Driver) unavailable() *storage.UnavailableError {
	if u := d.cause.Load(); u != nil {
		return u
	}
	return &storage.UnavailableError{Reason: "the event file is being reopened", RetryAfter: time.Second}
}

// readFailed turns what a read met into the answer for its caller.
func (d *Driver) readFailed(err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen), errors.Is(err, bolterrors.ErrInvalidMapping):
		return d.unavailable()
	case errors.Is(err, boltfile.ErrPanic):
		d.suspect.Store(true)
		d.log.Error("reading the event file failed; it will be checked when it is opened next", zap.Error(err))
		return unavailable(err)
	case isDamaged(err):
		d.log.Error("a damaged record cannot be read", zap.Error(err))
		return poison(err)
	default:
		return err
	}
}

// failed deals with a commit that failed and answers what its callers are told.
func (c *committer) failed(err error) error {
	c.logs = newLogs()
	u := unavailable(err)
	switch {
	case errors.Is(err, errDamaged):
		c.log.Error("commit failed at a damaged record", zap.Error(err))
	case boltfile.IsHarmless(err):
		if !c.refused {
			c.log.Error("disk is full: nothing is accepted until there is room; reads go on", zap.Error(err))
		}
		c.refused = true
	default:
		c.log.Error("commit failed: the event file is closed until it could be reopened and checked",
			zap.String("reason", u.Reason), zap.Error(err))
		c.giveUp(err, u)
	}
	return u
}

func (c *committer) succeeded() {
	if c.refused {
		c.refused = false
		c.log.Info("disk accepts writes again")
	}
}

// giveUp closes the file and begins to try to reopen it.
func (c *committer) giveUp(err error, u *storage.UnavailableError) {
	c.cause.Store(u)
	f := c.file.Swap(nil)
	if errors.Is(err, boltfile.ErrPanic) {
		f.Abandon() // bbolt may have kept its locks
	} else {
		_ = f.Close()
	}
	c.pause = minPause
	c.retry = time.NewTimer(c.pause)
}

// reopened is what an attempt came to.
type reopened struct {
	file *file
	err  error
}

// reopen makes an attempt beside the committer, which goes on answering: the
// check of a large file takes a while.
func (c *committer) reopen() {
	c.retry = nil
	attempt := make(chan reopened, 1)
	c.reopened = attempt
	go func() {
		f, err := c.opener.open(true)
		attempt <- reopened{f, err}
	}()
}

func (c *committer) resume(r reopened) {
	c.reopened = nil
	if r.err != nil {
		c.pause = min(2*c.pause, maxPause)
		c.retry = time.NewTimer(c.pause)
		c.log.Warn("event file cannot be reopened yet", zap.Duration("next_attempt", c.pause), zap.Error(r.err))
		return
	}
	c.file.Store(r.file)
	c.cause.Store(nil)
	c.log.Info("event file is open again")
}

// stopReopening waits for an attempt that is running.
func (c *committer) stopReopening() {
	if c.retry != nil {
		c.retry.Stop()
	}
	if c.reopened != nil {
		c.resume(<-c.reopened)
		if c.retry != nil {
			c.retry.Stop()
		}
	}
}
