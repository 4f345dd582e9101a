package resilient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
)

// JournaledConfig is what [NewJournaled] needs. Driver and Breakers must be set;
// the zero value of another field means its default, and a negative one is an
// error.
type JournaledConfig struct {
	Driver storage.Driver
	// Breakers are one for each lane of the driver, in the order of its Lanes, or
	// one alone. They remain their maker's, who closes them after Journaled.
	Breakers []*breaker.Breaker
	Logger   *zap.Logger // default: none

	// Dir is where the journal lies; it is made if it is not there. Default: none,
	// the journal is in memory and what is pending dies with the process.
	Dir string
	// MaxBytes bounds what the journal holds, estimated: data, ids and 512 bytes
	// for each entry. Default 1 GiB, in memory 64 MiB.
	MaxBytes int64
	// Retain is how long stored entries are kept for refilling a backend that
	// lost them, if MaxBytes allows. Default 1 h.
	Retain time.Duration
	// AckAfter is how long an append waits for the backend before it is
	// acknowledged as pending. Default 250 ms.
	AckAfter time.Duration
	// BatchTimeout is the deadline of one batch, and of any other write.
	// Default 300 ms.
	BatchTimeout time.Duration
	// ReadTimeout is the deadline of one ReadLog in the backend. Default 300 ms.
	ReadTimeout time.Duration
	// ProbeEvery is the time between probes of the backend while the breaker is
	// closed. A probe is a write; three that fail in a row open the breaker, so
	// that the failure of an idle backend is noticed within 16 s by default.
	// Default 5 s.
	ProbeEvery time.Duration
	// BatchOps and BatchBytes bound one batch, though it holds at least one
	// entry. Defaults 512 and 1 MiB.
	BatchOps   int
	BatchBytes int64
}

func (c *JournaledConfig) setDefaults(partitioned storage.Partitioned) error {
	if c.Driver == nil || len(c.Breakers) == 0 || slices.Contains(c.Breakers, nil) {
		return errors.New("resilient: a driver and a breaker are needed")
	}
	lanes := 1
	if partitioned != nil {
		lanes = max(len(partitioned.Lanes()), 1)
	}
	if n := len(c.Breakers); n != 1 && n != lanes {
		return fmt.Errorf("resilient: %d breakers for %d lanes", n, lanes)
	}
	maxBytes := int64(64 << 20)
	if c.Dir != "" {
		maxBytes = 1 << 30
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return errors.Join(
		byDefault("MaxBytes", &c.MaxBytes, maxBytes),
		byDefault("Retain", &c.Retain, time.Hour),
		byDefault("AckAfter", &c.AckAfter, 250*time.Millisecond),
		byDefault("BatchTimeout", &c.BatchTimeout, 300*time.Millisecond),
		byDefault("ReadTimeout", &c.ReadTimeout, 300*time.Millisecond),
		byDefault("ProbeEvery", &c.ProbeEvery, breaker.DefaultWatchEvery),
		byDefault("BatchOps", &c.BatchOps, 512),
		byDefault("BatchBytes", &c.BatchBytes, 1<<20),
	)
}

func byDefault[T int | int64 | time.Duration](name string, v *T, def T) error {
	if *v < 0 {
		return fmt.Errorf("resilient: %s is negative", name)
	}
	if *v == 0 {
		*v = def
	}
	return nil
}

// closeTimeout is how long Close goes on shipping.
const closeTimeout = 2 * time.Second

// Journaled is a remote driver behind breakers and a journal. It implements
// [Storage]; all methods are safe for concurrent use.
//
// mu guards the journal, the lanes' queues and the fields below it. It is never
// held over a call of the driver, the file, a breaker (its State aside) or a subscriber.
type Journaled struct {
	cfg         JournaledConfig
	driver      storage.Driver
	partitioned storage.Partitioned // nil: the driver is not
	tells       bool                // the driver tells of losses
	place       func(storage.Op) (partition string, lane int)
	lanes       []*lane
	file        journalFile // nil: the journal is in memory
	mirror      *mirror
	documents   *documents
	stamps      stamps
	drops       atomic.Uint64 // logs that the mirror was made to forget

	logger     *zap.Logger
	observer   *observer
	chronic    chronicle
	fallback   *fallbackLog
	complaints complaints

	mu        sync.Mutex
	journal   *journal
	closed    bool
	committed bool          // the committer takes nothing more
	drained   chan struct{} // Close waits for it; nil: nobody does
	written   uint64        // the highest place that is in the file
	broken    error         // why the file cannot be written; nil: it can
	// unwritable is why the file has not taken what it was told last, and tooMuch the
	// size of what was refused last because the journal was full.
	unwritable error
	tooMuch    int64
	mendAt     time.Time // when to try to mend it next

	toWrite chan struct{} // there may be something for the committer to do
	quit    chan struct{} // closed when it is to write what is left and end

	ctx       context.Context // ends when Close stops waiting
	cancel    context.CancelFunc
	stopped   sync.WaitGroup // shippers, probes, observer
	committer sync.WaitGroup
	close     sync.Once
	err       error // of Close
}

var _ Storage = (*Journaled)(nil)

// openProbe is the time between probes while a breaker is open. All is to be normal
// within 0.4 s after Redis is back, and most of that is for what has waited.
const openProbe = 50 * time.Millisecond

// NewJournaled opens the journal and starts its shippers before cfg.Driver, which
// it owns from then on, unless it answers an error. What an earlier run of this
// node has left in the journal is shipped first.
func NewJournaled(cfg JournaledConfig) (*Journaled, error) {
	j, err := newJournaled(cfg)
	if err != nil {
		return nil, err
	}
	j.start()
	return j, nil
}

func (j *Journaled) start() {
	if j.file != nil {
		j.committer.Go(j.commit)
	}
	for _, l := range j.lanes {
		j.stopped.Go(l.ship)
		j.stopped.Go(func() { // its configuration has been checked
			_ = l.breaker.Watch(j.ctx, breaker.WatchConfig{Every: j.cfg.ProbeEvery, OpenEvery: openProbe}, l.probe)
		})
	}
	j.stopped.Go(func() { j.observer.run(j.ctx.Done()) })
}

// newJournaled is one with nothing running.
func newJournaled(cfg JournaledConfig) (*Journaled, error) {
	partitioned, _ := cfg.Driver.(storage.Partitioned)
	if err := cfg.setDefaults(partitioned); err != nil {
		return nil, err
	}
	j := &Journaled{
		cfg: cfg, driver: cfg.Driver, partitioned: partitioned, tells: partitioned != nil,
		logger:    cfg.Logger.With(zap.String("source", logSource)),
		mirror:    newMirror(defaultMirrorBounds),
		documents: newDocuments(0),
		toWrite:   make(chan struct{}, 1),
		quit:      make(chan struct{}),
	}
	j.complaints = newComplaints(j.logger)
	j.fallback = newFallbackLog(cfg.Logger, cfg.Breakers, "acknowledged from the journal")
	j.observer = newObserver(j.Status, j.chronicle)
	j.ctx, j.cancel = context.WithCancel(context.Background())
	for i, b := range cfg.Breakers {
		j.lanes = append(j.lanes, newLane(j, i, b))
	}
	j.place = func(storage.Op) (string, int) { return "", 0 }
	if j.tells {
		j.place = j.placeIn
		partitioned.OnLoss(j.lost)
	}
	j.journal = newJournal(&cfg, j.place, j.lanes)
	if cfg.Dir == "" {
		return j, nil
	}
	if err := j.open(); err != nil {
		j.cancel()
		return nil, err
	}
	return j, nil
}

// placeIn is where the driver has what an operation changes; with a single breaker
// everything is in one lane.
func (j *Journaled) placeIn(op storage.Op) (string, int) {
	partition, lane := j.partitioned.Partition(op)
	if len(j.lanes) == 1 {
		lane = 0
	}
	return partition, lane
}

// Producer is the producer under which this node numbers what it accepts now. At
// each start, and after some 65,000 idle targets have been forgotten, it is another
// one; Own knows them all.
func (j *Journaled) Producer() storage.Producer {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.journal.producer
}

// Own reports whether p is a producer of this node since it started.
func (j *Journaled) Own(p storage.Producer) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, ok := j.journal.own[p]
	return ok
}

// Close refuses what comes, goes on shipping for at most 2 s unless every breaker
// is open, and closes journal and driver. Callers still waiting answer
// [storage.ErrClosed]. It logs how many acknowledged entries wait in the journal
// for the next start or, without a directory, are lost.
func (j *Journaled) Close() error {
	j.close.Do(func() {
		waiting, err := j.end()
		switch {
		case waiting > 0 && j.file == nil:
			j.logger.Error("acknowledged events were not stored and are lost", zap.Int("lost", waiting))
		case waiting > 0:
			j.logger.Warn("acknowledged events wait in the journal and are stored after the next start",
				zap.Int("pending", waiting), zap.String("journal", j.cfg.Dir))
		}
		j.err = errors.Join(err, j.driver.Close())
	})
	return j.err
}

// end stops everything but the driver, and answers how many acknowledged entries
// are not in the backend.
func (j *Journaled) end() (waiting int, err error) {
	j.finish()
	j.cancel()
	j.stopped.Wait()
	j.mu.Lock()
	j.committed = true
	j.mu.Unlock()
	close(j.quit)
	j.committer.Wait()
	if j.file != nil {
		err = j.file.Close()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.journal.waiting, err
}

// finish refuses what comes and waits until the shippers have nothing left.
func (j *Journaled) finish() {
	drained := make(chan struct{})
	j.mu.Lock()
	j.closed, j.drained = true, drained
	j.mu.Unlock()
	timeout := time.NewTimer(closeTimeout)
	defer timeout.Stop()
	for _, l := range j.lanes {
		l.wake()
	}
	look := time.NewTicker(restPoll)
	defer look.Stop()
	for j.someClosed() {
		select {
		case <-drained:
			return
		case <-timeout.C:
			return
		case <-look.C:
		}
	}
}

// someClosed reports whether a lane with something to ship may still ship it.
func (j *Journaled) someClosed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.lanes, func(l *lane) bool { return l.busy() && !l.isOpen() })
}

func (l *lane) busy() bool {
	return l.pending.count > 0 || l.toCompare()
}

func (l *lane) toCompare() bool { return l.auditDue || len(l.audit) > 0 || len(l.urgent) > 0 }

// noteDrained tells finish when no lane has anything to do; mu is held.
func (j *Journaled) noteDrained() {
	if j.drained != nil && !slices.ContainsFunc(j.lanes, (*lane).busy) {
		close(j.drained)
		j.drained = nil
	}
}

// BreakerChanged says that a breaker has changed its state; to be called from its
// OnTransition hook. Without it, a transition that neither a write nor the probe
// has caused is noticed at the next write. It never blocks.
func (j *Journaled) BreakerChanged() {
	for _, l := range j.lanes {
		signal(l.kick)
	}
	j.observer.look()
}

func (j *Journaled) wakeCommitter() { signal(j.toWrite) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
