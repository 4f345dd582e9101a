package events

import (
	"fmt"
	"testing"
)

func TestActiveStep(t *testing.T) {
	var h Hub
	h.FollowSteps([]string{"s"})
	for _, c := range []struct {
		kind, data string
		want       string
	}{
		{"step:completed", `{"stepNumber":1}`, "none"},
		{"step:spawned", `{"stepNumber":1}`, "1"},
		{"step:started", `{"stepNumber":1}`, "1"},
		{"step:started", `{"stepNumber":2}`, "2"},
		{"step:started", `{"stepNumber":"x"}`, "2"},
		{"step:started", `{}`, "2"},
		{"terminal:output", `{"stepNumber":9}`, "2"},
		{"step:completed", `{"stepNumber":2}`, "1"},
		{"step:failed", `{"stepNumber":1}`, "none"},
		{"step:started", `{"stepNumber":3}`, "3"},
		{"chain:completed", `{}`, "none"},
	} {
		h.steps.take(Event{Session: "s", Type: c.kind, Data: []byte(c.data)})
		h.steps.take(Event{Session: "other", Type: "step:started", Data: []byte(`{"stepNumber":7}`)})
		if got := stepText(h.ActiveStep("s")); got != c.want {
			t.Errorf("after %s %s: %s, want %s", c.kind, c.data, got, c.want)
		}
	}
	if got := stepText(h.ActiveStep("other")); got != "none" {
		t.Errorf("a session that is not followed has step %s", got)
	}
}

// TestActiveStepsAreBounded: steps that never end are forgotten, and what is known
// outlives a change of the followed sessions.
func TestActiveStepsAreBounded(t *testing.T) {
	var h Hub
	h.FollowSteps([]string{"s"})
	for n := range maxActiveSteps + 10 {
		h.steps.take(Event{Session: "s", Type: "step:started", Data: fmt.Appendf(nil, `{"stepNumber":%d}`, n)})
	}
	h.FollowSteps([]string{"s", "t"})
	if n := len(h.steps.sessions["s"]); n != maxActiveSteps {
		t.Errorf("%d steps are known, want %d", n, maxActiveSteps)
	}
	h.FollowSteps([]string{"t"})
	if n := len(h.steps.sessions); n != 1 {
		t.Errorf("%d sessions are followed, want 1", n)
	}
}

func stepText(step *int) string {
	if step == nil {
		return "none"
	}
	return fmt.Sprint(*step)
}
