package resilient

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// TestRandomFaults lets publishers and readers go on through random faults. In
// the end every acknowledged id is in the backend once and in order, and, unless
// the backend was wiped, each reader has seen each once and in order.
func TestRandomFaults(t *testing.T) {
	base := uint64(time.Now().UnixNano())
	for i := range uint64(60) {
		seed := base + i
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomRun(t, seed, i%2 == 0, i%3 == 0) })
		})
		if t.Failed() {
			return
		}
	}
}

const (
	randomLogs       = 3
	randomPublishers = 6 // two for each log
	randomEach       = 60
)

func randomRun(t *testing.T, seed uint64, wipes, onDisk bool) {
	dir := ""
	if onDisk {
		dir = t.TempDir()
	}
	r := newRig(t, inDir(dir))
	defer r.end()
	random := rand.New(rand.NewPCG(seed, 1))
	stop := make(chan struct{})
	var faults, readers, publishers sync.WaitGroup
	faults.Go(func() { randomFaults(r, random, wipes, stop) })
	followers := make([]*follower, 0, 2*randomLogs)
	for i := range 2 * randomLogs {
		f := follow(r, fmt.Sprint("log", i%randomLogs))
		followers = append(followers, f)
		if !wipes {
			readers.Go(func() { readOn(f, rand.New(rand.NewPCG(seed, uint64(100+i))), stop) })
		}
	}
	for p := range randomPublishers {
		publishers.Go(func() { publishOn(r, p, rand.New(rand.NewPCG(seed, uint64(200+p)))) })
	}
	publishers.Wait()
	close(stop)
	faults.Wait()
	readers.Wait()
	r.f.set(none)
	r.f.setReads(none)
	time.Sleep(5 * time.Second)
	for l := range randomLogs { // a wipe of an idle backend is noticed by a read
		r.read(fmt.Sprint("log", l), storage.LogQuery{})
	}
	time.Sleep(5 * time.Second)
	for l := range randomLogs {
		checkRandom(t, "backend", r.stored(fmt.Sprint("log", l)), l)
	}
	for i, f := range followers {
		if !wipes {
			f.poll(7)
			checkRandom(t, "reader", f.seen, i%randomLogs)
		}
	}
	if s := r.Status(); s.Degraded || s.Pending != 0 {
		t.Fatalf("status is %+v", s)
	}
}

// randomFaults changes what happens to calls every now and then.
func randomFaults(r *rig, random *rand.Rand, wipes bool, stop <-chan struct{}) {
	var mu sync.Mutex
	for {
		kinds := []fault{none, none, fails, loses, hangs}
		mu.Lock()
		write, read := kinds[random.IntN(len(kinds))], kinds[random.IntN(len(kinds))]
		share, wipe := random.Float64(), wipes && random.IntN(4) == 0
		pause := time.Duration(random.IntN(1500)) * time.Millisecond
		mu.Unlock()
		if wipe {
			r.f.wipe()
		}
		r.f.setFunc(func([]storage.Op) fault {
			mu.Lock()
			defer mu.Unlock()
			if random.Float64() < share {
				return write
			}
			return none
		})
		r.f.setReads(read)
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
	}
}

// publishOn publishes in order, and each id until it is acknowledged.
func publishOn(r *rig, p int, random *rand.Rand) {
	for i := range randomEach {
		for {
			ctx, cancel := context.Background(), func() {}
			if random.IntN(4) == 0 {
				ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(200))*time.Millisecond)
			}
			start := time.Now()
			res, err := r.Apply(ctx, []storage.Op{op(fmt.Sprint("log", p%randomLogs), fmt.Sprintf("%d-%d", p, i))})
			ended := ctx.Err()
			cancel()
			if d := time.Since(start); d > 250*time.Millisecond {
				r.Errorf("acknowledged after %v", d)
			}
			if err == nil && res[0].Err == nil {
				break
			}
			if ended == nil {
				r.Errorf("append: %v %+v", err, res)
				return
			}
		}
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
	}
}

func readOn(f *follower, random *rand.Rand, stop <-chan struct{}) {
	for {
		f.poll(1 + random.IntN(20))
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(random.IntN(300)) * time.Millisecond):
		}
	}
}

func checkRandom(t *testing.T, who string, ids []string, log int) {
	t.Helper()
	for p := log; p < randomPublishers; p += randomLogs {
		var want, got []string
		for i := range randomEach {
			want = append(want, fmt.Sprintf("%d-%d", p, i))
		}
		for _, id := range ids {
			var q, i int
			if _, err := fmt.Sscanf(id, "%d-%d", &q, &i); err == nil && q == p {
				got = append(got, id)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s of log %d, publisher %d: %v", who, log, p, got)
		}
	}
}
