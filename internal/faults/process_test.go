package faults_test

import (
	"bufio"
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/faults"
)

// say sends a line.
func say(t *testing.T, p *faults.Process, line string) {
	t.Helper()
	if _, err := fmt.Fprintln(p.In, line); err != nil {
		t.Fatal(err)
	}
}

func TestProcessFreezesAndThaws(t *testing.T) {
	p := faults.StartProcess(t, new(bytes.Buffer), childEnv+"=1")
	out := bufio.NewScanner(p.Out)
	say(t, p, "a")
	if !out.Scan() || out.Text() != "a" {
		t.Fatalf("it said %q", out.Text())
	}
	p.Freeze()
	say(t, p, "b")
	answered := make(chan string, 1)
	go func() {
		out.Scan()
		answered <- out.Text()
	}()
	select {
	case text := <-answered:
		t.Errorf("a frozen process said %q", text)
	case <-time.After(short):
	}
	p.Thaw()
	if text := <-answered; text != "b" {
		t.Errorf("after thawing it said %q", text)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestProcessIsKilledEvenFrozen(t *testing.T) {
	p := faults.StartProcess(t, new(bytes.Buffer), childEnv+"=1")
	p.Freeze()
	p.Kill()
	if n, err := p.Out.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes of a dead process", n)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("a process that was killed: %v", err)
	}
	p.Kill()
}

func TestProcessTellsHowItEnded(t *testing.T) {
	var stderr bytes.Buffer
	p := faults.StartProcess(t, &stderr, childEnv+"=1")
	say(t, p, "fail")
	if err := p.Wait(); err == nil {
		t.Error("it failed and did not tell")
	}
	if stderr.String() != "as you wish\n" {
		t.Errorf("it wrote %q", stderr.String())
	}
}
