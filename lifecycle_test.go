package lifeline_test

import (
	"fmt"
	"testing"
)

// TestLifecycleBroadcast: with lifecycle_broadcast off the events session:* go to the
// followers of their session only, and a reload changes that for those who are
// connected.
func TestLifecycleBroadcast(t *testing.T) {
	config := func(option string) string {
		return site("lifeline {\n storage memory\n"+option+"\n}", "")
	}
	s := start(t, config("lifecycle_broadcast off"))
	follower, other := s.dial(nil), s.dial(nil)
	follower.subscribe(t, "s", "")
	other.subscribe(t, "t", "")
	post := func(id string) {
		t.Helper()
		event := fmt.Sprintf(`{"type":"session:started","sessionId":"s","id":%q}`, id)
		if a := s.post(event); a.status != 201 {
			t.Fatal(a)
		}
		follower.waitFor(t, 1)
	}
	post("1")
	if output, code := s.reload(config("")); code != 0 {
		t.Fatal(output)
	}
	post("2")
	s.post(stepEvent("t", "3", 1))
	if got := fmt.Sprint(other.waitFor(t, 2)); got != "[2 3]" {
		t.Errorf("who does not follow got %s", got)
	}
	if got := fmt.Sprint(follower.waitFor(t, 2)); got != "[1 2]" {
		t.Errorf("the follower got %s", got)
	}
}
