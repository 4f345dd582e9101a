package sequence

import (
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// Later answers the stamp of a write at the time now, or false when it comes too
// late. Last is the stamp of the document or of its deletion, if there is one.
func Later(s, last storage.Stamp, known bool, now time.Time) (storage.Stamp, bool) {
	if s != (storage.Stamp{}) {
		return s, !known || s.Compare(last) > 0
	}
	s.Micros = now.UnixMicro()
	if known {
		s.Micros = max(s.Micros, last.Micros+1)
	}
	return s, true
}

// Added are a member's fields after an Add; old is not changed. A field that would
// overflow is answered with [storage.ErrPoison].
func Added(old map[string]int64, op *storage.Add) (map[string]int64, error) {
	fields := maps.Clone(old)
	if fields == nil {
		fields = make(map[string]int64)
	}
	for name, delta := range op.Deltas {
		v := fields[name]
		if delta > 0 && v > math.MaxInt64-delta || delta < 0 && v < math.MinInt64-delta {
			return nil, fmt.Errorf("field %q would overflow: %w", name, storage.ErrPoison)
		}
		fields[name] = v + delta
	}
	for name, v := range op.Low {
		if present, ok := fields[name]; !ok || v < present {
			fields[name] = v
		}
	}
	for name, v := range op.High {
		if present, ok := fields[name]; !ok || v > present {
			fields[name] = v
		}
	}
	maps.DeleteFunc(fields, func(name string, _ int64) bool { return op.TrimFrom <= name && name < op.TrimTo })
	return fields, nil
}
