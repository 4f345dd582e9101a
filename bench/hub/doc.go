// Package hub loads one server after the other, ours and its peers, with the same work
// from the same generator, and tells what a delivery, an event, a connection and a poll
// cost there: rates, delays, CPU time and memory of the server's processes. The
// generator counts every delivery and looks for events that are missing, come twice or
// out of order. `make bench SUBJECT=hub` runs it and writes docs/performance.md. It
// needs Linux, for epoll and /proc.
package hub
