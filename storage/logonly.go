package storage

import (
	"context"
	"fmt"
)

// LogOnly is embedded by a driver that keeps logs and nothing else: it refuses
// the operations on queues, documents and counters with [ErrUnsupported].
type LogOnly struct{}

func unsupported(what string) error {
	return fmt.Errorf("%s: this driver keeps logs only: %w", what, ErrUnsupported)
}

// Take implements [Driver].
func (LogOnly) Take(context.Context, string, int) ([]Item, error) {
	return nil, unsupported("take from queue")
}

// Get implements [Driver].
func (LogOnly) Get(context.Context, string, string) (Document, error) {
	return Document{}, unsupported("get document")
}

// Scan implements [Driver].
func (LogOnly) Scan(context.Context, string, string, ScanQuery) ([]Document, error) {
	return nil, unsupported("scan documents")
}

// Counters implements [Driver].
func (LogOnly) Counters(context.Context, string, string, CounterQuery) ([]Counter, error) {
	return nil, unsupported("read counters")
}

// Appends answers ops as appends. Every other operation, and an append without
// log or id, has its place in results set to an error and in appends to nil.
func (LogOnly) Appends(ops []Op) (appends []*Append, results []Result) {
	appends, results = make([]*Append, len(ops)), make([]Result, len(ops))
	for i, op := range ops {
		a, ok := op.(*Append)
		switch {
		case !ok:
			results[i].Err = unsupported(fmt.Sprintf("apply %T", op))
		case a.Log == "" || a.ID == "":
			results[i].Err = fmt.Errorf("append needs a log and an id: %w", ErrPoison)
		default:
			appends[i] = a
		}
	}
	return appends, results
}
