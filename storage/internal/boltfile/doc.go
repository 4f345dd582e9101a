// Package boltfile opens a bbolt file in a directory for one owner alone: a second
// one is refused, a file that was not closed the last time is checked, and a corrupt
// one is set aside, never overwritten. It also tells the errors of a commit apart.
//
// Whatever touches the file's mapped memory runs in [Guard].
package boltfile
