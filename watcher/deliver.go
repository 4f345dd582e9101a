package watcher

import (
	"context"
	"time"

	"go.uber.org/zap"
)

const (
	sinkRetries    = 5
	sinkRetryFirst = 100 * time.Millisecond
)

// deliverer takes what the coalescer lets go to the sink.
type deliverer struct {
	coalescer *coalescer
	maker     *eventMaker
	sink      Sink
	log       *zap.Logger
	delivered func(at time.Time)
}

// loop returns when ctx is done.
func (d *deliverer) loop(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		now := time.Now()
		batch, next := d.coalescer.collect(now)
		for _, o := range batch {
			d.offer(ctx, o, now)
			if ctx.Err() != nil {
				return
			}
		}
		if len(batch) > 0 {
			continue // that took time
		}
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-d.coalescer.wake:
		case <-timer.C:
		}
	}
}

// offer gives an event to the sink until it takes it, as often as the Sink's
// policy says.
func (d *deliverer) offer(ctx context.Context, o outcome, now time.Time) {
	ev, err := d.maker.event(o, now)
	if err != nil {
		d.log.Error("watcher event dropped", zap.String("path", o.path), zap.Error(err))
		return
	}
	delay := sinkRetryFirst
	for try := 0; ; try++ {
		if ctx.Err() != nil {
			return
		}
		err := d.sink(ctx, ev)
		if err == nil {
			d.delivered(now)
			return
		}
		if ctx.Err() != nil {
			return
		}
		if try == sinkRetries {
			d.log.Error("watcher event dropped", zap.String("path", o.path),
				zap.String("change", o.change), zap.Int("offers", try+1), zap.Error(err))
			return
		}
		if try == 0 {
			d.log.Error("watcher event refused", zap.String("path", o.path),
				zap.String("change", o.change), zap.Error(err))
		}
		sleep(ctx, delay)
		delay *= 2
	}
}
