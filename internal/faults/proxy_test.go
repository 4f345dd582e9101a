package faults_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/actionflows/lifeline/internal/faults"
)

// childEnv makes the test binary a child that answers each line with itself, and
// ends badly at "fail".
const childEnv = "LIFELINE_FAULTS_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if lines.Text() == "fail" {
			fmt.Fprintln(os.Stderr, "as you wish")
			os.Exit(3)
		}
		fmt.Println(lines.Text())
	}
}

// echo answers every byte, and counts what it got.
func echo(t *testing.T) (addr string, got <-chan byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	bytes := make(chan byte, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				b := make([]byte, 1)
				for {
					if _, err := conn.Read(b); err != nil {
						return
					}
					bytes <- b[0]
					if _, err := conn.Write(b); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String(), bytes
}

func dial(t *testing.T, p *faults.Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// ask sends one byte and waits for its echo at most that long.
func ask(t *testing.T, conn net.Conn, b byte, wait time.Duration) error {
	t.Helper()
	if _, err := conn.Write([]byte{b}); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if answer[0] != b {
		t.Fatalf("sent %q, got %q", b, answer[0])
	}
	return nil
}

const (
	long  = 5 * time.Second
	short = 30 * time.Millisecond
)

func TestCutEndsConnectionsAndServesNewOnes(t *testing.T) {
	addr, _ := echo(t)
	p := faults.NewProxy(t, addr)
	conn := dial(t, p)
	if err := ask(t, conn, 'a', long); err != nil {
		t.Fatal(err)
	}
	p.Cut()
	if err := ask(t, conn, 'b', long); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after a cut: %v, want a closed connection", err)
	}
	if err := ask(t, dial(t, p), 'c', long); err != nil {
		t.Error(err)
	}
}

func TestRefuse(t *testing.T) {
	addr, _ := echo(t)
	p := faults.NewProxy(t, addr)
	conn := dial(t, p)
	if err := ask(t, conn, 'a', long); err != nil {
		t.Fatal(err)
	}
	p.Refuse(true)
	if c, err := net.Dial("tcp", p.Addr()); err == nil {
		_ = c.Close()
		t.Error("a refusing proxy accepted")
	}
	if err := ask(t, conn, 'b', long); err != nil {
		t.Errorf("refusing broke an open connection: %v", err)
	}
	p.Refuse(false)
	if err := ask(t, dial(t, p), 'c', long); err != nil {
		t.Error(err)
	}
}

func TestBlackholeSwallowsBothWays(t *testing.T) {
	addr, got := echo(t)
	p := faults.NewProxy(t, addr)
	p.Blackhole(true)
	conn := dial(t, p)
	if err := ask(t, conn, 'a', short); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("in a black hole: %v, want silence", err)
	}
	p.Blackhole(false)
	if err := ask(t, conn, 'b', long); err != nil {
		t.Error(err)
	}
	if b := <-got; b != 'b' {
		t.Errorf("the target got %q, which was swallowed", b)
	}
}

func TestDropRepliesLetsCommandsThrough(t *testing.T) {
	addr, got := echo(t)
	p := faults.NewProxy(t, addr)
	p.DropReplies(true)
	conn := dial(t, p)
	if err := ask(t, conn, 'a', short); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, want silence", err)
	}
	if b := <-got; b != 'a' {
		t.Errorf("the target got %q", b)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for p.Dropped() == 0 { // the echo is on its way
		<-tick.C
	}
	p.DropReplies(false)
	if err := ask(t, conn, 'b', long); err != nil {
		t.Error(err)
	}
}

func TestSpareLetsSomeConnectionsBe(t *testing.T) {
	addr, _ := echo(t)
	p := faults.NewProxy(t, addr)
	p.Spare("s")
	spared, other := dial(t, p), dial(t, p)
	for _, c := range []net.Conn{spared, other} {
		if err := ask(t, c, 'a', long); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(t, spared, 's', long); err != nil {
		t.Fatal(err)
	}
	p.Blackhole(true)
	if err := ask(t, spared, 'b', long); err != nil {
		t.Errorf("a spared connection: %v", err)
	}
	if err := ask(t, other, 'b', short); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("another: %v, want silence", err)
	}
	p.Blackhole(false)
	p.Cut()
	if err := ask(t, spared, 'c', long); err != nil {
		t.Errorf("a cut reached a spared connection: %v", err)
	}
	p.Spare("")
	p.Cut()
	if err := ask(t, spared, 'd', long); err == nil {
		t.Error("a cut passed over a connection that is no longer spared")
	}
}

func TestRetargetIsForNewConnections(t *testing.T) {
	first, atFirst := echo(t)
	second, atSecond := echo(t)
	p := faults.NewProxy(t, first)
	old := dial(t, p)
	if err := ask(t, old, 'a', long); err != nil {
		t.Fatal(err)
	}
	p.Retarget(second)
	if err := ask(t, old, 'b', long); err != nil {
		t.Fatal(err)
	}
	if err := ask(t, dial(t, p), 'c', long); err != nil {
		t.Fatal(err)
	}
	if a, b, c := <-atFirst, <-atFirst, <-atSecond; a != 'a' || b != 'b' || c != 'c' {
		t.Errorf("the targets got %q, %q and %q", a, b, c)
	}
}
