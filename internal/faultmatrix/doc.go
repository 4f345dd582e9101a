// Package faultmatrix proves the promise of storage/resilient by breaking things. It
// lets two node processes publish and read through one real redis-server,
// each through a proxy of its own, cause one fault after the other, and check
// what was acknowledged against the history and against what every reader saw.
//
//	matrix.go    the faults that `make test` goes through, with fixed seeds
//	soak.go      the same for as long as LIFELINE_SOAK says, with random ones
//	controls.go       nodes and readers that are broken on purpose: the checker
//	                  must notice each of them
//	subject.go        what is put to the test: storage over a pipe, or whatever
//	                  else serves a node
//
//	node.go, serve.go       the node process
//	protocol.go, client.go  what it and the test say to each other
//	run.go                       one run: servers, nodes, fault, recovery
//	workload.go, batches.go, records.go, commands.go   who writes meanwhile
//	readers.go, streams.go, sightings.go   who reads, and what he may see twice
//	faults.go, nodefaults.go  what goes wrong
//	claims.go  what the nodes must tell while it does
//	checker.go, history.go  what must be true afterwards
//
// The test keeps the log of acknowledgements, not the nodes: a node that is killed
// takes nothing of it along.
package faultmatrix
