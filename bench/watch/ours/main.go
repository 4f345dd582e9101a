// Command ours watches a directory with the package watcher and its defaults, and
// says on standard output, in lines of JSON, that it is ready and what happens. When
// its standard input ends it says what the heap holds, and ends.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/actionflows/lifeline/watcher"
)

func main() {
	if err := watch(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func watch(dir string) error {
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	say := func(line any) error {
		mu.Lock()
		defer mu.Unlock()
		return out.Encode(line)
	}
	scanned := make(chan struct{})
	ready := sync.OnceFunc(func() { close(scanned) })
	before, began := heap(), time.Now()
	w, err := watcher.Start(watcher.Config{
		Session: "bench", Dir: dir,
		Sink: func(_ context.Context, e watcher.Event) error {
			return say(map[string]any{"kind": e.ChangeType, "path": e.RelativePath, "at": time.Now().UnixNano()})
		},
		OnState: func(st watcher.Status) {
			if st.State == watcher.StateWatching {
				ready()
			}
		},
	})
	if err != nil {
		return err
	}
	defer w.Stop()
	<-scanned
	if err := say(map[string]any{"ready": time.Since(began).Milliseconds()}); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return say(map[string]any{"heap": heap() - before, "entries": w.Status().Entries})
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
