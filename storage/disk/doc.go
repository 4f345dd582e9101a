// Package disk keeps everything in one file of this machine: the default driver,
// for a hub that is alone and whose events must outlive it.
//
// The file is a bbolt database, lifeline.db. One goroutine commits: everything
// that was queued while the last transaction was being written goes into the
// next, which two fsyncs make durable before anybody gets an answer. Readers see
// the last committed state and wait neither for the queue nor for an fsync.
//
// It promises that what Apply acknowledged is there after a crash of the process
// or of the machine, exactly once; that a full or failing disk is answered with
// [storage.UnavailableError] and never with an acknowledgement; that a damaged
// file is set aside under another name, reported and never overwritten; and that
// two drivers never work on one directory. A record that is damaged by itself makes
// its log, document, queue or counter answer [storage.ErrPoison] until it is deleted.
// When max_size is reached the logs written longest ago lose their history first,
// and their readers are told; documents, items and counters are never removed for
// size: when only they are left, a write that brings something is unavailable.
// What has ended is invisible at once and removed within about a minute.
//
// It knows nothing about other nodes, and cannot protect from losing the disk.
package disk
