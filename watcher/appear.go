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
// done. It watches the nearest directory above that exists, and looks from time
// to time, as a file system that is mounted gives no hint.
func (w *Watcher) awaitRoot(ctx context.Context) {
	tick := time.NewTicker(orDuration(w.cfg.Poll, checkInterval))
	defer tick.Stop()
	var sub *subscriber
	if w.cfg.Poll == 0 {
		sub, _ = w.hooks.notifiers.acquire() // without it there is the ticker
	}
	if sub == nil {
		sub = newSubscriber(nil)
	} else {
		defer sub.release()
	}
	var above string
	for ctx.Err() == nil {
		next, root := w.nearest()
		if next != above && sub.n != nil {
			if above != "" {
				sub.unwatch(above)
			}
			above = next
			_ = sub.watch(above, fileID{}, 0)
			continue // look again: it may have changed before it was watched
		}
		if w.rootThere() || !awaitHint(ctx, sub, root, tick.C) {
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
	t, err := w.findTree()
	if err == nil {
		t.close()
	}
	return err == nil
}

// location is the path of the root, resolved if it ever was.
func (w *Watcher) location() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.root == "" {
		return filepath.Clean(w.cfg.Dir)
	}
	return w.root
}

// awaitHint waits for a hint that concerns root or a directory above it, or for
// a tick. It returns false when ctx is done.
func awaitHint(ctx context.Context, sub *subscriber, root string, tick <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick:
			return true
		case <-sub.hinted():
		}
		h := sub.take()
		if h.lost > 0 {
			return true
		}
		for name := range h.dirty {
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
