package resilient

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/actionflows/lifeline/internal/loglimit"
)

// often logs what may come with every call: the first time, and then at most once a
// minute, with a count.
type often struct {
	logger  *zap.Logger
	level   zapcore.Level
	message string
	unit    string        // what is counted
	gather  time.Duration // how long the first line waits for what comes with it

	mu     sync.Mutex
	first  time.Time // of those that no line has told of
	last   time.Time // of the last line
	met    int       // since then
	fields []zap.Field
}

// note counts n more of them; the fields are those of the latest.
func (o *often) note(n int, fields ...zap.Field) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if o.met == 0 {
		o.first = now
	}
	o.met += n
	o.fields = fields
	if o.wait(now) == 0 {
		o.tell(now)
	}
}

// rest logs what no line has told of, once it is time, and answers how long that is
// from now; 0: all is told.
func (o *often) rest(now time.Time) (again time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.met == 0 {
		return 0
	}
	if again = o.wait(now); again == 0 {
		o.tell(now)
	}
	return again
}

// wait is how long it is too early for a line; mu is held.
func (o *often) wait(now time.Time) time.Duration {
	due := o.first.Add(o.gather)
	if !o.last.IsZero() && o.last.Add(loglimit.Every).After(due) {
		due = o.last.Add(loglimit.Every)
	}
	return max(due.Sub(now), 0)
}

// tell logs what has come; mu is held.
func (o *often) tell(now time.Time) {
	if ce := o.logger.Check(o.level, o.message); ce != nil {
		ce.Write(append(o.fields, zap.Int(o.unit, o.met))...)
	}
	o.last, o.met = now, 0
}

// complaints are what a Journaled may have to say with every call.
type complaints struct {
	full      *often
	unwritten *often
	unread    *often
	aside     *often
	givenUp   *often
	discarded *often
	lost      *often
	refilled  *often
}

func newComplaints(logger *zap.Logger) complaints {
	at := func(level zapcore.Level, unit, message string) *often {
		return &often{logger: logger, level: level, unit: unit, message: message}
	}
	c := complaints{
		full: at(zap.ErrorLevel, "times",
			"the journal is full: what is published is refused until the storage takes what waits, or max_size is larger"),
		unwritten: at(zap.ErrorLevel, "times", "the journal cannot be written: what is published is refused"),
		unread:    at(zap.ErrorLevel, "times", "what waits to be stored cannot be read from the journal"),
		aside:     at(zap.ErrorLevel, "entries", "a log cannot be written and is set aside"),
		givenUp:   at(zap.ErrorLevel, "entries", "the backend will not take a write, which is given up"),
		discarded: at(zap.ErrorLevel, "discarded", "events of deleted logs were discarded"),
		lost: at(zap.WarnLevel, "partitions",
			"the backend has lost entries: what it has is compared with the journal"),
		refilled: at(zap.WarnLevel, "entries", "the backend has lost entries: they are stored again from the journal"),
	}
	// One loss shows in one partition after the other.
	c.lost.gather, c.refilled.gather = calmAfter, calmAfter
	return c
}

// rest is that of all of them: the shortest time, or 0.
func (c complaints) rest(now time.Time) (again time.Duration) {
	for _, o := range []*often{c.full, c.unwritten, c.unread, c.aside, c.givenUp, c.discarded, c.lost, c.refilled} {
		again = sooner(again, o.rest(now))
	}
	return again
}

// sooner is the shorter of two times, where 0 is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}
