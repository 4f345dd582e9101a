package disk

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/actionflows/lifeline/storage"
)

// faulty is a file whose descriptor a test can turn into that of a device, so
// that the system calls of a commit fail for real.
type faulty struct {
	t     *testing.T
	mu    sync.Mutex
	file  *os.File
	saved int // the descriptor that belongs to file
	fail  error
}

func (f *faulty) open(name string, flag int, mode os.FileMode) (*os.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, f.fail
	}
	file, err := os.OpenFile(name, flag, mode)
	f.file = file
	return file, err
}

// become lets all further calls on the open file go to a device. On /dev/full
// writes fail with ENOSPC; on /dev/null they succeed and fdatasync fails.
func (f *faulty) become(device string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	dev, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer dev.Close()
	fd := int(f.file.Fd())
	if f.saved, err = syscall.Dup(fd); err != nil {
		f.t.Fatal(err)
	}
	if err := syscall.Dup3(int(dev.Fd()), fd, syscall.O_CLOEXEC); err != nil {
		f.t.Fatal(err)
	}
}

// restore gives the open file its own descriptor back.
func (f *faulty) restore() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := syscall.Dup3(f.saved, int(f.file.Fd()), syscall.O_CLOEXEC); err != nil {
		f.t.Fatal(err)
	}
	_ = syscall.Close(f.saved)
}

// release gives up the saved descriptor, and with it the file's lock.
func (f *faulty) release() { _ = syscall.Close(f.saved) }

func (f *faulty) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

func openFaulty(t *testing.T) (*Driver, *faulty, func(level zapcore.Level) int) {
	t.Helper()
	f := &faulty{t: t}
	log, logged := observed()
	d := open(t, Options{Logger: log, openFile: f.open})
	for i := range 20 { // until there are free pages, and the file need not grow
		mustAdd(t, d, "other", fmt.Sprint(i))
	}
	return d, f, func(level zapcore.Level) int { return logged.FilterLevelExact(level).Len() }
}

func TestDiskFull(t *testing.T) {
	d, f, logged := openFaulty(t)
	mustAdd(t, d, "e", "before")
	f.become("/dev/full")
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
	f.restore()
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
	f.set(errors.New("no disk"))
	f.become("/dev/null")
	const reason = "writing to the disk failed"
	wantUnavailable(t, add(t, d, &storage.Append{Log: "e", ID: "lost"}).Err, reason)
	// The file is closed now: nothing is accepted and nothing can be read.
	wantUnavailable(t, add(t, d, &storage.Append{Log: "e", ID: "lost"}).Err, reason)
	wantUnavailable(t, d.Health(t.Context()), reason)
	_, err := d.ReadLog(t.Context(), "e", storage.LogQuery{})
	wantUnavailable(t, err, reason)
	eventually(t, "an attempt to reopen failed", func() bool { return logged(zapcore.WarnLevel) > 0 })
	f.release()
	f.set(nil)
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
	f.set(errors.New("no disk"))
	f.become("/dev/null")
	if err := add(t, d, &storage.Append{Log: "e", ID: "lost"}).Err; err == nil {
		t.Fatal("acknowledged without fsync")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	f.release()
	log, logged := observed()
	next := open(t, Options{Dir: d.opener.dir, Logger: log})
	if logged.FilterMessageSnippet("checked").Len() != 1 {
		t.Fatal("the file was not checked")
	}
	if entries := readAll(t, next, "e"); len(entries) != 1 {
		t.Fatalf("entries are %v", entries)
	}
}
