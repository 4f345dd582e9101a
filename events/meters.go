package events

import (
	"sync/atomic"
	"time"
)

// Limit names a bound of a hub. docs/protocol.md says what each is and how it is
// answered.
type Limit uint8

// The limits, those with an option first.
const (
	LimitMessage       Limit = iota // bytes of an event or message
	LimitMessageRate                // messages a second
	LimitConnections                // of the hub
	LimitPerIP                      // of one public address
	LimitSubscriptions              // of one WebSocket
	LimitQueue                      // of one connection
	LimitReplays                    // reading at once
	LimitPolls                      // that wait
	LimitSessions                   // with a record
	LimitLogs                       // sessions without one
	LimitPollRate                   // of one client and session
	LimitPollSessions               // of one client
	LimitPollTable                  // of all clients
	LimitInputWaits                 // requests held for input
	LimitInputs                     // that wait in a session
	LimitBatchEvents                // of one batch
	LimitBatchSize                  // bytes of one batch
	LimitChains                     // events not applied to their chains yet
	limitCount
)

var limitNames = [limitCount]string{
	"max_message", "message_rate", "max_connections", "max_per_ip", "max_subscriptions", "max_queue",
	"max_replays", "max_polls", "max_sessions", "max_logs", "poll_rate", "poll_sessions", "poll_table",
	"input_waits", "inputs", "batch_events", "batch_size", "chains",
}

// String is the name of the limit: that of its option, if it has one.
func (l Limit) String() string { return limitNames[l] }

// Source says where an event has come from.
type Source uint8

// The sources.
const (
	SourceHTTP    Source = iota // a client's post
	SourceWatcher               // a file watcher of the hub
	sources
)

var sourceNames = [sources]string{"http", "watcher"}

// transport is how a client gets events.
type transport uint8

const (
	viaNone transport = iota // it only wants to know that there are some
	viaWebSocket
	viaStream
	viaPoll
	transports
)

var transportNames = [transports]string{viaWebSocket: "websocket", viaStream: "sse", viaPoll: "poll"}

// meters count what a hub does. Each shard has its own, so that publishers to
// different sessions do not write to the same memory; they are summed up when
// somebody asks. The zero value is ready.
type meters struct {
	received  [sources]atomic.Uint64
	delivered [transports]atomic.Uint64
	publish   histogram
	delivery  histogram
}

// bounds are the upper ends of the classes of a histogram but for the last, which has
// none.
var bounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 10 * time.Second,
}

type histogram struct {
	classes [len(bounds) + 1]atomic.Uint64
	sum     atomic.Int64 // ns
}

func (h *histogram) observe(d time.Duration) {
	class := 0
	for class < len(bounds) && d > bounds[class] {
		class++
	}
	h.classes[class].Add(1)
	h.sum.Add(int64(max(d, 0)))
}

// Histogram sums up durations.
type Histogram struct {
	Count   uint64
	Sum     float64            // seconds
	Buckets map[float64]uint64 // upper bound in seconds → how many were not above it
}

// add adds what h has, and answers the sum.
func (sum Histogram) add(h *histogram) Histogram {
	if sum.Buckets == nil {
		sum.Buckets = make(map[float64]uint64, len(bounds))
	}
	below := uint64(0)
	for class := range h.classes {
		below += h.classes[class].Load()
		if class < len(bounds) {
			sum.Buckets[bounds[class].Seconds()] += below
		}
	}
	sum.Count += below
	sum.Sum += time.Duration(h.sum.Load()).Seconds()
	return sum
}

// Stats are the counts of a hub since it was made, and what is now.
type Stats struct {
	// Connections by transport: websocket, sse and poll, which are those that wait.
	Connections map[string]int
	// Received counts events that were taken for the first time, by source: http,
	// watcher.
	Received map[string]uint64
	// Delivered counts events that were queued for a connection, or answered to a
	// poll, by transport.
	Delivered map[string]uint64
	// SlowConsumers counts connections that were ended because their queue was full.
	SlowConsumers uint64
	// Limited counts how often each limit was met, by its name; all are there.
	Limited map[string]uint64
	// Publish is how long storage took to acknowledge events; Delivery, from when an
	// event was received, by the clock that made its receivedAt, until it was queued
	// for the connections that follow its session.
	Publish, Delivery Histogram
}

// Stats answers what the hub has counted. It takes no lock of the publish path.
func (h *Hub) Stats() Stats {
	s := Stats{
		Connections: make(map[string]int), Received: make(map[string]uint64),
		Delivered: make(map[string]uint64), Limited: make(map[string]uint64),
	}
	s.Connections[transportNames[viaWebSocket]], s.Connections[transportNames[viaStream]] = h.connections.counts()
	s.Connections[transportNames[viaPoll]] = h.longPolls.held()
	for i := range h.shards {
		m := &h.shards[i].meters
		for source := range m.received {
			s.Received[sourceNames[source]] += m.received[source].Load()
		}
		for via := viaWebSocket; via < transports; via++ {
			s.Delivered[transportNames[via]] += m.delivered[via].Load()
		}
		s.Publish, s.Delivery = s.Publish.add(&m.publish), s.Delivery.add(&m.delivery)
	}
	for l := range limitCount {
		s.Limited[l.String()] = h.met[l].Load()
	}
	s.SlowConsumers = h.met[LimitQueue].Load()
	if census := h.store().Census; census != nil {
		s.Limited[LimitSessions.String()] = census.Displaced()
	}
	return s
}

// meet counts that a limit was met.
func (h *Hub) meet(l Limit) { h.met[l].Add(1) }

// meter is where what is about a session is counted.
func (h *Hub) meter(session string) *meters { return &h.shard(session).meters }
