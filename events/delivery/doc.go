// Package delivery proves what the package events promises about delivery, with real
// clients over real HTTP: every event of a session once and in order, whatever
// transport a client uses, whenever its connection breaks, and whichever server of
// two it goes on at.
//
//	mix_test.go       clients that know only cursors, or only times, change between
//	                  WebSocket, SSE, poll and long poll at random, in one session or
//	                  several at once, with all events or some types
//	onmessage_test.go an EventSource that has only onmessage
//	notice_test.go    a lost message between servers
//	paths_test.go     session ids that mean something in a path
//	program_test.go   random programs of subscribe, drop, resume and publish, in several
//	                  sessions and with types, with servers cut off from Redis and Redis
//	                  restarted empty
//	outage_test.go    what goes wrong in them
//	soak_test.go      the same for as long as LIFELINE_SOAK says, with random seeds
//	controls_test.go  hubs that are broken on purpose: the programs must notice
//
//	node_test.go                                  a server with its storage
//	visit_test.go, stream_test.go                 one connection of a client
//	eventsource_test.go                           what a browser makes of a stream
//	publisher_test.go, follower_test.go           who writes and reads
//	interest_test.go                              which sessions and types
//
// It contains tests only.
package delivery
