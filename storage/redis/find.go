package redis

import (
	"context"
	"net"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/actionflows/lifeline/storage"
)

// findCluster asks servers of a Cluster who has which slots.
func findCluster(ctx context.Context, s *servers) ([]slots, error) {
	return first(ctx, s, s.candidates(), func(ctx context.Context, n *node) ([]slots, error) {
		ranges, err := n.ClusterSlots(ctx).Result() //nolint:staticcheck // CLUSTER SHARDS is not in Redis 6
		if reply, ok := ownReply(err); ok && strings.Contains(reply, "cluster support disabled") {
			return nil, &storage.UnavailableError{Reason: "Redis is not a cluster, though the option cluster says so", Err: err}
		}
		if err != nil {
			return nil, unavailable(err)
		}
		table := make([]slots, 0, len(ranges))
		for _, r := range ranges {
			if len(r.Nodes) > 0 { // the first of them is the master
				table = append(table, slots{r.Start, r.End, reachable(r.Nodes[0].Addr, n.addr)})
			}
		}
		if len(table) == 0 {
			return nil, &storage.UnavailableError{Reason: replies["CLUSTERDOWN"]}
		}
		return table, nil
	})
}

// sentinels ask where the master of a name is. They are servers of another kind,
// with clients of their own.
type sentinels struct {
	master string
	*servers
}

// find is for the servers whose masters the Sentinels name.
func (q *sentinels) find(ctx context.Context, s *servers) ([]slots, error) {
	q.mu.Lock()
	var nodes []*node
	for _, addr := range q.seeds {
		if n, err := q.node(addr); err == nil {
			nodes = append(nodes, n)
		}
	}
	q.mu.Unlock()
	return first(ctx, s, nodes, func(ctx context.Context, n *node) ([]slots, error) {
		addr, err := n.Do(ctx, "SENTINEL", "get-master-addr-by-name", q.master).StringSlice()
		if err == goredis.Nil || err == nil && len(addr) != 2 { //nolint:errorlint // go-redis answers it bare
			return nil, &storage.UnavailableError{Reason: "the Sentinels do not know the master's name"}
		}
		if err != nil {
			return nil, unavailable(err)
		}
		return []slots{{0, lastSlot, reachable(net.JoinHostPort(addr[0], addr[1]), n.addr)}}, nil
	})
}

// first asks all nodes at once and answers what comes first, or the error of one
// when nobody knows. Those that are slower end with ctx, or when s is closed.
func first[T any](ctx context.Context, s *servers, nodes []*node, ask func(context.Context, *node) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, len(nodes))
	for _, n := range nodes {
		s.wg.Go(func() {
			value, err := ask(ctx, n)
			answers <- answer{value, err}
		})
	}
	last := answer{err: storage.ErrClosed} // there are no nodes only then
	for range nodes {
		if last = <-answers; last.err == nil {
			break
		}
	}
	return last.value, last.err
}

// reachable completes an address that a server told: without a host it means the
// server's own, and so does a loopback address from far away; without a port, that
// of the connection.
func reachable(told, server string) string {
	host, port, err := net.SplitHostPort(told)
	ownHost, ownPort, ownErr := net.SplitHostPort(server)
	if err != nil || ownErr != nil {
		return told
	}
	if host == "" || isLoopback(host) && !isLoopback(ownHost) {
		host = ownHost
	}
	if port == "" || port == "0" {
		port = ownPort
	}
	return net.JoinHostPort(host, port)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || host == "localhost"
}

// slotOf is the hash slot of a key: the CRC-16/XMODEM of what stands between its
// braces, or of all of it.
func slotOf(key string) int {
	if _, tail, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(tail, "}"); ok && tag != "" {
			key = tag
		}
	}
	crc := uint16(0)
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % (lastSlot + 1)
}
