// Package journalfile keeps the journal of one node on disk: numbered records in one
// bbolt file of a directory. It knows nothing of what becomes of them.
package journalfile
