package redis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

func logs(t *testing.T, d *Driver) int {
	t.Helper()
	n, err := d.CountLogs(t.Context(), "e:")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// All nodes count the same, and what has expired counts no longer, even if nothing
// more is written.
func TestCountOfSeveralNodes(t *testing.T) {
	s := redistest.Start(t)
	one, other := open(t, s), open(t, s)
	short := func(log string) *storage.Append {
		a := in(log, "1")
		a.MaxAge = 500 * time.Millisecond
		return a
	}
	do(t, one, in("e:a", "1"), in("e:b", "1"), short("e:c"), in("h:s:a", "1"))
	do(t, other, in("e:d", "1"), in("e:a", "2"))
	if a, b := logs(t, one), logs(t, other); a != 4 || b != 4 {
		t.Fatalf("%d and %d logs", a, b)
	}
	eventually(t, "the short one has expired", func() bool { return logs(t, one) == 3 })
	do(t, one, &storage.Drop{Scope: "e:d"})
	if n := logs(t, other); n != 2 {
		t.Fatalf("%d logs after a Drop", n)
	}
	// What has expired leaves the index with the next log of its partition.
	key, neighbour := one.keys.log("e:c").index, ""
	for i := 0; neighbour == "" || one.keys.log(neighbour).index != key; i++ {
		neighbour = fmt.Sprint("e:c", i)
	}
	do(t, one, in(neighbour, "1"))
	if n := s.MustDo("ZCARD", key); n != int64(1) {
		t.Fatalf("%v in the index %s", n, key)
	}
	// And what Redis has lost is not counted.
	s.MustDo("FLUSHALL")
	if n := logs(t, one); n != 0 {
		t.Fatalf("%d logs after a flush", n)
	}
}

// Whatever stands where the index should, no event is refused for it.
func TestForeignIndex(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	s.MustDo("SET", d.keys.log("e:a").index, "foreign")
	do(t, d, in("e:a", "1"), &storage.Drop{Scope: "e:a"})
	if n, err := d.CountLogs(t.Context(), "e:"); !errors.Is(err, storage.ErrPoison) {
		t.Fatalf("%d logs, %v", n, err)
	}
}

func TestNobodyCountsWhileRedisIsAway(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	do(t, d, in("e:a", "1"))
	s.Kill()
	if n, err := d.CountLogs(t.Context(), "e:"); err == nil {
		t.Fatalf("%d logs", n)
	}
	if n, err := d.CountDocuments(t.Context(), "sessions"); err == nil {
		t.Fatalf("%d documents", n)
	}
}
