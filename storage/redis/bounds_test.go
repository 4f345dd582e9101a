package redis

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

// One call removes no more than a thousand documents; the next ones do the rest.
func TestOneCallRemovesABoundedNumberOfDocuments(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	k := d.keys.collection(testCollection)
	documents := func() int64 { return s.MustDo("ZLEXCOUNT", k.members(), "[a:", "(a;").(int64) }
	ops := make([]storage.Op, 2500)
	for i := range ops {
		p := document(fmt.Sprintf("d%04d", i), 1)
		p.Rank = int64(i)
		ops[i] = p
	}
	do(t, d, ops...)
	for i, want := range []int64{1501, 502, 10} {
		p := document(fmt.Sprint("next", i), 1)
		p.Rank, p.MaxMembers = 1_000_000, 10
		do(t, d, p)
		if n := documents(); n != want {
			t.Errorf("call %d: %d documents, want %d", i, n, want)
		}
	}
}

// Where more have expired than one call sweeps, those that are still counted push
// out nothing that lives.
func TestExpiredDocumentsPushOutNoLivingOnes(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	k := d.keys.collection(testCollection)
	ops := []storage.Op{document("alive", 1)}
	for i := range 1000 { // 3 members each
		p := document(fmt.Sprint("d", i), 1)
		p.Rank, p.TTL = 10, time.Second
		ops = append(ops, p)
	}
	do(t, d, ops...)
	eventually(t, "all but one have expired", func() bool { return len(scanned(t, d, storage.ScanQuery{})) == 1 })
	want := []string{"alive"}
	for i, left := range []int64{1000, 0} {
		p := document(fmt.Sprint("next", i), 1)
		p.MaxMembers = 3
		do(t, d, p)
		want = append(want, p.ID)
		if got := scanned(t, d, storage.ScanQuery{}); !slices.Equal(got, want) {
			t.Errorf("documents are %v, want %v", got, want)
		}
		if n := s.MustDo("ZCARD", k.ends()); n != left {
			t.Errorf("%v members of expired documents are left, want %d", n, left)
		}
	}
}

func TestOneCallRemovesABoundedNumberOfCounters(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	ranking := d.keys.collection(testCollection).ranking("")
	ops := make([]storage.Op, 1500)
	for i := range ops {
		ops[i] = addition(fmt.Sprint("m", i))
	}
	do(t, d, ops...)
	for _, want := range []int64{501, 10} {
		last := addition("last" + fmt.Sprint(want))
		last.MaxMembers = 10
		do(t, d, last)
		if n := s.MustDo("ZCARD", ranking); n != want {
			t.Errorf("%v members, want %d", n, want)
		}
	}
}
