package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"go.uber.org/zap/zapcore"

	"github.com/actionflows/lifeline/storage"
)

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	open(t, Options{Dir: dir})
	for name, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, fileName): 0o600} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestSecondOpen(t *testing.T) {
	d := open(t, Options{})
	dir := d.opener.Dir
	_, err := Open(Options{Dir: dir})
	for _, part := range []string{dir, "in use", fmt.Sprint(os.Getpid())} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Fatalf("error is %v, want it to name %q", err, part)
		}
	}
	// The first one is not disturbed, and the directory is free after it.
	mustAdd(t, d, "e", "a")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, Options{Dir: dir})
}

func TestOpenFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: filepath.Join(file, "dir")}); err == nil {
		t.Fatal("opened below a file")
	}
}

// damage is what may happen to a file while nobody has it open.
var damage = map[string]func(t *testing.T, path string){
	"garbage":   func(t *testing.T, path string) { write(t, path, []byte(strings.Repeat("garbage ", 5000))) },
	"one byte":  func(t *testing.T, path string) { write(t, path, []byte("x")) },
	"one page":  func(t *testing.T, path string) { truncate(t, path, 4096) },
	"truncated": func(t *testing.T, path string) { truncate(t, path, 6*4096) },
	"both meta pages zero": func(t *testing.T, path string) {
		overwrite(t, path, 0, make([]byte, 2*4096))
	},
	"pages overwritten": func(t *testing.T, path string) {
		overwrite(t, path, 2*4096, []byte(strings.Repeat("\xff\x01garbage", 20000)))
	},
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

func TestCorruptFile(t *testing.T) {
	for name, damage := range damage {
		t.Run(name, func(t *testing.T) {
			d := open(t, Options{})
			dir := d.opener.Dir
			for i := range 200 {
				mustAdd(t, d, fmt.Sprint("e", i%5), fmt.Sprint(i))
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, fileName)
			damage(t, path)
			damaged, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, fileName+".open"), nil) // a dirty start

			log, logged := observed()
			d = open(t, Options{Dir: dir, Logger: log})
			aside := glob(t, dir, fileName+".corrupt-*")
			if len(aside) != 1 || logged.FilterLevelExact(zapcore.ErrorLevel).Len() != 1 {
				t.Fatalf("set aside %q, logged %v", aside, logged.All())
			}
			if kept, err := os.ReadFile(aside[0]); err != nil || string(kept) != string(damaged) {
				t.Fatalf("the file set aside was changed (%v)", err)
			}
			if c := mustAdd(t, d, "e0", "new"); c.Pos.Seq != 1 {
				t.Fatalf("cursor is %s", c)
			}
		})
	}
}

// What a read answered stays when the file is not mapped any more.
func TestDataIsCopied(t *testing.T) {
	d := open(t, Options{})
	data := strings.Repeat("x", 5000) // bbolt copies small buckets by itself
	if r := add(t, d, &storage.Append{Log: "e", ID: "a", Data: []byte(data)}); r.Err != nil {
		t.Fatal(r.Err)
	}
	entries := readAll(t, d, "e")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if e := entries[0]; e.ID != "a" || string(e.Data) != data {
		t.Fatalf("entry %s has other data", e.ID)
	}
}

func TestNewerFormat(t *testing.T) {
	d := open(t, Options{})
	dir := d.opener.Dir
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyFormat, []byte{formatVersion + 1}) })
	if err != nil || db.Close() != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "format") {
		t.Fatalf("error is %v", err)
	}
	if len(glob(t, dir, "*corrupt*")) != 0 {
		t.Fatal("a newer file was set aside")
	}
}
