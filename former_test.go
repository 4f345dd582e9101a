package lifeline

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage/memory"
	"github.com/actionflows/lifeline/storage/resilient"
)

// TestFormersStay: a former storage can be taken up again, with what it has, and is
// closed after a while otherwise, or with its hub.
func TestFormersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := func(key string) *opened {
			o := &opened{by: &Hub{key: key}, storage: resilient.NewBare(memory.New(memory.Options{}))}
			o.count(zap.NewNop())
			return o
		}
		isClosed := func(o *opened) bool { return o.storage.Health(t.Context()) != nil }
		f := formers{logger: zap.NewNop()}
		a, b, c := open("a"), open("b"), open("c")
		f.add(a)
		f.add(b)
		if got := f.take(func(o *opened) bool { return o.by.key == "a" }); got != a || isClosed(a) {
			t.Errorf("took %v", got)
		}
		if got := f.take(func(o *opened) bool { return o.by.key == "a" }); got != nil {
			t.Errorf("took %v twice", got)
		}
		if all := f.all(); len(all) != 1 || all[0] != b {
			t.Errorf("there are %v", all)
		}
		time.Sleep(formerStay + formerLook) // in the bubble
		synctest.Wait()
		if !isClosed(b) || len(f.all()) != 0 {
			t.Error("b stays")
		}
		f.add(c)
		if err := f.close(); err != nil || !isClosed(c) {
			t.Errorf("close: %v", err)
		}
		if err := a.close(); err != nil {
			t.Error(err)
		}
	})
}
