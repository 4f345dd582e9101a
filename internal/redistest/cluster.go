package redistest

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
)

const hashSlots = 16384

// Cluster is a Redis Cluster of masters without replicas. A partition whose
// master is away does not stop the others.
type Cluster struct {
	Nodes []*Server
}

// StartCluster starts so many masters, with these additional arguments, and
// returns when all of them know that they are a cluster.
func StartCluster(t testing.TB, masters int, args ...string) *Cluster {
	t.Helper()
	c := &Cluster{}
	for range masters {
		s := &Server{t: t, dir: t.TempDir(), args: append([]string{
			"--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
			"--cluster-require-full-coverage", "no",
		}, args...)}
		s.start(clusterPort)
		c.Nodes = append(c.Nodes, s)
	}
	for i, s := range c.Nodes {
		s.MustDo("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		add := []any{"CLUSTER", "ADDSLOTS"}
		for slot := hashSlots * i / masters; slot < hashSlots*(i+1)/masters; slot++ {
			add = append(add, slot)
		}
		s.MustDo(add...)
		for _, other := range c.Nodes[:i] {
			s.MustDo("CLUSTER", "MEET", "127.0.0.1", other.port)
		}
	}
	for _, s := range c.Nodes {
		s.await("the cluster is up", func(reply any, _ error) bool {
			info, _ := reply.(string)
			return strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, fmt.Sprintf("cluster_size:%d\r", masters)) &&
				strings.Contains(info, fmt.Sprintf("cluster_slots_ok:%d\r", hashSlots))
		}, "CLUSTER", "INFO")
	}
	return c
}

// Addrs are the addresses of all nodes.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.Nodes))
	for i, s := range c.Nodes {
		addrs[i] = s.Addr()
	}
	return addrs
}

// Owner is the node that serves a key's slot, as the first node that can be asked
// sees it.
func (c *Cluster) Owner(key string) *Server {
	s := c.Nodes[0]
	s.t.Helper()
	slot := s.MustDo("CLUSTER", "KEYSLOT", key).(int64)
	for _, r := range s.MustDo("CLUSTER", "SLOTS").([]any) {
		r := r.([]any)
		if slot < r[0].(int64) || slot > r[1].(int64) {
			continue
		}
		port := r[2].([]any)[1].(int64)
		for _, n := range c.Nodes {
			if int64(n.port) == port {
				return n
			}
		}
	}
	s.t.Fatalf("redistest: nobody has slot %d", slot)
	return nil
}

// ID is the name of a node within its cluster.
func (s *Server) ID() string {
	s.t.Helper()
	return s.MustDo("CLUSTER", "MYID").(string)
}

// clusterPort answers a free port for clients whose bus port, 10000 above, is free
// as well.
func clusterPort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := freePort(t)
		if port+10000 > 65535 {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+10000)))
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("redistest: no free pair of ports")
	return 0
}
