package memory

import (
	"context"

	"github.com/actionflows/lifeline/storage"
)

// hold notes whether a log has entries. It is called with the driver's lock held.
func (d *Driver) hold(l *log, has bool) {
	if l.held == has {
		return
	}
	l.held = has
	kind := storage.LogKind(l.name)
	if has {
		d.held[kind]++
	} else if d.held[kind]--; d.held[kind] == 0 {
		delete(d.held, kind)
	}
}

// CountLogs implements [storage.Counting].
func (d *Driver) CountLogs(ctx context.Context, kind string) (int, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.held[kind], d.usable(ctx)
}

// CountDocuments implements [storage.Counting].
func (d *Driver) CountDocuments(ctx context.Context, name string) (int, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if c := d.collections[name]; c != nil {
		return len(c.documents), d.usable(ctx)
	}
	return 0, d.usable(ctx)
}
