// Package events is the hub and its wire protocol: events come in over HTTP,
// are kept by storage, and go out over WebSocket, Server-Sent Events and polling.
//
// A reader who follows one event meets: [Site] (route, access), ingest.go
// (validation), [Hub] (append, fan-out per session in topic.go), and the
// transport that serves a subscriber. What is promised: an event is answered
// with success only after storage has taken it; a subscriber gets every event of
// its session from its cursor on, once and in order, or is told that some are
// missing, or is disconnected with a cursor to resume from. A slow subscriber
// delays nobody.
//
// The package knows nothing about Caddy, about the storage driver in use or about
// file watching; who a request's user is, is told by a function.
package events
