package resilient

import "github.com/actionflows/lifeline/storage"

// kind says what a chain is of.
type kind byte

const (
	aLog kind = iota
	aQueue
	aCollection
)

// target is what an operation changes: operations on the same one are carried out
// in order.
type target struct {
	kind kind
	name string
}

func logOf(name string) target { return target{aLog, name} }

// targetOf answers what op changes; a Drop, which changes a log and a queue, is
// never journaled.
func targetOf(op storage.Op) target {
	switch op := op.(type) {
	case *storage.Append:
		return target{aLog, op.Log}
	case *storage.Push:
		return target{aQueue, op.Queue}
	case *storage.Put:
		return target{aCollection, op.Collection}
	case *storage.Del:
		return target{aCollection, op.Collection}
	case *storage.Add:
		return target{aCollection, op.Collection}
	}
	return target{}
}

// probeOf is an operation on a target, of which only the name counts.
func (t target) probeOf() storage.Op {
	switch t.kind {
	case aQueue:
		return &storage.Push{Queue: t.name}
	case aCollection:
		return &storage.Del{Collection: t.name}
	default:
		return &storage.Append{Log: t.name}
	}
}

// idOf is the id by which a target tells an operation from others; "" for those
// that it tells by their stamp or number.
func idOf(op storage.Op) string {
	switch op := op.(type) {
	case *storage.Append:
		return op.ID
	case *storage.Push:
		return op.ID
	}
	return ""
}

// linked reports whether an operation takes a number in its producer's chain.
func linked(op storage.Op) bool {
	switch op.(type) {
	case *storage.Put, *storage.Del:
		return false
	}
	return true
}

// opSize is what an operation is taken to weigh in the journal, in bytes.
func opSize(op storage.Op) int64 {
	size := entryOverhead
	switch op := op.(type) {
	case *storage.Append:
		size += len(op.ID) + len(op.Data)
	case *storage.Push:
		size += len(op.ID) + len(op.Data)
	case *storage.Put:
		size += len(op.ID) + len(op.Body)
		for name, value := range op.Indexes {
			size += len(name) + len(value)
		}
	case *storage.Del:
		size += len(op.ID)
	case *storage.Add:
		size += len(op.Scope) + len(op.Member)
		for _, fields := range []map[string]int64{op.Deltas, op.Low, op.High} {
			for name := range fields {
				size += len(name) + 8
			}
		}
	}
	return int64(size)
}
