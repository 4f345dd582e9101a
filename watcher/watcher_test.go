package watcher

import (
	"os"
	"path/filepath"
	"testing"
)

func TestStatusCountsWhatIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "old"), "x")
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	u := watch(t, dir)
	if s := u.Status(); s.State != StateWatching || s.Root != dir || s.Entries != 2 || s.Watches != 2 || s.LastEvent != nil {
		t.Errorf("status %+v", s)
	}
	write(t, filepath.Join(dir, "d", "new"), "x")
	u.expect("created d/new")
	must(t, os.RemoveAll(filepath.Join(dir, "d")))
	u.expect("deleted d/new", "deleted d/")
	s := u.Status()
	if s.Entries != 1 || s.Watches != 1 || s.LastEvent == nil || s.Unwatched != 0 {
		t.Errorf("status %+v", s)
	}
	if stamp := s.LastEvent.UTC().Format(timestampLayout); stamp != u.last.Timestamp {
		t.Errorf("last event at %s, want %s", stamp, u.last.Timestamp)
	}
}
