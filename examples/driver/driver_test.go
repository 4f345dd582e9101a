package driver_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/actionflows/lifeline/examples/driver"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, path string) storage.Driver {
	t.Helper()
	d, err := driver.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestConformance(t *testing.T) {
	paths := make(map[storage.Driver]string)
	storagetest.RunWith(t, func(t *testing.T) storage.Driver {
		path := filepath.Join(t.TempDir(), "state")
		d := open(t, path)
		paths[d] = path
		return d
	}, storagetest.Options{Reopen: func(t *testing.T, d storage.Driver) storage.Driver {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		again := open(t, paths[d])
		paths[again] = paths[d]
		return again
	}})
}

// The example shows that a driver is little work: at most 300 lines in all.
func TestLength(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines += bytes.Count(b, []byte("\n"))
	}
	if lines == 0 || lines > 300 {
		t.Fatalf("%d lines", lines)
	}
}

// A write that fails is answered so, has changed nothing, and the next one works.
func TestFailedWrite(t *testing.T) {
	dir := t.TempDir()
	d := open(t, filepath.Join(dir, "state"))
	defer d.Close()
	put := func(id string) error {
		r, err := d.Apply(t.Context(), []storage.Op{&storage.Put{Collection: "c", ID: id}})
		if len(r) != 1 || !errors.Is(r[0].Err, err) {
			t.Fatalf("%d results, %+v, error %v", len(r), r, err)
		}
		return err
	}
	if err := put("a"); err != nil {
		t.Fatal(err)
	}
	blocked := filepath.Join(dir, "state.new") // a directory where the file is to be written
	if err := os.Mkdir(blocked, 0o700); err != nil {
		t.Fatal(err)
	}
	var unavailable *storage.UnavailableError
	if err := put("b"); !errors.As(err, &unavailable) {
		t.Fatalf("answer is %v", err)
	}
	if err := d.Health(t.Context()); !errors.As(err, &unavailable) {
		t.Fatalf("health is %v", err)
	}
	if _, err := d.Get(t.Context(), "c", "b"); !errors.Is(err, storage.ErrNotFound) {
		t.Fatalf("what was refused is there: %v", err)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	if err := put("c"); err != nil {
		t.Fatal(err)
	}
	documents, err := d.Scan(t.Context(), "c", "", storage.ScanQuery{})
	if err != nil || len(documents) != 2 {
		t.Fatalf("documents are %+v, %v", documents, err)
	}
}

func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := driver.Open(path); err == nil {
		t.Fatal("it was opened")
	}
}
