package boltfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func opener(dir string) Opener {
	return Opener{Dir: dir, Name: "a.db", What: "file", Loss: "it starts empty", Log: zap.NewNop()}
}

func fine(*File) error { return nil }

func open(t *testing.T, o Opener) (*File, Found) {
	t.Helper()
	f, found, err := o.Open(false, fine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.release)
	return f, found
}

// fill makes branches, pages of more than one page, and buckets in buckets.
func fill(t *testing.T, f *File) {
	t.Helper()
	err := f.DB.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("bucket"))
		for i := range 100 {
			err = errors.Join(err, b.Put(fmt.Append(nil, "key", i), make([]byte, 10+i*i%1500)))
		}
		inner, innerErr := b.CreateBucket([]byte("inner"))
		small, smallErr := b.CreateBucket([]byte("small"))
		return errors.Join(err, innerErr, smallErr, inner.Put([]byte("a"), make([]byte, 10_000)), small.Put([]byte("b"), []byte("c")))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A file that lost its end is recognised before anything behind it is read, which
// would kill the process.
func TestCheckTruncated(t *testing.T) {
	f, _ := open(t, opener(t.TempDir()))
	fill(t, f)
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(f.os.Name(), 4*4096); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("error is %v", err)
	}
}

// Two files set aside at once get two names.
func TestSetAsideNeverOverwrites(t *testing.T) {
	o := opener(t.TempDir())
	seen := make(map[string]bool)
	for range 20 {
		name, err := o.freeName()
		if err != nil || seen[name] {
			t.Fatalf("%s, %v", name, err)
		}
		seen[name] = true
		if err := os.WriteFile(name, nil, fileMode); err != nil {
			t.Fatal(err)
		}
	}
}

// A file that was given up is free for the next one, although it is still mapped.
func TestAbandon(t *testing.T) {
	o := opener(t.TempDir())
	f, _ := open(t, o)
	fill(t, f)
	f.Abandon()
	again, found := open(t, o)
	if !found.Dirty || found.SetAside != "" {
		t.Fatalf("found %+v", found)
	}
	if err := again.Check(); err != nil {
		t.Fatal(err)
	}
	f.DB = nil // it must not be closed any more
}

// What panics when it is prepared is corrupt, what fails is not.
func TestPrepare(t *testing.T) {
	o := opener(t.TempDir())
	_, _, err := o.Open(false, func(*File) error { return errors.New("not of mine") })
	if err == nil || !strings.Contains(err.Error(), "not of mine") {
		t.Fatalf("error is %v", err)
	}
	n := 0
	f, found, err := o.Open(false, func(f *File) error {
		if n++; n == 1 {
			return f.DB.Update(func(*bbolt.Tx) error { panic("damaged page") })
		}
		return nil
	})
	if err != nil || n != 2 {
		t.Fatalf("prepared %d times, %v", n, err)
	}
	t.Cleanup(f.release)
	if _, err := os.Stat(found.SetAside); err != nil {
		t.Fatal(err)
	}
}

// A corrupt file is set aside by Open, and stays where it is with Reopen.
func TestReopen(t *testing.T) {
	o := opener(t.TempDir())
	f, _ := open(t, o)
	fill(t, f)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(o.Path(), 5*4096); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := o.Reopen(fine); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("error is %v", err)
		}
	}
	if _, found := open(t, o); found.SetAside == "" {
		t.Fatal("it was not set aside")
	}
	if names, _ := filepath.Glob(o.Path() + ".corrupt-*"); len(names) != 1 {
		t.Fatalf("set aside are %q", names)
	}
}

// Wherever a page leads that is damaged in one place, following it ends, with an
// error that says so if it is followed out of the file or in a circle.
func TestStructure(t *testing.T) {
	o := opener(t.TempDir())
	f, _ := open(t, o)
	fill(t, f)
	used := int64(0)
	if err := f.view(func(tx *bbolt.Tx) error { used = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	found := 0
	for page := int64(2); page < used/4096; page++ {
		for at := int64(0); at < 48; at += 4 {
			if checkWith(t, f, page*4096+at, []byte{0xff, 0xff, 0xff, 0xff}) {
				found++
			}
			checkWith(t, f, page*4096+at, []byte{2, 0, 0, 0})
			checkWith(t, f, page*4096+at, []byte{0, 0, 0, 0})
		}
	}
	if found < 200 {
		t.Fatalf("only %d were found", found)
	}
	if err := f.checkPages(); err != nil {
		t.Fatal(err)
	}
}

// checkWith overwrites a place of the file for one check and reports whether that
// found it.
func checkWith(t *testing.T, f *File, at int64, b []byte) bool {
	t.Helper()
	before := make([]byte, len(b))
	_, err := f.os.ReadAt(before, at)
	_, writeErr := f.os.WriteAt(b, at)
	if err := errors.Join(err, writeErr); err != nil {
		t.Fatal(err)
	}
	err = f.Check()
	if err != nil && !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	if _, err := f.os.WriteAt(before, at); err != nil {
		t.Fatal(err)
	}
	return err != nil
}
