// Package driver is a third party's storage driver, as short as the contract allows:
// the rules of storage/model on plain maps, and one file that is written anew at each
// change. A crash loses nothing that was acknowledged, and each write costs as much as
// the whole state. One process may use a file at a time, which nothing checks, and
// other nodes are not told.
package driver

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/model"
)

// Driver is a [storage.Driver] in one file. It has no goroutines.
type Driver struct {
	path    string
	closing chan struct{} // closed by Close

	mu    sync.Mutex
	saved []byte      // what the file holds
	state model.State // nil after Close
}

// Open reads the file at path, which comes to be with the first write.
func Open(path string) (*Driver, error) {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	d := &Driver{path: path, closing: make(chan struct{}), saved: b}
	if d.state, err = decode(b); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return d, nil
}

func decode(b []byte) (model.State, error) {
	s := make(model.State)
	if len(b) == 0 {
		return s, nil
	}
	return s, gob.NewDecoder(bytes.NewReader(b)).Decode(&s)
}

// do lets fn use the state, without what is over by now.
func (d *Driver) do(ctx context.Context, fn func(model.State) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state == nil {
		return storage.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	d.state.Forget(time.Now())
	return fn(d.state)
}

// save makes the file hold the state. When that fails nothing has happened.
func (d *Driver) save(s model.State) error {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(s)
	if err == nil {
		err = replace(d.path, b.Bytes())
	}
	if err == nil {
		d.saved = b.Bytes()
		return nil
	}
	d.state, _ = decode(d.saved) // it was read or written before
	return &storage.UnavailableError{Reason: "the file cannot be written", RetryAfter: time.Second, Err: err}
}

// replace leaves the old or the new content in a file, whatever happens.
func replace(path string, content []byte) error {
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(path+".new", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Apply implements [storage.Driver].
func (d *Driver) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	var results []storage.Result
	err := d.do(ctx, func(s model.State) error {
		results = s.Apply(ops, time.Now())
		return d.save(s)
	})
	if err != nil {
		err = fmt.Errorf("apply to %s: %w", d.path, err)
		results = make([]storage.Result, len(ops))
		for i := range results {
			results[i] = storage.Result{Err: err}
		}
	}
	return results, err
}

// Take implements [storage.Driver].
func (d *Driver) Take(ctx context.Context, queue string, n int) (items []storage.Item, err error) {
	err = d.do(ctx, func(s model.State) error {
		if items = s.Take(queue, n, time.Now()); len(items) == 0 {
			return nil
		}
		return d.save(s)
	})
	if err != nil {
		return nil, fmt.Errorf("take from %s: %w", d.path, err)
	}
	return items, nil
}

// ReadLog implements [storage.Driver].
func (d *Driver) ReadLog(ctx context.Context, log string, q storage.LogQuery) (page storage.LogPage, err error) {
	err = d.do(ctx, func(s model.State) error {
		page = s.ReadLog(log, q, time.Now())
		return nil
	})
	return page, err
}

// Get implements [storage.Driver].
func (d *Driver) Get(ctx context.Context, collection, id string) (document storage.Document, err error) {
	err = d.do(ctx, func(s model.State) (err error) {
		document, err = s.Get(collection, id)
		return err
	})
	return document, err
}

// Scan implements [storage.Driver].
func (d *Driver) Scan(
	ctx context.Context, collection, index string, q storage.ScanQuery,
) (documents []storage.Document, err error) {
	err = d.do(ctx, func(s model.State) error {
		documents = s.Scan(collection, index, q)
		return nil
	})
	return documents, err
}

// Counters implements [storage.Driver].
func (d *Driver) Counters(
	ctx context.Context, collection, scope string, q storage.CounterQuery,
) (counters []storage.Counter, err error) {
	err = d.do(ctx, func(s model.State) error {
		counters = s.Counters(collection, scope, q)
		return nil
	})
	return counters, err
}

// Publish implements [storage.Driver]: there is no other node to tell.
func (d *Driver) Publish(ctx context.Context, _ string, _ []byte) error {
	return d.do(ctx, func(model.State) error { return nil })
}

// Subscribe implements [storage.Driver]: no other node publishes.
func (d *Driver) Subscribe(ctx context.Context, _ string, _ func(storage.Message)) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-d.closing:
		return storage.ErrClosed
	}
}

// Health implements [storage.Driver].
func (d *Driver) Health(ctx context.Context) error { return d.do(ctx, d.save) }

// Close implements [storage.Driver].
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state != nil {
		d.state = nil
		close(d.closing)
	}
	return nil
}
