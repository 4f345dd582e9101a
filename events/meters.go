package events

import (
	"sync/atomic"

	"github.com/actionflows/lifeline/internal/durations"
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
	LimitWatched                    // sessions of clients whose directory is watched
	LimitStatusReaders              // streams of the hub's status
	limitCount
)

var limitNames = [limitCount]string{
	"max_message", "message_rate", "max_connections", "max_per_ip", "max_subscriptions", "max_queue",
	"max_replays", "max_polls", "max_sessions", "max_logs", "poll_rate", "poll_sessions", "poll_table",
	"input_waits", "inputs", "batch_events", "batch_size", "chains", "watched_sessions", "status_readers",
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
	publish   durations.Histogram
	delivery  durations.Histogram
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
	Publish, Delivery durations.Sum
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
		s.Publish, s.Delivery = s.Publish.Add(&m.publish), s.Delivery.Add(&m.delivery)
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

// Meet counts that a limit was met which somebody else keeps.
func (h *Hub) Meet(l Limit) { h.meet(l) }

// meter is where what is about a session is counted.
func (h *Hub) meter(session string) *meters { return &h.shard(session).meters }
