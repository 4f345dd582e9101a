package resilient

import (
	"testing"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
	"github.com/actionflows/lifeline/storage/storagetest"
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

func TestConformanceJournaled(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Driver {
		t.Helper()
		j, err := NewJournaled(JournaledConfig{Driver: memory.New(memory.Options{}), Breaker: newBreaker(t)})
		if err != nil {
			t.Fatal(err)
		}
		return j
	})
}

func TestConformanceGuarded(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Driver {
		t.Helper()
		return NewGuarded(GuardedConfig{Driver: memory.New(memory.Options{}), Breaker: newBreaker(t)})
	})
}

func TestConformanceBare(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Driver {
		t.Helper()
		return NewBare(memory.New(memory.Options{}))
	})
}
