package faultmatrix

import "context"

// Subject is what a run puts to the test: how those who use the nodes speak to
// them. The zero value speaks to their storage, over a pipe.
type Subject struct {
	// Call asks the node at addr, as Serve said it; nil: over the pipe. An error
	// means that there was no answer.
	Call func(ctx context.Context, addr string, q Request) (Reply, error)
	// Streams are the ways of staying connected.
	Streams []Stream
}

// Stream is a way to stay connected to a session.
type Stream struct {
	Name string
	// Follow hands over what comes after cursor, until ctx or the connection ends.
	Follow func(ctx context.Context, addr, log, cursor string, take func(Reply)) error
}
