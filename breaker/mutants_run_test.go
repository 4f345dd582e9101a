//go:build mutants

package breaker

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMutantsAreCaught makes each mutant by an overlay of the compiler and wants
// its test to fail: by a failure, not because it does not compile.
func TestMutantsAreCaught(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			changed, problem := m.files()
			if problem != "" {
				t.Fatal(problem)
			}
			out, err := runMutant(t, changed, m.test)
			switch {
			case err == nil && strings.Contains(out, "no tests to run"):
				t.Fatalf("there is no %s", m.test)
			case err == nil:
				t.Fatalf("%s did not notice it", m.test)
			case !strings.Contains(out, "--- FAIL: "+m.test) && !strings.Contains(out, "panic: test timed out"):
				t.Fatalf("something else went wrong:\n%s", out)
			}
		})
	}
}

func runMutant(t *testing.T, changed map[string]string, test string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	replace := make(map[string]string)
	for file, text := range changed {
		path, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		replace[path] = filepath.Join(dir, file)
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(name, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-tags=interleave", "-timeout=10s",
		"-overlay="+name, "-run=^"+test+"$", ".").CombinedOutput()
	return string(out), err
}
