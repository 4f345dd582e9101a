// Package resilient lets the hub go on while its backend fails.
//
// It wraps a [storage.Driver] in one of three ways. [NewBare] adds nothing.
// [NewGuarded], for a disk, adds a circuit breaker: while it is open, writes are
// refused at once and reads go on. [NewJournaled], for a backend behind a
// network, adds a journal as well: every write is numbered, and goes at once into
// the journal's file and, by one ordered shipper, to the backend. It is
// acknowledged when both have it, or the file alone while the backend is away.
//
//	write ─► number it ─┬─► journal ────────────┐
//	                    └─► shipper ─► backend ─┴─► acknowledge
//
// There is no replay: recovery is the shipper going on with the same entries in
// the same order, also in the next process. Entries stay in the journal for a
// while after they were stored, so that a backend that comes back empty or with
// old data is filled again. A backend that fails in parts ([storage.Partitioned])
// has a lane for each, with a breaker and a shipper of its own.
//
// # What Journaled promises
//
//   - What was acknowledged is in the backend once, in the order of its numbers,
//     as soon as the backend works, also when this process was killed meanwhile
//     or the backend has lost it, as long as the journal holds the entry (see
//     [JournaledConfig].Dir, Retain and MaxBytes).
//   - Nothing is acknowledged that the journal does not have.
//   - A reader that follows cursors sees every entry and, unless he is told of a
//     gap, each once, in the order of its publisher; pending entries too.
//   - What this node does not know while the backend is away it calls degraded or
//     unavailable, never empty.
//   - The backend delays no acknowledgement by more than 250 ms; the file may.
//
// Without a directory the journal is in memory: what is pending dies with the
// process, and each such acknowledgement says so ([storage.Result].Volatile).
//
// # What it does not know
//
// It knows nothing about sessions, connections or configuration, nor how a
// backend works. That this lost data it sees from what a Partitioned driver tells;
// otherwise from a failed batch, from [storage.ErrGap], from a read or from an
// interrupted subscription, and not while all of these are absent. A Drop, and
// what depends on something that only the backend knows, goes straight to the
// driver, behind the breaker. What other nodes hold in their journals it learns
// when the backend has it.
//
// The fault matrix in storage/resilient/matrix tests the promises; docs/resilience.md
// tells users and operators of them.
package resilient

// VolatileWarning is what whoever starts a [Journaled] should log once.
const VolatileWarning = "events that are acknowledged while the backend is unavailable are kept in memory only and are lost if this process ends before they are stored"

const logSource = "resilientStorage"
