// Package storage measures what storage costs, each driver beside the physical
// limit of what it stands on: a bare map, bare grouped fsync, raw pipelined XADD.
// `make bench SUBJECT=storage` runs it and writes docs/storage.md.
package storage
