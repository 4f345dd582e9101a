package faultmatrix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// What can be done to the journal's file.
const (
	diskFull  = "full"  // writes fail with ENOSPC
	diskFsync = "fsync" // writes succeed, fsync fails; for good
	diskHeal  = "heal"  // there is room again
)

// journalFile makes the system calls on the journal's open file fail for real: it
// puts a device in the place of its descriptor. On /dev/full writes fail, on
// /dev/null they succeed and fsync fails.
type journalFile struct {
	dir string

	mu    sync.Mutex
	saved map[int]int // the descriptor that has been replaced → the copy kept of it
}

func (f *journalFile) do(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch what {
	case diskFull:
		return f.become("/dev/full", true)
	case diskFsync:
		// No copy is kept: it would hold the file's lock, and whoever opens the file
		// again after this must get it.
		return f.become("/dev/null", false)
	case diskHeal:
		return f.heal()
	}
	return fmt.Errorf("unknown disk fault %q", what)
}

func (f *journalFile) become(device string, keep bool) error {
	open, err := f.descriptors()
	if err != nil {
		return err
	}
	if len(open) == 0 {
		return errors.New("the journal has no open file")
	}
	dev, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = dev.Close() }()
	f.saved = make(map[int]int)
	for _, fd := range open {
		if keep {
			if f.saved[fd], err = syscall.Dup(fd); err != nil {
				return fmt.Errorf("keep the journal's file: %w", err)
			}
			syscall.CloseOnExec(f.saved[fd])
		}
		if err := syscall.Dup3(int(dev.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			return fmt.Errorf("replace the journal's file: %w", err)
		}
	}
	return nil
}

// heal puts the files back, where the journal has not closed them meanwhile.
func (f *journalFile) heal() error {
	var failed error
	for fd, kept := range f.saved {
		if name, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); name == "/dev/full" {
			failed = errors.Join(failed, syscall.Dup3(kept, fd, syscall.O_CLOEXEC))
		}
		_ = syscall.Close(kept)
	}
	f.saved = nil
	return failed
}

// descriptors are those of the files in the journal's directory.
func (f *journalFile) descriptors() ([]int, error) {
	const own = "/proc/self/fd"
	names, err := os.ReadDir(own)
	if err != nil {
		return nil, fmt.Errorf("look for the journal's file: %w", err)
	}
	var found []int
	for _, n := range names {
		target, err := os.Readlink(filepath.Join(own, n.Name()))
		fd, numeric := strconv.Atoi(n.Name())
		if err != nil || numeric != nil || !strings.HasPrefix(target, f.dir+"/") {
			continue
		}
		if info, err := os.Stat(target); err == nil && info.Mode().IsRegular() {
			found = append(found, fd)
		}
	}
	return found, nil
}
