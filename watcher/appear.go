package watcher

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// dormant waits, after a watcher was given up because of cause, for a reason to
// start it again: a call of Restart, which makes the attempts count afresh, or
// its root appearing. It returns an error when ctx is done.
func (w *Watcher) dormant(ctx context.Context, cause error, began time.Time) (fresh bool, err error) {
	appeared := make(chan struct{})
	if errors.Is(cause, errRootGone) {
		waitCtx, cancel := context.WithCancel(ctx)
		go func() {
			defer close(appeared)
			w.awaitRoot(waitCtx)
			// A root that comes and goes does not keep us busy.
			sleep(waitCtx, time.Until(began.Add(w.cfg.retryInitial())))
		}()
		defer func() {
			cancel()
			<-appeared
		}()
	}
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-w.restart:
		return true, nil
	case <-appeared:
		return false, ctx.Err()
	}
}

// awaitRoot returns when the root, which was missing, appears, or when ctx is
// done. It watches the nearest directory above that exists; where that is not
// possible only ctx ends it.
func (w *Watcher) awaitRoot(ctx context.Context) {
	sub := newSubscriber()
	n, err := acquireNotifier(sub)
	if err != nil {
		<-ctx.Done()
		return
	}
	defer n.release(sub)
	var above string
	for ctx.Err() == nil {
		next, root := w.nearest()
		if next != above {
			if above != "" {
				n.remove(sub, above)
			}
			above = next
			_ = n.add(sub, above, 0)
			continue // look again: it may have changed before it was watched
		}
		if w.rootThere() || !awaitHint(ctx, sub, root) {
			return
		}
	}
}

// nearest is the deepest directory above the root that exists, resolved, and
// the path of the root seen from there.
func (w *Watcher) nearest() (above, root string) {
	at := w.location()
	for dir := filepath.Dir(at); ; dir = filepath.Dir(dir) {
		resolved, err := filepath.EvalSymlinks(dir)
		if err == nil && isDir(resolved) {
			return resolved, filepath.Join(resolved, strings.TrimPrefix(at, dir))
		}
		if dir == filepath.Dir(dir) {
			return dir, at
		}
	}
}

func (w *Watcher) rootThere() bool {
	if w.root == "" {
		return isDir(w.cfg.Dir)
	}
	_, err := checkRoot(w.root)
	return err == nil
}

// location is the path of the root, resolved if it ever was.
func (w *Watcher) location() string {
	if w.root == "" {
		return filepath.Clean(w.cfg.Dir)
	}
	return w.root
}

// awaitHint waits for a hint that concerns root or a directory above it. It
// returns false when ctx is done; where hints have ended it waits for that.
func awaitHint(ctx context.Context, sub *subscriber, root string) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-sub.wake:
		}
		dirty, overflow, err := sub.take()
		if err != nil {
			<-ctx.Done()
			return false
		}
		if overflow > 0 {
			return true
		}
		for name := range dirty {
			if name == root || strings.HasPrefix(root, name+string(filepath.Separator)) {
				return true
			}
		}
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
