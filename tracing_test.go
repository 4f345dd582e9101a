package lifeline_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// span is one as OpenTelemetry's console exporter writes it.
type span struct {
	Name        string
	SpanContext struct{ TraceID, SpanID string }
	Parent      struct{ SpanID string }
	Attributes  []struct {
		Key   string
		Value struct{ Value any }
	}
	Status struct{ Code, Description string }
}

func (s span) attribute(key string) any {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.Value
		}
	}
	return nil
}

// spans are those that the server has exported, by name.
func (s *server) spans() map[string][]span {
	found := make(map[string][]span)
	for line := range strings.Lines(s.log.String()) {
		var one span
		if strings.HasPrefix(line, `{"Name":`) && json.Unmarshal([]byte(line), &one) == nil {
			found[one.Name] = append(found[one.Name], one)
		}
	}
	return found
}

// TestSpans has Caddy trace requests: publishing, storing and delivering are beneath
// the request's own span.
func TestSpans(t *testing.T) {
	s := newServer(t)
	s.env = append(s.env, "OTEL_TRACES_EXPORTER=console", "OTEL_BSP_SCHEDULE_DELAY=50")
	s.start("{\n\tadmin ADMIN\n\tlifeline {\n\t\tstorage memory\n\t}\n}\nhttp://localhost:PORT {\n\ttracing {\n\t\tspan events\n\t}\n\tlifeline\n}\n")
	s.dial(nil).subscribe(t, "s", "")
	s.post(`{"type":"a:b","sessionId":"s","id":"one"}`)
	s.post(`[{"type":"a:b","sessionId":"quiet","id":"two"},{"type":"a:b","sessionId":"quiet","id":"three"}]`)
	s.waitUntil("all spans are there", func() bool {
		found := s.spans()
		return len(found["lifeline publish"]) == 2 && len(found["lifeline storage"]) == 2 && len(found["lifeline delivery"]) == 1 && len(found["events"]) >= 2
	})
	found := s.spans()
	requests := make(map[string]bool)
	for _, r := range found["events"] {
		requests[r.SpanContext.SpanID] = true
	}
	published := make(map[string]string) // trace by span
	for _, p := range found["lifeline publish"] {
		if !requests[p.Parent.SpanID] {
			t.Errorf("a publish beneath no request: %+v", p)
		}
		published[p.SpanContext.SpanID] = p.SpanContext.TraceID
	}
	for _, name := range []string{"lifeline storage", "lifeline delivery"} {
		for _, one := range found[name] {
			if published[one.Parent.SpanID] != one.SpanContext.TraceID {
				t.Errorf("%s beneath no publish: %+v", name, one)
			}
		}
	}
	delivery := found["lifeline delivery"][0]
	for key, want := range map[string]any{
		"messaging.system": "lifeline", "messaging.destination.name": "s", "messaging.message.id": "one", "lifeline.connections": 1.0,
	} {
		if got := delivery.attribute(key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	counts := map[any]int{}
	for _, p := range found["lifeline publish"] {
		counts[p.attribute("messaging.batch.message_count")]++
	}
	if counts[2.0] != 1 || counts[nil] != 1 {
		t.Errorf("the batch has no count of its own: %v", counts)
	}
}
