package redistest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// SentinelMaster is the name by which [Sentinels] know their master.
const SentinelMaster = "lifeline"

// Sentinels are three Sentinels over one master and one replica. Whoever is
// silent for half a second is down for them.
type Sentinels struct {
	t         testing.TB
	servers   []*Server // master and replica, at first in this order
	sentinels []*Server
}

// StartSentinels starts them, with these additional arguments for master and
// replica, and returns when the Sentinels are ready for a failover. With a
// password the Sentinels want it.
func StartSentinels(t testing.TB, password string, args ...string) *Sentinels {
	t.Helper()
	args = append([]string{"--repl-diskless-sync-delay", "0"}, args...) // or a sync takes 5 s
	master := Start(t, args...)
	replica := Start(t, append([]string{"--replicaof", "127.0.0.1 " + strconv.Itoa(master.port)}, args...)...)
	replica.await("the replica is in sync", func(reply any, _ error) bool {
		return strings.Contains(fmt.Sprint(reply), "master_link_status:up")
	}, "INFO", "replication")
	c := &Sentinels{t: t, servers: []*Server{master, replica}}
	for range 3 {
		c.sentinels = append(c.sentinels, startSentinel(t, master.port, password))
	}
	for _, s := range c.sentinels {
		s.await("the Sentinels know each other", func(reply any, err error) bool {
			return err == nil && strings.HasPrefix(fmt.Sprint(reply), "OK 3 ")
		}, "SENTINEL", "CKQUORUM", SentinelMaster)
		s.await("the Sentinels know the replica", func(reply any, err error) bool {
			list, _ := reply.([]any)
			return err == nil && len(list) == 1 && strings.Contains(fmt.Sprint(list), "master-link-status:ok")
		}, "SENTINEL", "REPLICAS", SentinelMaster)
	}
	return c
}

func startSentinel(t testing.TB, master int, password string) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), password: password}
	s.conf = filepath.Join(s.dir, "sentinel.conf") // Sentinel rewrites it
	conf := fmt.Sprintf("sentinel monitor %[1]s 127.0.0.1 %[2]d 2\n"+
		"sentinel down-after-milliseconds %[1]s 500\n"+
		"sentinel failover-timeout %[1]s 2000\n", SentinelMaster, master)
	if password != "" {
		conf += fmt.Sprintf("requirepass %[1]s\nsentinel sentinel-pass %[1]s\n", password)
	}
	if err := os.WriteFile(s.conf, []byte(conf), 0o600); err != nil {
		t.Fatalf("redistest: %v", err)
	}
	s.start(freePort)
	// They talk every few seconds by default. Redis 6 has no such command, and
	// takes longer. A shorter PING-PERIOD would also mean that a replica on a busy
	// machine is too long silent to be promoted.
	_, _ = s.Do(t.Context(), "SENTINEL", "DEBUG", "INFO-PERIOD", 100, "PUBLISH-PERIOD", 100,
		"ASK-PERIOD", 100, "ELECTION-TIMEOUT", 1000)
	return s
}

// Addrs are the Sentinels' addresses.
func (c *Sentinels) Addrs() []string {
	addrs := make([]string, len(c.sentinels))
	for i, s := range c.sentinels {
		addrs[i] = s.Addr()
	}
	return addrs
}

// Sentinel answers one of the three.
func (c *Sentinels) Sentinel(i int) *Server { return c.sentinels[i] }

// Master is the server that the Sentinels name now.
func (c *Sentinels) Master() *Server {
	c.t.Helper()
	addr := c.sentinels[0].MustDo("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SentinelMaster).([]any)
	for _, s := range c.servers {
		if s.Addr() == net.JoinHostPort(addr[0].(string), addr[1].(string)) {
			return s
		}
	}
	c.t.Fatalf("redistest: the Sentinels name %v", addr)
	return nil
}

// AwaitMaster waits until every Sentinel names this master.
func (c *Sentinels) AwaitMaster(s *Server) {
	c.t.Helper()
	for _, q := range c.sentinels {
		q.await("the Sentinels name the new master", func(reply any, _ error) bool {
			addr, _ := reply.([]any)
			return len(addr) == 2 && addr[1] == strconv.Itoa(s.port)
		}, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SentinelMaster)
	}
}

// Other is the one of the two servers that s is not.
func (c *Sentinels) Other(s *Server) *Server {
	if s == c.servers[0] {
		return c.servers[1]
	}
	return c.servers[0]
}

// AwaitRole waits until the server is "master" or "slave".
func (s *Server) AwaitRole(role string) {
	s.t.Helper()
	s.await("the server becomes a "+role, func(reply any, err error) bool {
		return err == nil && strings.Contains(fmt.Sprint(reply), "role:"+role) &&
			(role == "master" || strings.Contains(fmt.Sprint(reply), "master_link_status:up"))
	}, "INFO", "replication")
}

// Replicate returns when a replica has all that was written before the call.
func (s *Server) Replicate() error {
	ctx := s.t.Context()
	pipe := s.client.Pipeline()
	pipe.Publish(ctx, "redistest", "mark") // WAIT is for what the connection itself has written
	wait := pipe.Do(ctx, "WAIT", 1, doTimeout.Milliseconds())
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("wait for the replica: %w", err)
	}
	if n, _ := wait.Int(); n < 1 {
		return fmt.Errorf("no replica has it within %v", doTimeout)
	}
	return nil
}
