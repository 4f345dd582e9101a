package resilient

import (
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
	"github.com/actionflows/lifeline/storage/storagetest"
	"github.com/actionflows/lifeline/storage/typedtest"
)

func newBreaker(t *testing.T) *breaker.Breaker {
	t.Helper()
	b, err := breaker.New(breaker.Config{Name: "disk"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// wrappers are the ways in which a hub uses a driver.
var wrappers = map[string]func(t *testing.T, d storage.Driver) storage.Driver{
	"journaled": func(t *testing.T, d storage.Driver) storage.Driver {
		t.Helper()
		// A busy machine is not what is tested: everything must reach the driver.
		j, err := NewJournaled(JournaledConfig{Driver: d, Breakers: []*breaker.Breaker{newBreaker(t)}, BatchTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return j
	},
	"guarded": func(t *testing.T, d storage.Driver) storage.Driver {
		t.Helper()
		return NewGuarded(GuardedConfig{Driver: d, Breaker: newBreaker(t)})
	},
	"bare": func(_ *testing.T, d storage.Driver) storage.Driver { return NewBare(d) },
}

func TestConformance(t *testing.T) {
	for name, wrap := range wrappers {
		t.Run(name, func(t *testing.T) {
			storagetest.Run(t, func(t *testing.T) storage.Driver {
				t.Helper()
				return wrap(t, memory.New(memory.Options{}))
			})
		})
	}
}

// The typed operations work through each of them.
func TestTyped(t *testing.T) {
	for name, wrap := range wrappers {
		t.Run(name, func(t *testing.T) {
			typedtest.Run(t, func(t *testing.T) storage.Driver {
				t.Helper()
				return wrap(t, memory.New(memory.Options{}))
			})
		})
	}
}
