package events

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/actionflows/lifeline/storage"
)

// Publish appends an event to its session and hands it to those who follow it.
// It answers storage's result and error unchanged. It never waits for a
// subscriber, and goes on working after Close.
func (h *Hub) Publish(ctx context.Context, ev Event) (storage.Result, error) {
	if err := h.publishing.enter(ctx); err != nil {
		return storage.Result{}, err
	}
	defer h.publishing.leave()
	began := time.Now()
	ctx, publishing := startSpan(ctx, spanPublish, trace.SpanKindProducer, ev.attributes)
	stored, storing := startSpan(ctx, spanStorage, trace.SpanKindClient, ev.attributes)
	res, err := h.cfg.Backend.AddEvent(stored, ev.Session, ev.ID, ev.Data)
	endSpan(storing, err)
	h.deliver(ctx, ev, res, err, began, false)
	endSpan(publishing, err)
	return res, err //nolint:wrapcheck // the caller looks for storage's errors
}

// PublishAll stores events as Publish does, each on its own: its result has its
// error. Those of one session are stored and delivered in their order.
func (h *Hub) PublishAll(ctx context.Context, evs []Event) []storage.Result {
	news := make([]storage.NewEvent, len(evs))
	for i, ev := range evs {
		news[i] = storage.NewEvent{Session: ev.Session, ID: ev.ID, Data: ev.Data}
	}
	if err := h.publishing.enter(ctx); err != nil {
		return slices.Repeat([]storage.Result{{Err: err}}, len(evs))
	}
	defer h.publishing.leave()
	began := time.Now()
	ctx, publishing := startSpan(ctx, spanPublish, trace.SpanKindProducer, batch(len(evs)))
	stored, storing := startSpan(ctx, spanStorage, trace.SpanKindClient, batch(len(evs)))
	results := h.cfg.Backend.AddEvents(stored, news)
	endSpan(storing, firstError(results))
	for i, ev := range evs {
		h.deliver(ctx, ev, results[i], results[i].Err, began, i+1 < len(evs))
	}
	endSpan(publishing, firstError(results))
	return results
}

// deliver hands an event to the session's subscribers as storage has taken it, which
// began then; more says that others follow at once.
func (h *Hub) deliver(ctx context.Context, ev Event, res storage.Result, err error, began time.Time, more bool) {
	if _, full := errors.AsType[*storage.TooManyLogsError](err); full {
		h.meet(LimitLogs)
		return // it was certainly not taken
	}
	sh := h.shard(ev.Session)
	t := sh.topic(ev.Session)
	if err == nil {
		sh.meters.publish.Observe(time.Since(began))
	}
	if err != nil {
		if t != nil {
			t.doubt()
		}
		return
	}
	d := deliveryOf(ev, res)
	if res.Duplicate {
		if t != nil {
			t.repeated(d)
		}
		return
	}
	sh.meters.received[ev.Source].Add(1)
	h.noteLatest(ev.Session, ev.Type, res.ReceivedAt)
	if t != nil {
		d.trace(ctx, ev)
		t.offer(d, more)
	}
	h.chains.take(ev)
	h.steps.take(ev)
	if strings.HasPrefix(ev.Type, lifecyclePrefix) && h.broadcasts.on() {
		h.broadcast(ev.Session, d)
	}
}
