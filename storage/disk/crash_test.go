package disk

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/actionflows/lifeline/storage"
)

// childDir, in the environment, makes the test binary a child that writes to the
// driver in that directory. It prints "try <what> <name> <id>" before and
// "<what> <name> <id>" behind what the driver has acknowledged.
const childDir = "LIFELINE_DISK_TEST_CHILD"

func child(dir string) {
	d, err := Open(Options{Dir: dir, MaxSize: 64 << 20})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	c := &writer{d: d, run: storage.NewEpoch().String()}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				c.write(w, i)
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				c.take(fmt.Sprint("q", i%2))
			}
		})
	}
	wg.Wait()
}

// writer is what the child does.
type writer struct {
	d   *Driver
	run string
	mu  sync.Mutex // of the output
}

func (c *writer) print(words ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Println(words...)
}

func (c *writer) write(w, i int) {
	id := fmt.Sprintf("%s-%d-%d", c.run, w, i)
	log, queue := fmt.Sprint("e", w%4), fmt.Sprint("q", w%2)
	c.apply("append", log, id, &storage.Append{Log: log, ID: id, Data: []byte(id)})
	c.apply("put", "c", id, &storage.Put{Collection: "c", ID: id, Body: []byte(id), Indexes: map[string]string{"w": fmt.Sprint(w)}})
	c.apply("push", queue, id, &storage.Push{Queue: queue, ID: id, Data: []byte(id), Remaining: time.Hour})
	c.print("try add member", id)
	c.apply("add", "member", id, &storage.Add{Collection: "c", Scope: "s", Member: "member", Deltas: map[string]int64{"n": 1}})
	if i%4 == 0 {
		c.print("try del c", id)
		c.apply("del", "c", id, &storage.Del{Collection: "c", ID: id})
	}
}

func (c *writer) apply(what, name, id string, op storage.Op) {
	r, err := c.d.Apply(t0(), []storage.Op{op})
	if err == nil && r[0].Err == nil {
		c.print(what, name, id)
	}
}

func (c *writer) take(queue string) {
	items, err := c.d.Take(t0(), queue, 3)
	if err != nil {
		return
	}
	for _, item := range items {
		c.print("take", queue, item.ID)
	}
}

// said is what the children have said, by what they did.
type said map[string]map[string][]string // what → name → ids

func (s said) add(what, name, id string) {
	if s[what] == nil {
		s[what] = make(map[string][]string)
	}
	s[what][name] = append(s[what][name], id)
}

// A child process is killed at random moments; whatever it acknowledged is there
// exactly once, and nothing is handed out twice.
func TestKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	s := make(said)
	for range 5 {
		for _, line := range killedChild(t, dir, time.Duration(100+rnd.IntN(400))*time.Millisecond) {
			words := strings.Fields(strings.TrimPrefix(line, "try "))
			if len(words) != 3 || words[0] == "error" {
				t.Fatalf("child: %s", line)
			}
			what := words[0]
			if strings.HasPrefix(line, "try ") {
				what = "try " + what
			}
			s.add(what, words[1], words[2])
		}
		d := open(t, Options{Dir: dir})
		checkLogs(t, d, s)
		checkDocuments(t, d, s)
		checkCounters(t, d, s)
		checkQueues(t, d, s)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if aside := glob(t, dir, "*corrupt*"); len(aside) > 0 {
			t.Fatalf("set aside: %q", aside)
		}
	}
	for _, what := range []string{"append", "put", "del", "push", "take", "add"} {
		n := 0
		for _, ids := range s[what] {
			n += len(ids)
		}
		t.Logf("%d × %s", n, what)
		if n < 20 {
			t.Fatal("the children have hardly written anything")
		}
	}
}

func checkLogs(t *testing.T, d *Driver, s said) {
	t.Helper()
	for log, ids := range s["append"] {
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
}

func checkDocuments(t *testing.T, d *Driver, s said) {
	t.Helper()
	gone := make(map[string]bool) // true: for sure
	for _, id := range s["try del"]["c"] {
		gone[id] = false
	}
	for _, id := range s["del"]["c"] {
		gone[id] = true
	}
	found := make(map[string]int)
	for w := range 8 {
		q := storage.ScanQuery{Value: fmt.Sprint(w), Limit: storage.MaxPage}
		for {
			page, err := d.Scan(t.Context(), "c", "w", q)
			if err != nil {
				t.Fatal(err)
			}
			for _, doc := range page {
				found[doc.ID]++
				q.After = doc.ID
			}
			if len(page) == 0 {
				break
			}
		}
	}
	for _, id := range s["put"]["c"] {
		sure, tried := gone[id]
		_, err := d.Get(t.Context(), "c", id)
		exists := err == nil
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			t.Fatal(err)
		}
		switch {
		case exists != (found[id] == 1) || found[id] > 1:
			t.Fatalf("document %s: %v, found %d times by its index", id, err, found[id])
		case !tried && !exists, sure && exists:
			t.Fatalf("document %s: %v, deleted %v", id, err, sure)
		}
	}
}

// checkCounters: each acknowledged addition has counted, and each that was tried
// at most once.
func checkCounters(t *testing.T, d *Driver, s said) {
	t.Helper()
	least, most := len(s["add"]["member"]), len(s["try add"]["member"])
	if n := counterOf(t, d, "c", "s", "member")["n"]; n < int64(least) || n > int64(most) {
		t.Fatalf("the counter is %d, acknowledged were %d of %d", n, least, most)
	}
}

// checkQueues: each item that was pushed was taken at most once, and is still
// there unless it was taken, by an answer that may have died with the child.
func checkQueues(t *testing.T, d *Driver, s said) {
	t.Helper()
	for queue, ids := range s["push"] {
		taken := make(map[string]int)
		for _, id := range s["take"][queue] {
			taken[id]++
		}
		lost := 0
		waits := make(map[string]int)
		for _, id := range itemsOf(t, d, queue) {
			waits[id]++
		}
		for _, id := range ids {
			if taken[id]+waits[id] > 1 {
				t.Fatalf("item %s was taken %d times and is there %d times", id, taken[id], waits[id])
			}
			if taken[id]+waits[id] == 0 {
				lost++
			}
			if r := must(t, d, &storage.Push{Queue: queue, ID: id, Remaining: time.Hour}); !r.Duplicate {
				t.Fatalf("item %s is not remembered", id)
			}
		}
		// Two takers of three items each, in each of the children so far: more
		// cannot have died on their way.
		if most := 5 * 2 * 3; lost > most {
			t.Fatalf("%d items of %s were neither taken nor are they there", lost, queue)
		}
	}
}

// itemsOf answers what waits in a queue, without taking it.
func itemsOf(t *testing.T, d *Driver, name string) (ids []string) {
	t.Helper()
	err := d.view(t.Context(), func(tx *bbolt.Tx) error {
		q, err := findQueue(tx, name, d.now())
		if err != nil {
			return err
		}
		items, _, err := q.oldest(1<<30, d.now())
		for _, i := range items {
			ids = append(ids, i.id)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
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
	if len(glob(t, dir, fileName+".open")) != 1 {
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
	if len(glob(t, dir, fileName+".open")) != 0 {
		t.Fatal("the marker is there after Close")
	}
}
