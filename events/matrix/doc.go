// Package matrix is the fault matrix once more, through HTTP. Two processes serve
// a hub each, over one real redis-server, through a proxy of its own; the faults,
// those who write, and the checker are those of internal/faultmatrix.
//
//	matrix_test.go  the faults, the controls, the soak
//	serve_test.go   the hub process
//	broken_test.go  what is broken in it on purpose
//	call_test.go    a request of the matrix as one over HTTP
//	posted_test.go  the answer to a post, of one event or of many
//	stream_test.go  readers that stay connected: WebSocket and Server-Sent Events
package matrix
