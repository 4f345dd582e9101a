package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// tests is a compiled test binary of a package of this module.
type tests struct{ binary string }

// compile builds the tests of a package. The caller removes the directory.
func compile(pkg string) (tests, func(), error) {
	dir, err := os.MkdirTemp("", "lifeline-bench")
	if err != nil {
		return tests{}, nil, fmt.Errorf("making room for the test binary: %w", err)
	}
	remove := func() { _ = os.RemoveAll(dir) }
	t := tests{filepath.Join(dir, "tests")}
	if _, err := output(exec.Command("go", "test", "-c", "-o", t.binary, pkg)); err != nil {
		remove()
		return tests{}, nil, err
	}
	return t, remove, nil
}

// run runs the binary with flags of `go test`, which are then called -test.….
func (t tests) run(flags ...string) ([]byte, error) { return output(exec.Command(t.binary, flags...)) }

func output(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%v: %w\n%s%s", cmd.Args, err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes(), nil
}

// machine names what the figures were measured on. cpu is as `go test` prints it.
func machine(cpu string) string {
	if cpu == "" {
		cpu = runtime.GOARCH
	}
	return fmt.Sprintf("%d cores of %s, %s, %s", runtime.NumCPU(), cpu, runtime.GOOS, runtime.Version())
}

// measure compiles the tests of a package and runs them with flags: what they found,
// what they printed, and the processor.
func measure(pkg string, flags ...string) (found figures, out []byte, cpu string, err error) {
	t, remove, err := compile(pkg)
	if err != nil {
		return nil, nil, "", err
	}
	defer remove()
	if out, err = t.run(append([]string{"-test.run=^$", "-test.bench=."}, flags...)...); err != nil {
		return nil, nil, "", err
	}
	found = make(figures)
	cpu, err = found.add(out)
	return found, out, cpu, err
}
