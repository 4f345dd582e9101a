//go:build mutants

package delivery

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// controlEnv says which kind of programs TestControl runs.
const controlEnv = "LIFELINE_CONTROL"

// controlSeeds is within how many programs a mistake must be noticed. One that only a
// client meets who leaves within a page takes about seven in the mean.
const controlSeeds = 60

// A test that never failed proves nothing: each mistake is made by an overlay of the
// compiler, and programs fail for it.
func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	for _, c := range controls {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, err := runBroken(t, c)
			switch {
			case err == nil:
				t.Errorf("not noticed in %d programs", controlSeeds)
			case !strings.Contains(out, "--- FAIL: TestControl/") || strings.Contains(out, "DATA RACE") || strings.Contains(out, "panic:"):
				t.Errorf("something else went wrong:\n%s", out)
			}
		})
	}
}

func runBroken(t *testing.T, c control) (string, error) {
	t.Helper()
	text, problem := c.broken()
	if problem != "" {
		t.Fatal(problem)
	}
	source, err := filepath.Abs(filepath.Join("..", c.file))
	if err != nil {
		t.Fatal(err)
	}
	changed, overlay := filepath.Join(t.TempDir(), c.file), filepath.Join(t.TempDir(), "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{source: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{changed: []byte(text), overlay: replace} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-race", "-vet=off", "-tags=mutants", "-count=1",
		"-timeout=10m", "-overlay="+overlay, "-run=^TestControl$", ".")
	cmd.Env = append(os.Environ(), controlEnv+"="+c.kind)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestControl is what runs over a broken hub: programs, up to the first that fails.
func TestControl(t *testing.T) {
	name := os.Getenv(controlEnv)
	if name == "" {
		return
	}
	k := kindNamed(t, name)
	for seed := uint64(0); seed < controlSeeds && !t.Failed(); seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { prove(t, k, seed) })
	}
}
