// Package memory keeps logs in the memory of this process: the driver for tests,
// for development and for hubs whose events need not outlive them.
//
// It promises the positions, cursors and duplicates of every other driver, and
// bounds in bytes and in logs: when it is full, the history of the log written
// longest ago goes first. What remains of such a log is its state (epoch, head,
// producers), so that a reader who comes back is told about the gap; only the
// bound on the number of logs makes it forget that too.
//
// It knows nothing about disks, other nodes or failures: an entry is lost with
// the process, and Apply never fails for want of space.
package memory
