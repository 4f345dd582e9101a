package disk

import (
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/typedtest"
)

func TestTyped(t *testing.T) {
	typedtest.Run(t, func(t *testing.T) storage.Driver { return open(t, Options{}) })
}

// A command is listed again and again for CommandAge, an input waits for InputAge.
func TestTypedAges(t *testing.T) {
	var c clock
	s := &storage.Store{Driver: open(t, Options{now: c.now})}
	want := func(commands, inputs int) {
		t.Helper()
		listed, err := s.ListCommands(t.Context(), "s1")
		if err != nil || len(listed) != commands {
			t.Fatalf("%d commands, %v", len(listed), err)
		}
		taken, err := s.TakeInput(t.Context(), "s1", 0)
		if err != nil || len(taken) != inputs {
			t.Fatalf("%d inputs, %v", len(taken), err)
		}
	}
	add := func() {
		t.Helper()
		command := storage.CommandPayload{SessionID: "s1", Command: storage.Command{Type: "pause"}}
		if _, err := s.QueueCommand(t.Context(), command); err != nil {
			t.Fatal(err)
		}
		if _, err := s.PushInput(t.Context(), "s1", "", []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	add()
	c.advance(storage.CommandAge - time.Second)
	want(1, 1)
	add()
	c.advance(2 * time.Second)
	want(1, 1)
	add()
	c.advance(storage.CommandAge + time.Second)
	want(0, 0)
}
