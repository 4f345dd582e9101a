package lifeline

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/watcher"
)

// Watch says which directory's changes become events of which session.
type Watch struct {
	// The session that gets the events; one directory each. Required.
	Session string `json:"session"`
	// The directory; relative ones are against the working directory. Required.
	Dir string `json:"dir"`
	// Globs that are ignored besides the usual ones; `**` spans directories.
	// Default: none.
	Ignore []string `json:"ignore,omitempty"`
	// Do not ignore node_modules, .git and the like. Default: they are ignored.
	IgnoreDefaultOff bool `json:"ignore_default_off,omitempty"`
	// How long a path must be quiet before its change is told. Default: 300ms.
	Debounce caddy.Duration `json:"debounce,omitempty"`
	// How long a path that is never quiet is held back at most. Default: 2s.
	MaxWait caddy.Duration `json:"max_wait,omitempty"`
	// How many levels of directories beneath it are watched. Default: 10.
	Depth *int `json:"depth,omitempty"`
	// Restarts after a failure, in a row. Default: 3.
	RetryAttempts *int `json:"retry_attempts,omitempty"`
	// The time before the first restart; each is twice the one before. Default: 1s.
	RetryInitial caddy.Duration `json:"retry_initial,omitempty"`
	// Compare the directory with what is known of it every so often, for file
	// systems that do not tell of changes. Default: the kernel's notifications.
	Poll caddy.Duration `json:"poll,omitempty"`
	// Leave absolute paths out of the events. Default: they are in.
	AbsolutePathsOff bool `json:"absolute_paths_off,omitempty"`

	definedAt string // where a Caddyfile that is being read has it; only for messages
}

// same reports whether two lines watch the same in the same way.
func (w *Watch) same(other *Watch) bool { return reflect.DeepEqual(*w, *other) }

func (w *Watch) config() watcher.Config {
	return watcher.Config{
		Session: w.Session, Dir: w.Dir,
		Ignore: w.Ignore, NoDefaultIgnore: w.IgnoreDefaultOff,
		Debounce: time.Duration(w.Debounce), MaxWait: time.Duration(w.MaxWait), Depth: w.Depth,
		RetryAttempts: w.RetryAttempts, RetryInitial: time.Duration(w.RetryInitial),
		Poll: time.Duration(w.Poll), NoAbsolutePaths: w.AbsolutePathsOff,
	}
}

// provisionWatches makes the directories absolute and checks the settings; the
// directories themselves are looked at only when the watchers start.
func (h *Hub) provisionWatches(ctx caddy.Context, name string) error {
	if err := h.provisionRoots(); err != nil {
		return err
	}
	seen := make(map[string]string)
	for i, w := range h.Watches {
		if w == nil {
			return fmt.Errorf("watches: entry %d is null", i)
		}
		if err := h.provisionWatch(w, name); err != nil {
			return err
		}
		if first, twice := seen[w.Session]; twice {
			return fmt.Errorf("watch %s: the session watches %s already; use another session for %s", w.Session, first, w.Dir)
		}
		seen[w.Session] = w.Dir
		ctx.Logger().Info("directory will be watched",
			sourceWatcher, zapSession(w.Session), zapDir(w.Dir))
	}
	return nil
}

func (h *Hub) provisionWatch(w *Watch, name string) (err error) {
	if w.Dir, err = absolute("watch "+w.Session, w.Dir); err != nil {
		return err
	}
	if err := events.ValidSessionID(w.Session); err != nil {
		return fmt.Errorf("watch: session %q %w", w.Session, err)
	}
	for _, own := range h.ownDirs(name) {
		if isBeneath(w.Dir, own) {
			return fmt.Errorf("watch %s: %s is in %s, where the server keeps its data: each event would make another one", w.Session, w.Dir, own)
		}
	}
	if err := w.check(); err != nil {
		return fmt.Errorf("watch %s: %w", w.Session, err)
	}
	return nil
}

// check refuses settings that the watcher would refuse. The directory is looked at
// only when it starts.
func (w *Watch) check() error {
	cfg := w.config()
	cfg.Dir = string(filepath.Separator)
	cfg.Sink = func(context.Context, watcher.Event) error { return nil } // the runtime has the real one
	return cfg.Validate()                                                //nolint:wrapcheck // by the caller
}

// provisionRoots makes each watch_root absolute.
func (h *Hub) provisionRoots() (err error) {
	for i, root := range h.WatchRoots {
		if h.WatchRoots[i], err = absolute("watch_root", root); err != nil {
			return err
		}
		for _, dir := range systemDirs {
			if isBeneath(h.WatchRoots[i], dir) {
				return fmt.Errorf("watch_root: nothing in %s is ever watched for a client; a watch line may watch it", dir)
			}
		}
	}
	return nil
}

// absolute expands the placeholders of a directory; a relative one is against the
// working directory.
func absolute(option, dir string) (string, error) {
	dir, err := expand(option, dir)
	if err != nil {
		return "", err
	}
	if dir == "" {
		return "", fmt.Errorf("%s: the directory is empty", option)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("%s: directory %q: %w", option, dir, err)
	}
	return abs, nil
}

// ownDirs are the directories that the hub and Caddy write to.
func (h *Hub) ownDirs(name string) []string {
	dirs := []string{caddy.AppDataDir()}
	if filepath.IsAbs(h.info.Where) {
		dirs = append(dirs, h.info.Where)
	}
	if h.info.Remote {
		dirs = append(dirs, h.lastJournal(name))
	}
	return dirs
}
