package disk

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// childDir, in the environment, makes the test binary a child that appends to
// the driver in that directory and prints each acknowledged "<log> <id>".
const childDir = "LIFELINE_DISK_TEST_CHILD"

func child(dir string) {
	d, err := Open(Options{Dir: dir, MaxSize: 64 << 20})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var out sync.Mutex
	var wg sync.WaitGroup
	run := storage.NewEpoch()
	for w := range 16 {
		wg.Go(func() {
			log := fmt.Sprint("e:", w%4)
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", run, w, i)
				r, err := d.Apply(t0(), []storage.Op{&storage.Append{Log: log, ID: id, Data: []byte(id)}})
				if err != nil || r[0].Err != nil {
					continue
				}
				out.Lock()
				fmt.Println(log, id)
				out.Unlock()
			}
		})
	}
	wg.Wait()
}

// A child process is killed at random moments; whatever it acknowledged is there
// exactly once.
func TestKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	acknowledged := make(map[string][]string)
	total := 0
	for range 5 {
		for _, line := range killedChild(t, dir, time.Duration(100+rnd.IntN(400))*time.Millisecond) {
			log, id, ok := strings.Cut(line, " ")
			if !ok || log == "error" {
				t.Fatalf("child: %s", line)
			}
			acknowledged[log] = append(acknowledged[log], id)
			total++
		}
		d := open(t, Options{Dir: dir})
		for log, ids := range acknowledged {
			count := make(map[string]int)
			for _, e := range readAll(t, d, log) {
				count[e.ID]++
			}
			for _, id := range ids {
				if count[id] != 1 {
					t.Fatalf("acknowledged entry %s is there %d times", id, count[id])
				}
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if aside := glob(t, dir, "*corrupt*"); len(aside) > 0 {
			t.Fatalf("set aside: %q", aside)
		}
	}
	t.Logf("%d acknowledged", total)
	if total < 100 {
		t.Fatal("the children have hardly written anything")
	}
}

// killedChild answers the whole lines that a child printed until it was killed.
func killedChild(t *testing.T, dir string, after time.Duration) (lines []string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			break // the rest of a line was not acknowledged in full
		}
		if len(lines) == 0 { // it works: its time begins
			time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	_ = cmd.Wait()
	return lines
}

// The child leaves its marker behind, so the next opener checks the file and
// then takes its own away.
func TestMarker(t *testing.T) {
	dir := t.TempDir()
	killedChild(t, dir, 10*time.Millisecond)
	if len(glob(t, dir, markerName)) != 1 {
		t.Fatal("no marker after a kill")
	}
	log, logged := observed()
	d := open(t, Options{Dir: dir, Logger: log})
	if logged.FilterMessageSnippet("checked and found in order").Len() != 1 {
		t.Fatalf("the file was not checked: %v", logged.All())
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if len(glob(t, dir, markerName)) != 0 {
		t.Fatal("the marker is there after Close")
	}
}
