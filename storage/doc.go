// Package storage keeps what the hub acknowledged and hands it back in order.
//
// It has three layers. [Store] holds the typed operations, written once over
// [Driver], the narrow waist that storage/memory, storage/disk and
// storage/redis implement; storage/resilient wraps a driver with a circuit
// breaker and, for a remote one, with a journal.
//
// The package promises that positions within a log strictly increase, that a
// [Cursor] never passes an event its holder has not been given, and that a read
// which cannot be complete says so ([LogPage].Gap, [LogPage].Degraded). It knows
// nothing about HTTP, connections, subscribers or configuration.
package storage
