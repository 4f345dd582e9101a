package faults

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Process is the test binary run once more, as another program that its TestMain
// chooses by the environment. It is killed at the end of its test at the latest,
// and by the kernel should the test process itself be killed. Methods are safe for
// concurrent use.
type Process struct {
	// In and Out are its standard input and output. Whoever reads Out gets io.EOF
	// when the process has ended.
	In  io.WriteCloser
	Out io.ReadCloser

	t      testing.TB
	cmd    *exec.Cmd
	ended  chan struct{} // closed once it has been waited for
	kill   sync.Once
	killed atomic.Bool
	err    error // of the wait
}

// StartProcess starts it with these settings, each KEY=value, added to the
// environment. What it writes to its standard error goes to stderr.
func StartProcess(t testing.TB, stderr io.Writer, env ...string) *Process {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatalf("faults: %v", err)
	}
	p := &Process{t: t, cmd: exec.Command(path), ended: make(chan struct{})} //nolint:gosec // ourselves
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		t.Fatalf("faults: %v", err)
	}
	t.Cleanup(func() {
		p.Kill()
		_ = p.Out.Close()
	})
	return p
}

// run starts and awaits the process on one thread that lives as long: Pdeathsig
// fires when the thread that started the child ends, not only the process.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.ended)
	err := p.start()
	started <- err
	if err == nil {
		p.err = p.cmd.Wait()
	}
}

// start makes pipes of its own: those of exec.Cmd are closed by Wait, perhaps
// before all that the process has written was read.
func (p *Process) start() error {
	in, toIn, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	fromOut, out, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", errors.Join(err, in.Close(), toIn.Close()))
	}
	p.cmd.Stdin, p.cmd.Stdout = in, out
	p.In, p.Out = toIn, fromOut
	err = p.cmd.Start()
	_ = in.Close()
	_ = out.Close()
	if err != nil {
		return fmt.Errorf("start the process: %w", errors.Join(err, toIn.Close(), fromOut.Close()))
	}
	return nil
}

// Kill ends the process with SIGKILL, unless it has ended, and returns when it is
// gone.
func (p *Process) Kill() {
	p.kill.Do(func() {
		select {
		case <-p.ended:
			return
		default:
		}
		p.killed.Store(true)
		if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			p.t.Errorf("faults: kill: %v", err)
		}
	})
	<-p.ended
	_ = p.In.Close()
}

// Freeze stops the process with SIGSTOP.
func (p *Process) Freeze() { p.signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (p *Process) Thaw() { p.signal(syscall.SIGCONT) }

func (p *Process) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Errorf("faults: %v: %v", sig, err)
	}
}

// Wait closes the standard input, waits for the end, and answers the error with
// which the process has ended by itself; nil after Kill.
func (p *Process) Wait() error {
	_ = p.In.Close()
	<-p.ended
	if p.killed.Load() {
		return nil
	}
	return p.err
}
