// Package memory keeps everything in the memory of this process: the driver for
// tests, for development and for hubs whose events need not outlive them.
//
// It promises the answers of every other driver, and bounds in bytes and in logs.
// When it is full, the history of the log written longest ago goes first. What
// remains of such a log is its state (epoch, head, producers), so that a reader who
// comes back is told about the gap; only the bound on the number of logs makes it
// forget that too. Documents, items and counters push history out and are never
// pushed out themselves: when they alone fill the memory, further ones are refused
// with a [storage.UnavailableError], and a log keeps its newest entry only. Of
// deletions the latest 100,000 are remembered, and when memory is full they go
// before all else, the oldest first.
//
// It knows nothing about disks, other nodes or failures: everything is lost with
// the process, and an append never fails for want of space.
package memory
