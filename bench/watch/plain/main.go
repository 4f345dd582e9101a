// Command plain watches a directory as programs do that use fsnotify as it comes: a
// watch for each directory of a walk, one more for each that is created, and a timer
// for each path. It says what it sees as the command ours does.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	debounce = 300 * time.Millisecond
	depth    = 10
)

var ignored = []string{
	"node_modules", ".git", "__pycache__", ".env", "dist", "build", ".next", "coverage", ".vscode", ".idea",
}

func main() {
	if err := watch(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type plain struct {
	root    string
	watcher *fsnotify.Watcher

	mu      sync.Mutex
	out     *json.Encoder
	pending map[string]*change
}

// change is what happens to a path until nothing has for the time of debounce.
type change struct {
	kind  string
	timer *time.Timer
}

func watch(root string) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	p := &plain{root: root, watcher: w, out: json.NewEncoder(os.Stdout), pending: make(map[string]*change)}
	began := time.Now()
	if err := p.add(root, false); err != nil {
		return errors.Join(err, w.Close())
	}
	p.say(map[string]any{"ready": time.Since(began).Milliseconds()})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.run()
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	err = errors.Join(err, w.Close())
	<-ended
	return err
}

func (p *plain) run() {
	for {
		select {
		case e, ok := <-p.watcher.Events:
			if !ok {
				return
			}
			p.see(e)
		case err, ok := <-p.watcher.Errors:
			if !ok {
				return
			}
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

func (p *plain) see(e fsnotify.Event) {
	if p.ignores(e.Name) {
		return
	}
	switch {
	case e.Has(fsnotify.Create):
		if info, err := os.Lstat(e.Name); err == nil && info.IsDir() {
			if err := p.add(e.Name, true); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			return
		}
		p.note(e.Name, "created")
	case e.Has(fsnotify.Write):
		p.note(e.Name, "modified")
	case e.Has(fsnotify.Remove), e.Has(fsnotify.Rename):
		p.note(e.Name, "deleted")
	}
}

// add watches a directory and those in it; tell: what is there is new.
func (p *plain) add(dir string, tell bool) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error { //nolint:gosec // who runs it names the directory
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case p.ignores(path):
			return fs.SkipDir
		}
		if tell {
			p.note(path, "created")
		}
		if !e.IsDir() {
			return nil
		}
		if err := p.watcher.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

func (p *plain) ignores(path string) bool {
	rel, err := filepath.Rel(p.root, path)
	if err != nil || rel == "." {
		return false
	}
	parts := strings.Split(rel, "/")
	return len(parts) > depth+1 || slices.ContainsFunc(parts, func(name string) bool { return slices.Contains(ignored, name) })
}

// note holds an event back until its path is quiet; the last one counts, but what was
// created stays so.
func (p *plain) note(path, kind string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.pending[path]; c != nil {
		if c.kind != "created" || kind == "deleted" {
			c.kind = kind
		}
		c.timer.Reset(debounce)
		return
	}
	c := &change{kind: kind}
	c.timer = time.AfterFunc(debounce, func() { p.leave(path, c) })
	p.pending[path] = c
}

func (p *plain) leave(path string, c *change) {
	p.mu.Lock()
	if p.pending[path] != c {
		p.mu.Unlock()
		return
	}
	delete(p.pending, path)
	kind := c.kind
	p.mu.Unlock()
	if rel, err := filepath.Rel(p.root, path); err == nil && rel != "." {
		p.say(map[string]any{"kind": kind, "path": rel, "at": time.Now().UnixNano()})
	}
}

func (p *plain) say(line any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.out.Encode(line); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
