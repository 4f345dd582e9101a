package storage

import (
	"context"
	"errors"
	"strings"
)

// Counting is a Driver that knows how much it holds without looking at all of it.
// The ones of this package's folders are; a hub over another one has no max_logs.
// An answer is promptly true of what this driver has written and, where several
// share a backend, of what the others have.
type Counting interface {
	Driver
	// CountLogs answers how many logs of a kind have entries; see [LogKind]. What has
	// expired may count until it is removed.
	CountLogs(ctx context.Context, kind string) (int, error)
	// CountDocuments answers how many documents a collection has. What has expired may
	// count until it is removed.
	CountDocuments(ctx context.Context, collection string) (int, error)
}

// LogKind is the kind of a log: its name up to the first colon, which belongs to it;
// "" where there is none.
func LogKind(log string) string { return log[:strings.IndexByte(log, ':')+1] }

// CountingOf answers d as one that counts. One that cannot answers
// [errors.ErrUnsupported] when it is asked.
func CountingOf(d Driver) Counting {
	if c, ok := d.(Counting); ok {
		return c
	}
	return uncounted{d}
}

type uncounted struct{ Driver }

func (uncounted) CountLogs(context.Context, string) (int, error) { return 0, errors.ErrUnsupported }
func (uncounted) CountDocuments(context.Context, string) (int, error) {
	return 0, errors.ErrUnsupported
}
