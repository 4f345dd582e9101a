package watcher

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// elsewhere is set in a process that runs one test for another process.
const elsewhere = "LIFELINE_TEST_ELSEWHERE"

// inNamespace reports whether the test runs in a mount and user namespace of its
// own, where it may mount and set limits. Outside of one it runs itself again in
// one, in a process of its own, and takes over the result.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(elsewhere) != "" {
		return true
	}
	if out, err := exec.Command("unshare", "-Urm", "true").CombinedOutput(); err != nil {
		t.Skipf("the machine refuses namespaces: unshare -Urm: %v: %s", err, out)
	}
	runAgain(t, exec.Command("unshare", append([]string{"-Urm"}, arguments(t)...)...))
	return false
}

// asNobody reports whether the test runs without the rights of root, which no
// permission stops. As root it runs itself again without.
func asNobody(t *testing.T) bool {
	t.Helper()
	if os.Getuid() != 0 {
		return true
	}
	cmd := exec.Command("/proc/self/exe", arguments(t)[1:]...) // its path may be closed to others
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	runAgain(t, cmd)
	return false
}

// alone reports whether the test runs in a process of its own.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(elsewhere) != "" {
		return true
	}
	runAgain(t, exec.Command(os.Args[0], arguments(t)[1:]...))
	return false
}

func arguments(t *testing.T) []string {
	pattern := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	return []string{os.Args[0], "-test.v", "-test.timeout=2m", "-test.run=" + pattern}
}

func runAgain(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Env = append(os.Environ(), elsewhere+"=1")
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) { // before it ran
		t.Skipf("the machine refuses another user: %v", err)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("run again by %s: %v\n%s", cmd.Path, err, out)
	}
}

// mount mounts a tmpfs at dir, in a namespace, and unmounts what is there at the
// end.
func mount(t testing.TB, dir string) {
	t.Helper()
	must(t, syscall.Mount("lifeline", dir, "tmpfs", 0, ""))
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

const tmpfsMagic = 0x01021994

// directoryOn makes a directory on a kind of file system; nil: the test has run
// elsewhere.
func directoryOn(t *testing.T, on string) string {
	t.Helper()
	switch on {
	case "disk":
		return t.TempDir()
	case "polled":
		return inMemory(t)
	}
	dir := inMemory(t)
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err == nil && fs.Type == tmpfsMagic {
		return dir
	}
	if !inNamespace(t) {
		return ""
	}
	mount(t, dir)
	return dir
}

// setWatchLimit limits the watches of the user, in a namespace.
func setWatchLimit(t testing.TB, n int) {
	t.Helper()
	must(t, os.WriteFile("/proc/sys/user/max_inotify_watches", []byte(fmt.Sprint(n)), 0o644))
}

func TestNoInstanceOfInotifyLeft(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	must(t, os.WriteFile("/proc/sys/user/max_inotify_instances", []byte("0"), 0o644))
	dir := t.TempDir()
	u := watch(t, dir, quick)
	u.waitState(StateFailed)
	if err := u.Status().LastError; !strings.Contains(err, "max_user_instances") {
		t.Errorf("last error %q", err)
	}
	polling := watch(t, dir, polled)
	write(t, dir+"/f", "x")
	polling.expect("created f")
	must(t, os.WriteFile("/proc/sys/user/max_inotify_instances", []byte("10"), 0o644))
	must(t, u.Restart())
	u.waitState(StateWatching)
	u.nothing() // what it has never known is not news
}
