package resilient

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

func (c *JournaledConfig) setDefaults() error {
	if c.Driver == nil || len(c.Breakers) != 1 {
		return errors.New("resilient: a driver and a breaker are needed")
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return errors.Join(
		byDefault("MaxBytes", &c.MaxBytes, 64<<20),
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

// Journaled is a remote driver behind a breaker and a journal in memory. It
// implements [Storage]; all methods are safe for concurrent use.
//
// Two locks: lane is held over each attempt of the shipper, the probe or the
// audit, so that they take turns, and mu guards the journal and the fields
// below it. lane is taken before mu, and mu is never held over a call of the
// driver, the breaker or a subscriber.
type Journaled struct {
	cfg      JournaledConfig
	driver   storage.Driver
	breaker  *breaker.Breaker
	logger   *zap.Logger
	observer *observer
	chronic  chronicle
	fallback *fallbackLog

	lane  lane
	limit int // ops in the next batch; guarded by lane

	mu      sync.Mutex
	journal *journal
	closed  bool
	open    bool          // the breaker, when it was last looked at
	opened  chan struct{} // closed while open
	drained chan struct{} // Close waits for it; nil: nobody does

	work chan struct{} // there may be something for the shipper to do
	kick chan struct{} // the breaker may have changed

	ctx     context.Context // ends when Close stops waiting
	cancel  context.CancelFunc
	stopped sync.WaitGroup // shipper, probe, observer
	close   sync.Once
	err     error // of Close
}

var _ Storage = (*Journaled)(nil)

// NewJournaled starts the journal and its shipper before cfg.Driver, which it
// owns from then on.
func NewJournaled(cfg JournaledConfig) (*Journaled, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	j := &Journaled{
		cfg: cfg, driver: cfg.Driver, breaker: cfg.Breakers[0],
		logger:  cfg.Logger.With(zap.String("source", logSource)),
		lane:    newLane(),
		limit:   cfg.BatchOps,
		journal: newJournal(cfg.MaxBytes, cfg.Retain),
		opened:  make(chan struct{}),
		work:    make(chan struct{}, 1),
		kick:    make(chan struct{}, 1),
	}
	j.ctx, j.cancel = context.WithCancel(context.Background())
	j.fallback = newFallbackLog(cfg.Logger, cfg.Breakers[0].Name(), "acknowledged from the journal")
	j.observer = newObserver(j.Status, j.chronicle)
	j.stopped.Go(j.ship)
	j.stopped.Go(func() { j.observer.run(j.ctx.Done()) })
	j.stopped.Go(func() { // its configuration has been checked
		_ = j.breaker.Watch(j.ctx, breaker.WatchConfig{Every: cfg.ProbeEvery}, j.probe)
	})
	return j, nil
}

// Producer is the producer under which this node numbers the entries of logs
// that it meets now. After some 65,000 idle logs have been forgotten it is
// another one; Own knows them all.
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

// Close refuses what comes, goes on shipping for at most 2 s unless the breaker
// is open, and closes the driver. Appends still waiting answer
// [storage.ErrClosed]. It logs how many acknowledged entries are lost.
func (j *Journaled) Close() error {
	j.close.Do(func() {
		j.finish()
		j.cancel()
		j.stopped.Wait()
		j.mu.Lock()
		lost := j.journal.waiting
		j.mu.Unlock()
		if lost > 0 {
			j.logger.Error("acknowledged events were not stored and are lost", zap.Int("lost", lost))
		}
		j.err = j.driver.Close()
	})
	return j.err
}

// finish refuses what comes and waits until the shipper has nothing left.
func (j *Journaled) finish() {
	drained := make(chan struct{})
	j.mu.Lock()
	j.closed, j.drained = true, drained
	opened := j.opened
	j.mu.Unlock()
	if j.breaker.State() == breaker.Open {
		return
	}
	j.wakeShipper()
	timeout := time.NewTimer(closeTimeout)
	defer timeout.Stop()
	select {
	case <-drained:
	case <-opened:
	case <-timeout.C:
	}
}

// lookAtBreaker notes whether the breaker is open, and lets waiting appends be
// acknowledged if so.
func (j *Journaled) lookAtBreaker() (open bool) {
	open = j.breaker.State() == breaker.Open
	j.mu.Lock()
	defer j.mu.Unlock()
	if open == j.open {
		return open
	}
	j.open = open
	if open {
		close(j.opened)
	} else {
		j.opened = make(chan struct{})
	}
	j.observer.look()
	return open
}

// BreakerChanged says that the breaker has changed its state; to be called from
// its OnTransition hook. Without it, a transition that neither a write nor the
// probe has caused is noticed at the next write. It never blocks.
func (j *Journaled) BreakerChanged() {
	signal(j.kick)
	j.observer.look()
}

func (j *Journaled) wakeShipper() { signal(j.work) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
