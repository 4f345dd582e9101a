package resilient

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage/resilient/internal/journalfile"
)

// slowFile is a journal that takes a while for each commit, and counts them.
type slowFile struct {
	journalFile
	takes   time.Duration
	entries atomic.Int64
	commits atomic.Int64 // that had entries
}

func (f *slowFile) Commit(b journalfile.Batch) error {
	time.Sleep(f.takes)
	n := 0
	for _, r := range b.Records {
		if r.Kind == journalfile.Entry {
			n++
		}
	}
	if f.entries.Add(int64(n)); n > 0 {
		f.commits.Add(1)
	}
	return f.journalFile.Commit(b)
}

// Callers who append again as soon as they are answered, some of them later than
// others, share one commit and do not fall apart into two halves.
func TestCommitsAreForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, inDir(t.TempDir()))
		defer r.end()
		f := &slowFile{journalFile: r.file, takes: 2 * time.Millisecond}
		r.setFile(f)
		const callers, each = 16, 50
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				for n := range each {
					r.put(fmt.Sprint("log", i), fmt.Sprint(n))
					time.Sleep(time.Duration(i) * 100 * time.Microsecond)
				}
			})
		}
		all.Wait()
		if n := f.commits.Load(); f.entries.Load() != callers*each || n > each+5 {
			t.Errorf("%d commits of %d entries, where %d would do", n, f.entries.Load(), each)
		}
	})
}
