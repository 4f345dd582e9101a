package disk

import (
	"errors"
	"fmt"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/boltfile"
	"github.com/actionflows/lifeline/storage/internal/boltfile/boltfiletest"
)

func openFaulty(t *testing.T) (*Driver, *boltfiletest.Disk, func(level zapcore.Level) int) {
	t.Helper()
	f := boltfiletest.NewDisk(t)
	log, logged := observed()
	d := open(t, Options{Logger: log, openFile: f.Open})
	warm(t, d)
	return d, f, func(level zapcore.Level) int { return logged.FilterLevelExact(level).Len() }
}

// operations are one of each kind that writes, all for one name, and what tells
// that it was carried out once, after it was refused several times.
var operations = []struct {
	name   string
	before []storage.Op
	op     storage.Op
	done   func(t *testing.T, d *Driver) bool
}{
	{"Append", nil, &storage.Append{Log: "x", ID: "a"}, func(t *testing.T, d *Driver) bool {
		return len(readAll(t, d, "x")) == 1
	}},
	{"Put", nil, &storage.Put{Collection: "x", ID: "a", Indexes: map[string]string{"i": "v"}}, func(t *testing.T, d *Driver) bool {
		found, err := d.Scan(t.Context(), "x", "i", storage.ScanQuery{Value: "v"})
		if err != nil {
			t.Fatal(err)
		}
		return len(found) == 1
	}},
	{"Del", []storage.Op{&storage.Put{Collection: "x", ID: "a"}}, &storage.Del{Collection: "x", ID: "a"}, func(t *testing.T, d *Driver) bool {
		_, err := d.Get(t.Context(), "x", "a")
		return errors.Is(err, storage.ErrNotFound)
	}},
	{"Push", nil, &storage.Push{Queue: "x", ID: "a"}, func(t *testing.T, d *Driver) bool { return len(itemsOf(t, d, "x")) == 1 }},
	{"Add", nil, &storage.Add{Collection: "x", Member: "a", Deltas: map[string]int64{"n": 1}}, func(t *testing.T, d *Driver) bool {
		return counterOf(t, d, "x", "", "a")["n"] == 1
	}},
	{"Drop", []storage.Op{&storage.Append{Log: "x", ID: "a"}, &storage.Push{Queue: "x", ID: "a"}}, &storage.Drop{Scope: "x"}, func(t *testing.T, d *Driver) bool {
		return len(readAll(t, d, "x")) == 0 && len(itemsOf(t, d, "x")) == 0
	}},
}

// No operation is acknowledged on a full disk, none is half done, and each works
// when there is room again.
func TestDiskFullOperations(t *testing.T) {
	for _, o := range operations {
		t.Run(o.name, func(t *testing.T) {
			d, f, _ := openFaulty(t)
			must(t, d, o.before...)
			warm(t, d)
			f.Fill()
			for range 3 {
				wantUnavailable(t, add(t, d, o.op).Err, "the disk is full")
			}
			if o.done(t, d) {
				t.Fatal("what was refused can be read")
			}
			f.Restore()
			if r := must(t, d, o.op); r.Duplicate {
				t.Fatalf("answer is %+v", r)
			}
			if !o.done(t, d) {
				t.Fatal("what was acknowledged is not there")
			}
		})
	}
}

// None is acknowledged when fsync fails either, and each works when the file is
// open again.
func TestFsyncErrorOperations(t *testing.T) {
	for _, o := range operations {
		t.Run(o.name, func(t *testing.T) {
			d, f, _ := openFaulty(t)
			must(t, d, o.before...)
			warm(t, d)
			f.FailSync()
			f.Refuse(errors.New("no disk"))
			for range 2 {
				wantUnavailable(t, add(t, d, o.op).Err, "writing to the disk failed")
			}
			_, err := d.Get(t.Context(), "x", "a")
			wantUnavailable(t, err, "writing to the disk failed")
			f.Release()
			f.Refuse(nil)
			eventually(t, "the file is open again", func() bool { return d.Health(t.Context()) == nil })
			if o.done(t, d) {
				t.Fatal("what was refused can be read")
			}
			must(t, d, o.op)
			if !o.done(t, d) {
				t.Fatal("what was acknowledged is not there")
			}
		})
	}
}

// A Take that fails has handed nothing out: the item is still there.
func TestTakeFails(t *testing.T) {
	d, f, _ := openFaulty(t)
	must(t, d, &storage.Push{Queue: "q", ID: "a"})
	warm(t, d)
	f.Fill()
	for range 3 {
		items, err := d.Take(t.Context(), "q", 0)
		wantUnavailable(t, err, "the disk is full")
		if len(items) > 0 {
			t.Fatalf("items are %+v", items)
		}
	}
	f.Restore()
	if ids := takeAll(t, d, "q"); len(ids) != 1 {
		t.Fatalf("items are %q", ids)
	}
	must(t, d, &storage.Push{Queue: "q", ID: "b"})
	f.FailSync()
	f.Refuse(errors.New("no disk"))
	_, err := d.Take(t.Context(), "q", 0)
	wantUnavailable(t, err, "writing to the disk failed")
	f.Release()
	f.Refuse(nil)
	eventually(t, "the file is open again", func() bool { return d.Health(t.Context()) == nil })
	if ids := takeAll(t, d, "q"); len(ids) != 1 || ids[0] != "b" {
		t.Fatalf("items are %q", ids)
	}
}

// warm writes until there are free pages and the file need not grow: a device has
// no size.
func warm(t *testing.T, d *Driver) {
	t.Helper()
	for i := range 20 {
		r := must(t, d, &storage.Put{Collection: "warm", ID: "a", Body: make([]byte, 8000)},
			&storage.Append{Log: "other", ID: storage.NewEpoch().String() + fmt.Sprint(i)},
			&storage.Del{Collection: "warm", ID: "a"})
		if r.Duplicate {
			t.Fatal("a deletion came too late")
		}
	}
}

func TestDiskFull(t *testing.T) {
	d, f, logged := openFaulty(t)
	mustAdd(t, d, "e", "before")
	f.Fill()
	for range 3 {
		r := add(t, d, &storage.Append{Log: "e", ID: "refused"})
		wantUnavailable(t, r.Err, "the disk is full")
		if r.Cursor.Pos != (storage.Position{}) {
			t.Fatalf("an entry that was not stored has position %s", r.Cursor)
		}
		wantUnavailable(t, d.Health(t.Context()), "the disk is full")
	}
	if entries := readAll(t, d, "e"); len(entries) != 1 || entries[0].ID != "before" {
		t.Fatalf("reads answer %v", entries)
	}
	if n := logged(zapcore.ErrorLevel); n != 1 {
		t.Fatalf("%d errors were logged", n)
	}
	f.Restore()
	if c := mustAdd(t, d, "e", "refused"); c.Pos.Seq != 2 {
		t.Fatalf("position is %s", c)
	}
	if entries := readAll(t, d, "e"); len(entries) != 2 {
		t.Fatalf("reads answer %v", entries)
	}
}

func TestFsyncError(t *testing.T) {
	d, f, logged := openFaulty(t)
	before := mustAdd(t, d, "e", "before")
	f.Refuse(errors.New("no disk"))
	f.FailSync()
	const reason = "writing to the disk failed"
	wantUnavailable(t, add(t, d, &storage.Append{Log: "e", ID: "lost"}).Err, reason)
	// The file is closed now: nothing is accepted and nothing can be read.
	wantUnavailable(t, add(t, d, &storage.Append{Log: "e", ID: "lost"}).Err, reason)
	wantUnavailable(t, d.Health(t.Context()), reason)
	_, err := d.ReadLog(t.Context(), "e", storage.LogQuery{})
	wantUnavailable(t, err, reason)
	eventually(t, "an attempt to reopen failed", func() bool { return logged(zapcore.WarnLevel) > 0 })
	f.Release()
	f.Refuse(nil)
	eventually(t, "the file is open again", func() bool { return d.Health(t.Context()) == nil })
	page, err := d.ReadLog(t.Context(), "e", storage.LogQuery{After: &before})
	if err != nil || page.Gap || len(page.Entries) != 0 {
		t.Fatalf("after reopening: %+v, %v", page, err)
	}
	if c := mustAdd(t, d, "e", "lost"); c.Epoch != before.Epoch || c.Pos.Seq != 2 {
		t.Fatalf("cursor is %s, before it was %s", c, before)
	}
}

// A driver that was given up is closed cleanly, and the next one checks.
func TestCloseAfterFsyncError(t *testing.T) {
	d, f, _ := openFaulty(t)
	mustAdd(t, d, "e", "before")
	f.Refuse(errors.New("no disk"))
	f.FailSync()
	if err := add(t, d, &storage.Append{Log: "e", ID: "lost"}).Err; err == nil {
		t.Fatal("acknowledged without fsync")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	f.Release()
	log, logged := observed()
	next := open(t, Options{Dir: d.opener.Dir, Logger: log})
	if logged.FilterMessageSnippet("checked").Len() != 1 {
		t.Fatal("the file was not checked")
	}
	if entries := readAll(t, next, "e"); len(entries) != 1 {
		t.Fatalf("entries are %v", entries)
	}
}

// A file of format 1 that is opened on a full disk is read as it is, and upgraded by the first commit that the disk takes.
func TestUpgradeLater(t *testing.T) {
	dir := t.TempDir()
	format1(t, dir)
	disk := boltfiletest.NewDisk(t)
	o := newOpener(dir, zap.NewNop(), disk.Open)
	f := &file{}
	_, _, err := o.Open(false, func(opened *boltfile.File) error {
		f.File = opened
		disk.Fill()
		defer disk.Restore()
		return o.prepare(f)
	})
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, Options{})
	mine := d.file.Swap(f)
	t.Cleanup(func() { _ = mine.Close() })
	if _, err := d.Get(t.Context(), "c", "a"); err == nil {
		t.Fatal("found a document in a file of format 1")
	}
	documents, err := d.Scan(t.Context(), "c", "", storage.ScanQuery{})
	if err != nil || len(documents) != 0 || counterOf(t, d, "c", "", "a") != nil || takeAll(t, d, "q") != nil {
		t.Fatalf("%v, %v", documents, err)
	}
	d.removeEnded()
	if v := format(t, d); v != formatVersion {
		t.Fatalf("the format is %d", v)
	}
	checkUpgraded(t, d)
}
