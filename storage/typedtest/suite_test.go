package typedtest

import (
	"reflect"
	"runtime"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// probe is a test of which only is noted whether it failed.
type probe struct {
	testing.TB
	failed   bool
	cleanups []func()
}

func (p *probe) Helper()               {}
func (p *probe) Cleanup(f func())      { p.cleanups = append(p.cleanups, f) }
func (p *probe) Errorf(string, ...any) { p.failed = true }
func (p *probe) Fatal(...any)          { p.failed = true; runtime.Goexit() }
func (p *probe) Fatalf(string, ...any) { p.failed = true; runtime.Goexit() }

// fails runs a test over a storage and reports whether it failed.
func fails(t *testing.T, tt test, change func(storage.Storage) storage.Storage) bool {
	t.Helper()
	d := memory.New(memory.Options{})
	p := &probe{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if recover() != nil { // it did not expect that little
				p.failed = true
			}
		}()
		e := newEnv(p, d)
		e.s = change(e.s)
		tt.run(e)
	}()
	<-done
	for _, f := range slices.Backward(p.cleanups) {
		f()
	}
	if err := d.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	return p.failed
}

// Every operation has a test that fails when the operation does nothing, and is
// green when it does what it should.
func TestOperationsThatDoNothing(t *testing.T) {
	for _, tt := range operations {
		if fails(t, tt, func(s storage.Storage) storage.Storage { return s }) {
			t.Errorf("%s fails over a storage that works", tt.name)
		}
		without, ok := idle[tt.name]
		if !ok {
			t.Errorf("%s: there is no storage without it", tt.name)
			continue
		}
		if !fails(t, tt, without) {
			t.Errorf("%s passes when the operation does nothing", tt.name)
		}
	}
}

// No operation is forgotten: each method of the interface is one that idle takes
// away. ReadEvents stands for two operations.
func TestEveryOperationIsTested(t *testing.T) {
	if len(idle) != len(operations) {
		t.Errorf("%d operations, of which %d are taken away", len(operations), len(idle))
	}
	tested := make(map[string]bool)
	for _, without := range idle {
		tested[reflect.TypeOf(without(nil)).Name()] = true
	}
	for m := range reflect.TypeFor[storage.Storage]().Methods() {
		if !tested["no"+m.Name] {
			t.Errorf("%s has no test", m.Name)
		}
	}
}
