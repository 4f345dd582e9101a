// Package resilient lets the hub go on while its backend fails.
//
// It wraps a [storage.Driver] in one of three ways. [NewBare] adds nothing.
// [NewGuarded], for a disk, adds a circuit breaker: while it is open, writes are
// refused at once and reads go on. [NewJournaled], for a backend behind a
// network, adds a journal as well: every append is numbered, kept in the journal
// and carried to the backend by one ordered shipper; while the backend fails,
// appends are acknowledged from the journal and shown to this node's readers.
//
//	publish ─► number it ─► journal ─► shipper ─► backend ─► acknowledge
//
// There is no replay: recovery is the shipper going on with the same entries in
// the same order. Entries stay in the journal for a while after they were
// stored, so that a backend that comes back empty or with old data is filled
// again.
//
// # Promises of Journaled
//
//   - An acknowledged append is in the backend once, in the order of its
//     numbers, as soon as the backend works, also when it lost its data, as long
//     as the journal still holds the entry (see [JournaledConfig].Retain and
//     MaxBytes).
//   - Nothing is acknowledged that the journal cannot hold.
//   - A reader that follows cursors sees every entry and, unless he is told of a
//     gap, each once, in the order of its publisher; pending entries too.
//   - An acknowledgement takes 250 ms at most, whatever the backend does.
//
// The journal is in memory: what is pending dies with the process. Each such
// acknowledgement says so ([storage.Result].Volatile).
//
// # What it does not know
//
// It knows nothing about sessions, connections or configuration, nor how a
// backend works; that a backend lost data it sees from a failed batch, from
// [storage.ErrGap], from a read, or from an interrupted subscription, and not
// while all of these are absent. Documents, queues and counters go straight to
// the driver, behind the breaker.
package resilient

// VolatileWarning is what whoever starts a [Journaled] should log once.
const VolatileWarning = "events that are acknowledged while the backend is unavailable are kept in memory only and are lost if this process ends before they are stored"

const logSource = "resilientStorage"
