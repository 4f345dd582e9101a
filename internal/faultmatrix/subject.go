package faultmatrix

import (
	"context"
	"time"
)

// Subject is what a run puts to the test: how those who use the nodes speak to
// them. The zero value speaks to their storage, over a pipe.
type Subject struct {
	// Call asks the node at addr, as Serve said it; nil: over the pipe. An error
	// means that there was no answer.
	Call func(ctx context.Context, addr string, q Request) (Reply, error)
	// Slower is how many times the usual pauses everybody makes, because a request costs
	// more; 0 is once.
	Slower int
	// Kills is how often a soak kills nodes and Redis together.
	Kills int
	// LongestAck bounds an acknowledgement in a soak: 500 ms are promised, and the
	// machine may have other things to do, or a slow disk.
	LongestAck time.Duration
	// Streams are the ways of staying connected.
	Streams []Stream
}

// Stream is a way to stay connected to a session.
type Stream struct {
	Name string
	// Follow hands over what comes after cursor, until ctx or the connection ends.
	Follow func(ctx context.Context, addr, log, cursor string, take func(Reply)) error
}
