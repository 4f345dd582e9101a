package storage

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
)

var event = bytes.Repeat([]byte("e"), eventSize)

func BenchmarkAppend(b *testing.B) {
	r := redistest.Start(b)
	for _, s := range []subject{
		bareMap(), driverSubject("memory", newMemory(b), nil),
		bareSync(b), driverSubject("disk", newDisk(b, b.TempDir()), nil),
		rawXADD(b, r), driverSubject("redis", newRedis(b, r), r), journaledSubject(b, "redis+journal", r, b.TempDir()),
		journaledSubject(b, "redis, journal off", r, ""), journalOnly(b, r),
	} {
		s.prefill(b)
		for _, callers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("%s/%d", s.name, callers), func(b *testing.B) { s.measure(b, callers) })
		}
	}
}

// number makes ids that are never used twice.
var number atomic.Int64

func newID() string { return strconv.FormatInt(number.Add(1), 36) }

// prefill brings every session to where each event trims another.
func (s subject) prefill(b *testing.B) {
	b.Helper()
	ctx := context.Background()
	for session := range sessions {
		if s.fill == nil {
			for range history {
				if err := s.append(ctx, session, newID(), event); err != nil {
					b.Fatal(err)
				}
			}
			continue
		}
		for range 5 {
			ids := make([]string, history/4)
			for i := range ids {
				ids[i] = newID()
			}
			if err := s.fill(ctx, session, ids, event); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// measure lets callers append b.N events one after the other.
func (s subject) measure(b *testing.B, callers int) {
	b.ReportAllocs()
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	own, theirs, calls, trips := ownCPU(), redisCPU(s.redis), scriptCalls(s.redis), roundTrips(s.redis)
	b.ResetTimer()
	for range callers {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				begin := time.Now()
				if err := s.append(context.Background(), int(i)%sessions, newID(), event); err != nil {
					failed.Store(&err)
					return
				}
				took[i] = time.Since(begin)
			}
		})
	}
	all.Wait()
	b.StopTimer()
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	slices.Sort(took)
	perEvent := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(b.N) }
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e6, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e6, "p99-ms")
	b.ReportMetric(perEvent(ownCPU()-own), "cpu-µs/event")
	if s.redis != nil {
		b.ReportMetric(perEvent(redisCPU(s.redis)-theirs), "redis-cpu-µs/event")
		b.ReportMetric((scriptCalls(s.redis)-calls)/float64(b.N), "scripts/event")
		b.ReportMetric((roundTrips(s.redis)-trips)/float64(b.N), "trips/event")
	}
}

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// info answers a value of Redis' INFO.
func info(r *redistest.Server, section, name string) string {
	text, _ := r.MustDo("INFO", section).(string)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// redisCPU is the processor time of the server.
func redisCPU(r *redistest.Server) time.Duration {
	if r == nil {
		return 0
	}
	var seconds float64
	for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
		s, err := strconv.ParseFloat(info(r, "cpu", name), 64)
		if err != nil {
			panic(err)
		}
		seconds += s
	}
	return time.Duration(seconds * float64(time.Second))
}

// roundTrips is how often the server has read from a connection, which is once for
// each pipeline that is not large.
func roundTrips(r *redistest.Server) float64 {
	if r == nil {
		return 0
	}
	n, err := strconv.ParseFloat(info(r, "stats", "total_reads_processed"), 64)
	if err != nil {
		panic(err)
	}
	return n
}

// scriptCalls is how many scripts the server has run.
func scriptCalls(r *redistest.Server) float64 {
	if r == nil {
		return 0
	}
	calls, _, _ := strings.Cut(strings.TrimPrefix(info(r, "commandstats", "cmdstat_evalsha"), "calls="), ",")
	n, _ := strconv.ParseFloat(calls, 64) // none were run
	return n
}
