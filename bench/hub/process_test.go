//go:build linux

package hub

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tick is the unit of CPU time in /proc/<pid>/stat, the same on all of today's Linux.
const tick = 10 * time.Millisecond

// tree is a process with its children.
func tree(pid int) []int {
	pids := []int{pid}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for child := range strings.FieldsSeq(string(b)) {
		if n, err := strconv.Atoi(child); err == nil {
			pids = append(pids, tree(n)...)
		}
	}
	return pids
}

// cpu is the time that the server's processes have run, user and system.
func (s *server) cpu(tb testing.TB) (total time.Duration) {
	tb.Helper()
	for _, pid := range tree(s.pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			tb.Fatal(err)
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		for _, f := range fields[11:13] {
			n, err := strconv.Atoi(f)
			if err != nil {
				tb.Fatal(err)
			}
			total += time.Duration(n) * tick
		}
	}
	return total
}

// memory is what the server's processes hold in memory, in bytes.
func (s *server) memory(tb testing.TB) (total int) {
	tb.Helper()
	for _, pid := range tree(s.pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			tb.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); f[0] == "Pss:" {
				n, err := strconv.Atoi(f[1])
				if err != nil {
					tb.Fatal(err)
				}
				total += n << 10
			}
		}
	}
	return total
}
