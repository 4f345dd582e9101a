// Package client follows sessions of a Lifeline hub and posts events to it.
//
// [Client.Subscribe] answers an iterator over the events of some sessions. It goes on
// through whatever happens to its connection, each event once and in its publisher's
// order: by WebSocket; while that fails, by Server-Sent Events; while these fail too,
// by long polls; and back to the best of them as soon as it works again. [Client.Publish]
// and [Client.PublishBatch] post until the hub has taken an event, always under one id,
// so that however often it was posted it is stored once.
//
// The package knows the hub's wire protocol, docs/protocol.md, and nothing else of it.
package client
