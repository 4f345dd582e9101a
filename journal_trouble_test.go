package lifeline_test

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/actionflows/lifeline/internal/redistest"
)

// trouble is a hub before Redis, with the ids that were acknowledged in one session.
type trouble struct {
	*server
	redis  *redistest.Server
	config string
	acked  []string
}

const troubled = "troubled"

func startTrouble(t *testing.T, options string, redisArgs ...string) *trouble {
	t.Helper()
	r := redistest.Start(t, redisArgs...)
	config := site("lifeline {\n storage redis "+r.URL()+"\n history 10000\n"+options+"\n}", "")
	return &trouble{server: start(t, config), redis: r, config: config}
}

func (o *trouble) journal() string {
	return filepath.Join(o.dir, "data", "caddy", "lifeline", "default", "journal")
}

// next posts an event with so many bytes more, under the same id until it is
// acknowledged.
func (o *trouble) next(bytes int) answer {
	o.t.Helper()
	id := fmt.Sprintf("p0-%05d", len(o.acked))
	a := o.post(fmt.Sprintf(`{"type":"step:started","sessionId":%q,"id":%q,"note":%q}`, troubled, id, strings.Repeat("x", bytes)))
	if a.status/100 == 2 {
		o.acked = append(o.acked, id)
	}
	return a
}

// fill posts until an event is refused.
func (o *trouble) fill(bytes int) answer {
	o.t.Helper()
	for range 10_000 {
		if a := o.next(bytes); a.status/100 != 2 {
			return a
		}
	}
	o.t.Fatal("nothing was refused")
	return answer{}
}

// refused checks an answer that says why.
func (o *trouble) refused(a answer, why string) {
	o.t.Helper()
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" ||
		a.text("error") != "storage unavailable" || a.text("message") != why {
		o.t.Errorf("want 503, %q: %v %v", why, a.header, a)
	}
}

// reasons is what the health page says of the storage.
func (o *trouble) reasons() string {
	o.t.Helper()
	h := o.get("/api/health/circuit-breakers")
	shown, _ := h.body["storage"].(map[string]any)
	return fmt.Sprint(shown["reasons"])
}

// check waits until all is normal, and compares Redis and the history with what was
// acknowledged.
func (o *trouble) check() {
	o.t.Helper()
	o.waitUntil("all is normal", func() bool { _, h := o.breaker(); return h.text("status") == "ok" })
	if got := inRedis(o.t, o.redis, troubled); !slices.Equal(got, o.acked) {
		o.t.Errorf("Redis has %d: %v\nacknowledged are %d: %v", len(got), got, len(o.acked), o.acked)
	}
	if got := o.history(troubled); !slices.Equal(got, o.acked) {
		o.t.Errorf("the history has %d: %v\nacknowledged are %d: %v", len(got), got, len(o.acked), o.acked)
	}
}

// said checks that the log has a message once.
func (o *trouble) said(message string) {
	o.t.Helper()
	o.logs(message)
	if n := strings.Count(o.log.String(), message); n != 1 {
		o.t.Errorf("the log says %d times %q", n, message)
	}
}

// TestFullJournal: what the journal has no room for is refused, with the reason in
// the answer, the health page and the log; what it has is not lost.
func TestFullJournal(t *testing.T) {
	// Redis keeps what it has: a full journal holds none of it any more.
	o := startTrouble(t, "journal {\n max_size 64KiB\n}", "--appendonly", "yes", "--appendfsync", "always")
	o.next(0)
	o.redis.Kill()
	begin := time.Now()
	const why = "the journal of events that wait to be stored is full"
	o.refused(o.fill(100), why)
	for range 20 {
		o.refused(o.next(100), why)
	}
	if got := o.reasons(); !strings.Contains(got, "the journal is full") {
		t.Errorf("reasons are %s", got)
	}
	if time.Since(begin) < time.Minute { // otherwise it may be told again
		o.said("the journal is full")
	}
	o.redis.Restart()
	o.waitUntil("there is room", func() bool { return o.next(100).status == http.StatusCreated })
	o.check()
}

// TestFullDiskOfTheJournal: a file that cannot grow refuses, though Redis works, and
// takes more once it can.
func TestFullDiskOfTheJournal(t *testing.T) {
	o := startTrouble(t, "")
	o.next(0)
	info, err := os.Stat(filepath.Join(o.journal(), "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	o.limitFiles(uint64(info.Size())) //nolint:gosec // a size
	const why = "the disk of the journal is full"
	for range 5 { // what Redis has gives way, so one may fit again
		o.refused(o.fill(64<<10), why)
	}
	if got := o.reasons(); !strings.Contains(got, "the journal cannot be written: "+why) {
		t.Errorf("reasons are %s", got)
	}
	o.logs("the journal cannot be written: what is published is refused")
	o.limitFiles(math.MaxUint64)
	o.waitUntil("there is room", func() bool { return o.next(64<<10).status/100 == 2 })
	o.next(0)
	o.check()
}

// limitFiles bounds the files that the running server may write, as a full disk does.
func (s *server) limitFiles(size uint64) {
	s.t.Helper()
	limit := syscall.Rlimit{Cur: size, Max: math.MaxUint64}
	_, _, err := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(s.cmd.Process.Pid),
		syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0) //nolint:gosec // how this call is made
	if err != 0 {
		s.t.Fatal(err)
	}
}

// TestJournalNowhere: a directory that cannot be one is told at the start, with the
// way out.
func TestJournalNowhere(t *testing.T) {
	r := redistest.Start(t)
	for name, dir := range map[string]string{
		"a file":           "DIR/Caddyfile",
		"beneath a file":   "DIR/Caddyfile/journal",
		"not writable":     "/sys/fs/lifeline/journal", // not even for root
		"file is no file":  "DIR/made",
		"nothing is there": "/proc/lifeline",
	} {
		s := newServer(t)
		if err := os.MkdirAll(filepath.Join(s.dir, "made", "journal.db"), 0o700); err != nil {
			t.Fatal(err)
		}
		s.launch(s.write(site("lifeline {\n storage redis "+r.URL()+"\n journal "+dir+"\n}", "")))
		s.awaitEnd()
		if code := s.cmd.ProcessState.ExitCode(); code == 0 {
			t.Errorf("%s: it ended with %d", name, code)
		}
		want := "make " + s.expand(dir) + " a directory that the server may write to, or name another one with the option journal"
		if !strings.Contains(s.log.String(), "hub default: journal") || !strings.Contains(s.log.String(), want) {
			t.Errorf("%s: %q is missing in\n%s", name, want, s.log)
		}
	}
}

// TestCorruptJournal: a file that somebody has scribbled over is set aside, with a
// line that says where, and the server serves.
func TestCorruptJournal(t *testing.T) {
	for name, scribble := range map[string]func(file []byte){
		"all of it":     func(file []byte) { copy(file, bytes.Repeat([]byte("scribble"), len(file)/8)) },
		"its beginning": func(file []byte) { clear(file[:8<<10]) },
		"all but the beginning": func(file []byte) {
			copy(file[16<<10:], bytes.Repeat([]byte{0xff}, len(file)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := startTrouble(t, "")
			o.redis.Kill()
			for range 20 {
				o.next(4 << 10)
			}
			o.terminate()
			path := filepath.Join(o.journal(), "journal.db")
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			scribble(file)
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			o.redis.Restart()
			o.start(o.config)
			o.acked = nil
			if a := o.next(0); a.status != http.StatusCreated {
				t.Errorf("post: %v", a)
			}
			o.check()
			aside, err := filepath.Glob(path + ".corrupt-*")
			if err != nil || len(aside) != 1 {
				t.Fatalf("set aside are %v, %v", aside, err)
			}
			kept, err := os.ReadFile(aside[0])
			if err != nil || !bytes.Equal(kept, file) {
				t.Errorf("what was set aside is not what was there: %v", err)
			}
			o.logs(`"level":"error"`, "journal file is corrupt; it was set aside and a new one begun, what was pending in it is not delivered", `"set_aside":"`+aside[0]+`"`)
		})
	}
}

// TestStopDuringAnOutage: SIGTERM ends the server, which says how many events wait,
// and the next one ships them.
func TestStopDuringAnOutage(t *testing.T) {
	o := startTrouble(t, "")
	o.next(0)
	o.redis.Kill()
	for range 20 {
		if a := o.next(0); a.status != http.StatusCreated {
			t.Fatalf("post: %v", a)
		}
	}
	o.terminate()
	if code := o.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
	waiting := ""
	for line := range strings.Lines(o.log.String()) {
		if strings.Contains(line, "acknowledged events wait in the journal and are stored after the next start") {
			waiting += line
		}
	}
	if !strings.Contains(waiting, `"pending":20`) || !strings.Contains(waiting, o.journal()) {
		t.Errorf("at the end it said %q", waiting)
	}
	o.start(o.config)
	o.said("an earlier run has left events that wait to be stored")
	_, h := o.breaker()
	if shown, _ := h.body["storage"].(map[string]any); shown["pending"] != 20.0 {
		t.Errorf("after the next start: %v", h)
	}
	o.next(0)
	o.redis.Restart()
	o.check()
}

// TestReloadDuringAnOutage: acknowledgements go on, and what is pending stays.
func TestReloadDuringAnOutage(t *testing.T) {
	o := startTrouble(t, "")
	o.redis.Kill()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			id := fmt.Sprintf("p0-%05d", i)
			if !o.postAgain(stepEvent(troubled, id, i)) {
				return
			}
			o.acked = append(o.acked, id)
		}
	}()
	for i := range 4 {
		if out, code := o.reload(strings.Replace(o.config, "\tlifeline {\n\n", fmt.Sprintf("\tlifeline {\npoll_rate %d 1s\n", i+2), 1)); code != 0 {
			t.Errorf("reload: %s", out)
		}
	}
	if out, code := o.reload(strings.Replace(o.config, "history", "journal {\n max_size 500MiB\n}\n history", 1)); code != 0 {
		t.Errorf("a reload that changes the journal: %s", out)
	}
	out, code := o.reload(strings.Replace(o.config, "history", "journal off\n history", 1))
	if code == 0 || !strings.Contains(out, "acknowledged events wait in the journal") {
		t.Errorf("a reload that turns the journal off: exit %d: %s", code, out)
	}
	close(stop)
	<-stopped
	_, h := o.breaker()
	if shown, _ := h.body["storage"].(map[string]any); len(o.acked) == 0 || shown["pending"] != float64(len(o.acked)) {
		t.Errorf("%d are acknowledged: %v", len(o.acked), h)
	}
	o.redis.Restart()
	o.check()
}
