// Package matrix proves the promise of storage/resilient by breaking things. Its
// tests let two node processes publish and read through one real redis-server,
// each through a proxy of its own, cause one fault after the other, and check
// what was acknowledged against the history and against what every reader saw.
//
//	matrix_test.go    the faults that `make test` goes through, with fixed seeds
//	soak_test.go      the same for as long as LIFELINE_SOAK says, with random ones
//	controls_test.go  nodes and readers that are broken on purpose: the checker
//	                  must notice each of them
//
//	node_test.go, serve_test.go       the node process
//	protocol_test.go, client_test.go  what it and the test say to each other
//	run_test.go                       one run: servers, nodes, fault, recovery
//	workload_test.go, records_test.go, readers_test.go   who writes and reads meanwhile
//	faults_test.go, nodefaults_test.go  what goes wrong
//	checker_test.go, history_test.go  what must be true afterwards
//
// The test keeps the log of acknowledgements, not the nodes: a node that is killed
// takes nothing of it along.
package matrix
