package linear

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

// A model that cannot fail proves nothing.
func TestModelsFindWhatIsWrong(t *testing.T) {
	at := int64(0)
	op := func(c call, a answer) porcupine.Operation {
		at += 2
		return porcupine.Operation{Input: c, Output: a, Call: at, Return: at + 1}
	}
	a, b, take := call{name: "q", id: "a"}, call{name: "q", id: "b"}, call{name: "q", max: 1}
	read := call{name: "q"}
	for name, tt := range map[string]struct {
		model   porcupine.Model
		history []porcupine.Operation
		right   bool
	}{
		"queue":            {queueModel, []porcupine.Operation{op(a, answer{}), op(b, answer{}), op(take, answer{ids: "a"}), op(a, answer{duplicate: true})}, true},
		"handed out twice": {queueModel, []porcupine.Operation{op(a, answer{}), op(take, answer{ids: "a"}), op(take, answer{ids: "a"})}, false},
		"passed over":      {queueModel, []porcupine.Operation{op(a, answer{}), op(b, answer{}), op(take, answer{ids: "b"})}, false},
		"lost":             {queueModel, []porcupine.Operation{op(a, answer{}), op(take, answer{})}, false},
		"taken anew":       {queueModel, []porcupine.Operation{op(a, answer{}), op(take, answer{ids: "a"}), op(a, answer{})}, false},

		"log":            {logModel, []porcupine.Operation{op(a, answer{seq: 1}), op(a, answer{seq: 1, duplicate: true}), op(read, answer{ids: "a"})}, true},
		"entry lost":     {logModel, []porcupine.Operation{op(a, answer{seq: 1}), op(read, answer{})}, false},
		"entry doubled":  {logModel, []porcupine.Operation{op(a, answer{seq: 1}), op(a, answer{seq: 2})}, false},
		"number skipped": {logModel, []porcupine.Operation{op(a, answer{seq: 2})}, false},
	} {
		if got := porcupine.CheckOperations(tt.model, tt.history); got != tt.right {
			t.Errorf("%s: linearizable is %v", name, got)
		}
	}
}
