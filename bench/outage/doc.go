// Package outage takes Redis away for 10 s from a server, ours and a small one on the
// library centrifuge, each in a process of its own, under the same publishers and
// subscribers, and counts what becomes of their events: errors, the longest hang,
// what was acknowledged and not delivered or kept, and how long recovery took.
// `make bench SUBJECT=outage` runs it and writes docs/resilience.md.
package outage
