package boltfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.uber.org/zap"
)

// mark creates the marker. That it is there is what matters: on a full disk the
// process id in it may be missing.
func (o Opener) mark() error {
	m, err := os.OpenFile(o.Marker(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return fmt.Errorf("mark the %s as open: %w", o.What, err)
	}
	_, err = fmt.Fprintln(m, os.Getpid())
	if err := errors.Join(err, m.Sync(), m.Close()); err != nil {
		o.Log.Warn("marker of the open "+o.What+" is incomplete", zap.String("file", o.Marker()), zap.Error(err))
	}
	return syncDir(o.Dir)
}

// Unmark says that the file is closed in order. It must be called before the file is
// closed, lest it remove a successor's marker.
func (o Opener) Unmark() error {
	if err := os.Remove(o.Marker()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("mark the %s as closed: %w", o.What, err)
	}
	return nil
}

// setAside renames a corrupt file and answers its new name; f is open or not.
func (o Opener) setAside(f *File, cause error) (aside string, err error) {
	defer f.release()
	if f.info == nil {
		return "", cause
	}
	if now, err := os.Stat(o.Path()); err != nil || !os.SameFile(now, f.info) {
		return "", o.inUse() // somebody else has set it aside meanwhile
	}
	if aside, err = o.freeName(); err != nil {
		return "", err
	}
	if err := os.Rename(o.Path(), aside); err != nil {
		return "", fmt.Errorf("set corrupt file aside (%w): %w", cause, err)
	}
	o.Log.Error(o.What+" is corrupt; it was set aside and a new one begun, "+o.Loss,
		zap.String("file", o.Path()), zap.String("set_aside", aside), zap.Error(cause))
	return aside, syncDir(o.Dir)
}

// freeName answers a name for a corrupt file that nothing has.
func (o Opener) freeName() (string, error) {
	base := o.Path() + ".corrupt-" + time.Now().UTC().Format("20060102T150405.000Z")
	for i := range 100 {
		name := base
		if i > 0 {
			name = fmt.Sprintf("%s-%d", base, i)
		}
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
	}
	return "", fmt.Errorf("no free name like %s", base)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync data directory: %w", err)
	}
	defer d.Close()
	// Some systems cannot sync a directory; the files in it are synced anyway.
	_ = d.Sync()
	return nil
}
