package resilient

import (
	"testing"

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
		return journaled(t, d, "")
	},
	"journaled on disk": func(t *testing.T, d storage.Driver) storage.Driver {
		t.Helper()
		return journaled(t, d, t.TempDir())
	},
	"guarded": func(t *testing.T, d storage.Driver) storage.Driver {
		t.Helper()
		return NewGuarded(GuardedConfig{Driver: d, Breaker: newBreaker(t)})
	},
	"bare": func(_ *testing.T, d storage.Driver) storage.Driver { return NewBare(d) },
}

func journaled(t *testing.T, d storage.Driver, dir string) storage.Driver {
	t.Helper()
	cfg := JournaledConfig{Driver: d, Breakers: []*breaker.Breaker{newBreaker(t)}, Dir: dir}
	patient(&cfg)
	j, err := NewJournaled(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return j
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
