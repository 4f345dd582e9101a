package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/actionflows/lifeline/storage"
)

const (
	// liveEvery is the time between two messages that a subscription sends to
	// itself; it is opened again when liveMissed of them have not come back.
	liveEvery  = 10 * time.Second
	liveMissed = 2

	minBackoff = 10 * time.Millisecond
	maxBackoff = 250 * time.Millisecond
)

// Publish implements [storage.Driver].
func (d *Driver) Publish(ctx context.Context, channel string, data []byte) error {
	name := d.keys.channel(channel)
	if channel == storage.NoticeChannel {
		name = d.keys.notices()[0]
		if n, err := storage.ParseNotice(data); err == nil {
			name = d.keys.log(n.Log).channel
		}
	}
	_, err := bounded(ctx, d, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, d.publish(ctx, name, data, nil)
	})
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// publish sends a message by any server, for a Cluster passes it on to all; by
// last only if no other takes it.
func (d *Driver) publish(ctx context.Context, channel string, data []byte, last *node) error {
	nodes, err := d.write.all(ctx)
	if err != nil {
		return unavailable(err)
	}
	if i := slices.Index(nodes, last); i >= 0 {
		nodes = append(slices.Delete(nodes, i, i+1), last)
	}
	for _, n := range nodes {
		if err = n.Publish(ctx, channel, data).Err(); err == nil {
			return nil
		}
		d.write.failed()
	}
	return unavailable(err)
}

// Subscribe implements [storage.Driver]. It opens one connection, and opens it
// again, in a Cluster by another server and after 10 to 250 ms, until ctx is done
// or the driver is closed; then it answers ctx's error or ErrClosed. Lost is set
// after every interruption, and when the first attempt to subscribe failed.
func (d *Driver) Subscribe(ctx context.Context, channel string, fn func(storage.Message)) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.wg.Done()
	run, cancel := context.WithCancel(d.logged(ctx))
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()

	s := &subscription{d: d, fn: fn, live: d.keys.live(rand.Text())}
	s.channels = []string{d.keys.channel(channel)}
	if channel == storage.NoticeChannel {
		s.channels = d.keys.notices()
	}
	s.channels = append(s.channels, s.live)
	for attempt := 0; run.Err() == nil; attempt++ {
		if s.listen(run) {
			attempt = 0
		}
		s.lost = true
		d.write.failed()
		wait(run, attempt)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return storage.ErrClosed
}

// wait pauses between two attempts: longer each time, and not in step with other
// nodes.
func wait(ctx context.Context, attempt int) {
	pause := min(minBackoff*time.Duration(math.Pow(2, float64(min(attempt, 10)))), maxBackoff)
	pause -= mathrand.N(pause / 5) //nolint:gosec // no secret
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// subscription is one call of Subscribe; only missed is shared with its pulse.
type subscription struct {
	d        *Driver
	fn       func(storage.Message)
	channels []string
	live     string // the channel for messages to itself
	lost     bool   // messages may have been missed
	missed   atomic.Int32
}

// listen subscribes and hands messages over until the connection is lost, and
// reports whether there was one.
func (s *subscription) listen(ctx context.Context) bool {
	looking, cancel := context.WithTimeout(ctx, s.d.timeout)
	nodes, err := s.d.write.all(looking)
	cancel()
	if err != nil {
		return false
	}
	ps := nodes[0].Subscribe(ctx)
	// Closing wakes a receive, which ctx does not.
	ctx, cancel = context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = ps.Close() })
	defer func() {
		cancel()
		stop()
		_ = ps.Close()
	}()
	if err := ps.Subscribe(ctx, s.channels...); err != nil {
		return false
	}
	for range s.channels {
		m, err := ps.ReceiveTimeout(ctx, ioTimeout)
		if err != nil {
			return false
		}
		s.deliver(m) // a channel may speak before the last is confirmed
	}
	s.d.checkServer()
	if s.lost {
		s.fn(storage.Message{Lost: true})
	}
	s.missed.Store(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		s.pulse(ctx, nodes[0])
	}()
	defer func() {
		cancel()
		<-done
	}()
	for {
		m, err := ps.ReceiveTimeout(ctx, 0)
		if err != nil {
			return true
		}
		s.deliver(m)
	}
}

func (s *subscription) deliver(received any) {
	m, ok := received.(*goredis.Message)
	switch {
	case !ok: // a confirmation
	case m.Channel == s.live:
		s.missed.Store(0)
	default:
		s.fn(storage.Message{Data: []byte(m.Payload)})
	}
}

// pulse sends messages to the subscription itself and returns when too many of
// them have not come back. In a Cluster they take the way that others' take: by
// another server than the one that the subscription is at.
func (s *subscription) pulse(ctx context.Context, at *node) {
	tick := time.NewTicker(s.d.liveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.missed.Load() >= liveMissed {
			return
		}
		s.missed.Add(1)
		sending, cancel := context.WithTimeout(ctx, s.d.timeout)
		_ = s.d.publish(sending, s.live, nil, at) // missing it is what counts
		cancel()
	}
}
