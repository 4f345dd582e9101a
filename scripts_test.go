package lifeline_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMissingProgramIsNamed: where nothing can be installed, make test says what
// is missing and what to do.
func TestMissingProgramIsNamed(t *testing.T) {
	bin := t.TempDir() // a system without any package manager
	for _, program := range []string{"bash", "id", "env"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, program)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("scripts/need", "redis-server")
	cmd.Env = []string{"PATH=" + bin}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "redis-server is missing") || !strings.Contains(string(out), "Install Redis") {
		t.Errorf("%v: %s", err, out)
	}
	cmd = exec.Command("scripts/need", "bash")
	cmd.Env = []string{"PATH=" + bin}
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("a program that is there: %v: %s", err, out)
	}
}

// TestHelpNamesEveryTarget: make help is how one finds the others.
func TestHelpNamesEveryTarget(t *testing.T) {
	out, err := exec.Command("make", "help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, target := range []string{"build", "run", "test", "lint", "fmt", "xcaddy"} {
		if !strings.Contains(string(out), "make "+target) {
			t.Errorf("make %s is missing in\n%s", target, out)
		}
	}
}
