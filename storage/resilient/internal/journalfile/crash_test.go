package journalfile

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// childDir, in the environment, makes the test binary a child that commits batches
// in that directory and prints the last number of each that was committed.
const childDir = "LIFELINE_JOURNAL_TEST_CHILD"

func child(dir string) {
	f, c, err := Open(Options{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for seq := c.LastSeq + 1; ; {
		b := childBatch(seq)
		if err := f.Commit(b); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		seq = b.Records[len(b.Records)-1].Seq
		fmt.Println(seq)
		seq++
	}
}

// childKept is how many records are kept at least.
const childKept = 2000

// childBatch is the batch that begins with a number: as many records as the last
// digits of it say, each telling the first and the last one of its batch.
func childBatch(first uint64) (b Batch) {
	last := first + first*7919%97
	for seq := first; seq <= last; seq++ {
		r := entry(seq)
		r.Op = &storage.Append{Log: fmt.Sprint(first), ID: fmt.Sprint(last), Data: make([]byte, seq*31%700)}
		b.Records = append(b.Records, r)
		if seq > childKept {
			b.Delete = append(b.Delete, seq-childKept)
		}
	}
	return b
}

// A child process is killed at random moments. Each batch that it committed is there
// as a whole, of the one that it was at all or nothing, and what a batch deleted or
// noted came with its records.
func TestKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	before := uint64(0)
	for range 20 {
		lines := killedChild(t, dir, time.Duration(rnd.IntN(100))*time.Millisecond)
		var committed uint64
		if _, err := fmt.Sscan(lines[len(lines)-1], &committed); err != nil {
			t.Fatalf("child: %q", lines)
		}
		f, c := open(t, Options{Dir: dir})
		if !c.Dirty || c.SetAside != "" || committed <= before || c.LastSeq < committed {
			t.Fatalf("committed was %d after %d, contents are %+v", committed, before, c)
		}
		checkChild(t, f, c.LastSeq)
		closeFile(t, f)
		before = c.LastSeq
	}
	t.Logf("%d records", before)
}

// checkChild fails unless exactly the newest records are there, and the last batch
// is complete.
func checkChild(t *testing.T, f *File, last uint64) {
	t.Helper()
	want := uint64(1)
	if last > childKept {
		want = last - childKept + 1
	}
	var ends string
	for _, r := range replay(t, f) {
		op := r.Op.(*storage.Append)
		if r.Seq != want || len(op.Data) != int(r.Seq*31%700) {
			t.Fatalf("record %d has %d bytes, want record %d", r.Seq, len(op.Data), want)
		}
		want++
		ends = op.ID
	}
	if want != last+1 || ends != fmt.Sprint(last) || f.Damaged() > 0 {
		t.Fatalf("the records end before %d, in a batch that ends at %s; the last number is %d", want, ends, last)
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
			break // the rest of a line was not said in full
		}
		if len(lines) == 0 { // it works: its time begins
			time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	_ = cmd.Wait()
	return lines
}

// Another process is told which one has the directory.
func TestSecondProcess(t *testing.T) {
	f, _ := open(t, Options{})
	lines := killedChild(t, dirOf(f), time.Minute) // ends by itself
	for _, part := range []string{"error", dirOf(f), fmt.Sprint("process ", os.Getpid()), "a directory of its own"} {
		if len(lines) != 1 || !strings.Contains(lines[0], part) {
			t.Fatalf("it said %q, want %q", lines, part)
		}
	}
	commit(t, f, Batch{Records: entries(1, 1)})
}
