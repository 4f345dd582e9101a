package boltfiletest

import (
	"os"
	"sync"
	"syscall"
	"testing"
)

// Disk has one file, whose descriptor a test can turn into that of a device, so that
// the system calls of a commit fail for real. A device has no size: the file must not
// have to grow meanwhile. All methods are safe for concurrent use.
type Disk struct {
	t     testing.TB
	mu    sync.Mutex
	file  *os.File
	saved int // the descriptor that belongs to file
	fail  error
}

// NewDisk is a disk that works.
func NewDisk(t testing.TB) *Disk { return &Disk{t: t} }

// Open is os.OpenFile for the disk's file.
func (d *Disk) Open(name string, flag int, mode os.FileMode) (*os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return nil, d.fail
	}
	file, err := os.OpenFile(name, flag, mode)
	d.file = file
	return file, err
}

// Fill makes all further writes to the open file fail with ENOSPC.
func (d *Disk) Fill() {
	d.t.Helper()
	d.become("/dev/full")
}

// FailSync makes all further fdatasync of the open file fail, whose writes are lost.
func (d *Disk) FailSync() {
	d.t.Helper()
	d.become("/dev/null")
}

func (d *Disk) become(device string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	dev, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	defer dev.Close()
	fd := int(d.file.Fd())
	if d.saved, err = syscall.Dup(fd); err != nil {
		d.t.Fatal(err)
	}
	if err := syscall.Dup3(int(dev.Fd()), fd, syscall.O_CLOEXEC); err != nil {
		d.t.Fatal(err)
	}
}

// Restore lets the open file work again.
func (d *Disk) Restore() {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := syscall.Dup3(d.saved, int(d.file.Fd()), syscall.O_CLOEXEC); err != nil {
		d.t.Fatal(err)
	}
	_ = syscall.Close(d.saved)
}

// Release lets go of the file that failed, which has been closed, and of its lock.
func (d *Disk) Release() { _ = syscall.Close(d.saved) }

// Refuse makes Open answer an error; nil lets it work.
func (d *Disk) Refuse(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}
