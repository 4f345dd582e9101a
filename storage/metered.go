package storage

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/actionflows/lifeline/internal/durations"
)

// The calls of a driver that are counted.
const (
	callApply = iota
	callTake
	callReadLog
	callGet
	callScan
	callCounters
	callPublish
	callHealth
	callCount
)

var callNames = [callCount]string{"apply", "take", "read_log", "get", "scan", "counters", "publish", "health"}

// Calls counts the calls of a driver: how long each took, and which failed. The zero
// value is ready; it is safe for concurrent use and takes no lock. It may outlive its
// driver and count on for the next one.
type Calls struct {
	seconds [callCount]durations.Histogram
	failed  [callCount]atomic.Uint64
}

// Each calls fn for every counted method, by its name in snake case; all are there
// from the start.
func (c *Calls) Each(fn func(op string, took durations.Sum, failed uint64)) {
	for call, name := range callNames {
		fn(name, durations.Sum{}.Add(&c.seconds[call]), c.failed[call].Load())
	}
}

// count notes a call that began then. That there is no such document is an answer, and
// a caller who went away no failure.
func (c *Calls) count(call int, began time.Time, err error) {
	c.seconds[call].Observe(time.Since(began))
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, context.Canceled) {
		c.failed[call].Add(1)
	}
}

// Meter has the calls of d counted in c. The answer is d in all else, [Partitioned] if
// d is, and counts what it holds if d does; closing it closes d.
func Meter(d Driver, c *Calls) Driver {
	m := metered{CountingOf(d), c}
	if p, ok := d.(Partitioned); ok {
		return meteredPartitions{m, p}
	}
	return m
}

type metered struct {
	Counting
	calls *Calls
}

func (m metered) Apply(ctx context.Context, ops []Op) ([]Result, error) {
	began := time.Now()
	results, err := m.Counting.Apply(ctx, ops)
	m.calls.count(callApply, began, err)
	return results, err //nolint:wrapcheck // it is the driver's, here and below
}

func (m metered) Take(ctx context.Context, queue string, most int) ([]Item, error) {
	began := time.Now()
	items, err := m.Counting.Take(ctx, queue, most)
	m.calls.count(callTake, began, err)
	return items, err //nolint:wrapcheck // see Apply
}

func (m metered) ReadLog(ctx context.Context, log string, q LogQuery) (LogPage, error) {
	began := time.Now()
	page, err := m.Counting.ReadLog(ctx, log, q)
	m.calls.count(callReadLog, began, err)
	return page, err //nolint:wrapcheck // see Apply
}

func (m metered) Get(ctx context.Context, collection, id string) (Document, error) {
	began := time.Now()
	doc, err := m.Counting.Get(ctx, collection, id)
	m.calls.count(callGet, began, err)
	return doc, err //nolint:wrapcheck // see Apply
}

func (m metered) Scan(ctx context.Context, collection, index string, q ScanQuery) ([]Document, error) {
	began := time.Now()
	docs, err := m.Counting.Scan(ctx, collection, index, q)
	m.calls.count(callScan, began, err)
	return docs, err //nolint:wrapcheck // see Apply
}

func (m metered) Counters(ctx context.Context, collection, scope string, q CounterQuery) ([]Counter, error) {
	began := time.Now()
	counters, err := m.Counting.Counters(ctx, collection, scope, q)
	m.calls.count(callCounters, began, err)
	return counters, err //nolint:wrapcheck // see Apply
}

func (m metered) Publish(ctx context.Context, channel string, data []byte) error {
	began := time.Now()
	err := m.Counting.Publish(ctx, channel, data)
	m.calls.count(callPublish, began, err)
	return err //nolint:wrapcheck // see Apply
}

func (m metered) Health(ctx context.Context) error {
	began := time.Now()
	err := m.Counting.Health(ctx)
	m.calls.count(callHealth, began, err)
	return err //nolint:wrapcheck // see Apply
}

// meteredPartitions is a metered driver whose data lies in partitions.
type meteredPartitions struct {
	metered
	partitions Partitioned
}

func (m meteredPartitions) Lanes() []string { return m.partitions.Lanes() }
func (m meteredPartitions) Partition(op Op) (name string, lane int) {
	return m.partitions.Partition(op)
}
func (m meteredPartitions) OnLoss(fn func(partition string)) { m.partitions.OnLoss(fn) }

// Beat counts as a call of Health, which it is.
func (m meteredPartitions) Beat(ctx context.Context, lane int) error {
	began := time.Now()
	err := m.partitions.Beat(ctx, lane)
	m.calls.count(callHealth, began, err)
	return err //nolint:wrapcheck // see Apply
}
