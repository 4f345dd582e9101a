package disk

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/actionflows/lifeline/storage"
)

// format1 lays a file into a directory that a driver of format 1 has written: a
// log "chained" of three entries of producer 7, and a log "trimmed".
func format1(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "format1.db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, fileName), b)
}

func format(t *testing.T, d *Driver) (v byte) {
	t.Helper()
	err := d.file.Load().DB.View(func(tx *bbolt.Tx) error {
		v = tx.Bucket(bucketMeta).Get(keyFormat)[0]
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestUpgrade(t *testing.T) {
	dir := t.TempDir()
	format1(t, dir)
	d := open(t, Options{Dir: dir})
	checkUpgraded(t, d)
	if v := format(t, d); v != formatVersion {
		t.Fatalf("the format is %d", v)
	}
	// And it can be opened again.
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, Options{Dir: dir})
	if doc, err := d.Get(t.Context(), "c", "a"); err != nil || string(doc.Body) != "body" {
		t.Fatalf("%+v, %v", doc, err)
	}
}

// checkUpgraded fails unless what the old file has is there and goes on, and
// what it could not have can be written.
func checkUpgraded(t *testing.T, d *Driver) {
	t.Helper()
	const producer = 7
	entries := readAll(t, d, "chained")
	if len(entries) != 3 || string(entries[2].Data) != "data 2" || entries[2].Link.Number != 3 {
		t.Fatalf("entries are %+v", entries)
	}
	epoch := entries[0].Cursor.Epoch
	r := must(t, d, &storage.Append{Log: "chained", ID: "c3", Link: storage.Link{Producer: producer, Number: 4}})
	if r.Cursor.Epoch != epoch || r.Cursor.Pos.Seq != 4 {
		t.Fatalf("cursor is %s, the epoch was %s", r.Cursor, epoch)
	}
	if r := must(t, d, &storage.Append{Log: "trimmed", ID: "t0", MaxLen: 4}); !r.Duplicate {
		t.Fatal("an id of a trimmed entry is not remembered")
	}
	must(t, d, &storage.Put{Collection: "c", ID: "a", Body: []byte("body")}, &storage.Push{Queue: "q", ID: "a"},
		&storage.Add{Collection: "c", Member: "a", Deltas: map[string]int64{"n": 1}}, &storage.Drop{Scope: "trimmed"})
	if n := counterOf(t, d, "c", "", "a")["n"]; n != 1 {
		t.Fatalf("counter is %d", n)
	}
	if ids := takeAll(t, d, "q"); len(ids) != 1 {
		t.Fatalf("items are %q", ids)
	}
	if entries := readAll(t, d, "trimmed"); len(entries) != 0 {
		t.Fatalf("entries are %+v", entries)
	}
}
