package redis

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/actionflows/lifeline/storage"
)

// lookEvery is the shortest time between two looks at where the servers are, as
// long as some are known.
const lookEvery = 100 * time.Millisecond

// servers are the Redis servers that a driver writes to or reads from: one, the
// master that Sentinels name, or the masters of a Cluster. Each has a client of
// its own. Which server has a key is looked up when it is needed first, and again
// in the background when a call failed or was sent elsewhere; connections to a
// server that is none of them any more are closed, so nobody goes on talking to a
// deposed master.
//
// The clients that go-redis has for this are not used: for a redirect to be
// followed they must also be allowed to repeat what may have been carried out,
// they subscribe only at the server of the channel's slot, dead or not, and they
// leave goroutines behind when they are closed.
type servers struct {
	// find answers who has which slots. With nil there is one server, fixed.
	find    func(context.Context, *servers) ([]slots, error)
	seeds   []string // to begin with
	connect func(addr string) *goredis.Client
	joined  func() // called when there is a server that was not there before

	turn atomic.Uint32 // which server any answers first

	mu     sync.Mutex
	table  []slots // by their first slot; none: not known yet
	nodes  map[string]*node
	look   *look     // the one that runs
	looked time.Time // when the last one ended
	closed bool

	ctx    context.Context // of looks; done once close was called
	cancel context.CancelFunc
	wg     sync.WaitGroup // looks, and what they ask
}

// slots are a range of hash slots, both ends included, and their master.
type slots struct {
	first, last int
	addr        string
}

// node is one server.
type node struct {
	*goredis.Client
	addr    string
	scripts sync.Map    // by their names, those that it has as far as we know
	checked atomic.Bool // its configuration was looked at
}

// look is one look at where the servers are.
type look struct {
	done chan struct{} // closed at its end
	err  error         // valid then
}

// lastSlot is the last hash slot; whoever has all of them is no Cluster.
const lastSlot = 16383

// fixed are the one server at addr.
func fixed(ctx context.Context, addr string, connect func(string) *goredis.Client) *servers {
	s := found(ctx, nil, nil, connect)
	s.adopt([]slots{{0, lastSlot, addr}})
	return s
}

// found are those that find finds. Looking ends with ctx, or with close.
func found(ctx context.Context, find func(context.Context, *servers) ([]slots, error), seeds []string,
	connect func(string) *goredis.Client,
) *servers {
	s := &servers{find: find, seeds: seeds, connect: connect, joined: func() {}, nodes: map[string]*node{}}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// close closes every connection and waits until nothing runs any more.
func (s *servers) close() error {
	s.cancel()
	s.mu.Lock()
	s.closed = true
	nodes := s.nodes
	s.nodes, s.table = nil, nil
	s.mu.Unlock()
	errs := make([]error, 0, len(nodes))
	for _, n := range nodes {
		errs = append(errs, n.Close())
	}
	s.wg.Wait()
	return errors.Join(errs...)
}

// of answers the server that has a key.
func (s *servers) of(ctx context.Context, key string) (*node, error) {
	if err := s.known(ctx); err != nil {
		return nil, err
	}
	slot := slotOf(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, exact := slices.BinarySearchFunc(s.table, slot, func(r slots, slot int) int { return cmp.Compare(r.first, slot) })
	if !exact {
		i--
	}
	if i < 0 || s.table[i].last < slot {
		return nil, &storage.UnavailableError{Reason: replies["CLUSTERDOWN"]}
	}
	return s.node(s.table[i].addr)
}

// at answers the server at an address, which is any that a redirect named.
func (s *servers) at(addr string) (*node, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node(addr)
}

// node makes a client if there is none; s.mu is held.
func (s *servers) node(addr string) (*node, error) {
	if s.closed {
		return nil, storage.ErrClosed
	}
	n := s.nodes[addr]
	if n == nil {
		n = &node{Client: s.connect(addr), addr: addr}
		s.nodes[addr] = n
	}
	return n, nil
}

// all answers the known masters, beginning with the one whose turn it is.
func (s *servers) all(ctx context.Context) ([]*node, error) {
	if err := s.known(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := s.addrs()
	nodes := make([]*node, len(addrs))
	for i := range addrs {
		n, err := s.node(addrs[(i+int(s.turn.Load()))%len(addrs)])
		if err != nil {
			return nil, err
		}
		nodes[i] = n
	}
	return nodes, nil
}

// addrs answers the masters' addresses in order; s.mu is held.
func (s *servers) addrs() []string {
	addrs := make([]string, 0, len(s.table))
	for _, r := range s.table {
		addrs = append(addrs, r.addr)
	}
	slices.Sort(addrs)
	return slices.Compact(addrs)
}

// failed is told of every call that could not be carried out: another server's
// turn comes, and somebody looks where they are now.
func (s *servers) failed() {
	s.turn.Add(1)
	s.refresh()
}

// known waits until it is known where the servers are.
func (s *servers) known(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return storage.ErrClosed
	}
	if len(s.table) > 0 {
		s.mu.Unlock()
		return nil
	}
	l := s.begin()
	s.mu.Unlock()
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refresh looks where the servers are, in the background and not too often.
func (s *servers) refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find != nil && !s.closed && time.Since(s.looked) >= lookEvery {
		s.begin()
	}
}

// begin answers the look that runs, or a new one; s.mu is held.
func (s *servers) begin() *look {
	if s.look != nil {
		return s.look
	}
	l := &look{done: make(chan struct{})}
	s.look = l
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
		defer cancel()
		table, err := s.find(ctx, s)
		if err == nil {
			s.adopt(table)
		}
		s.mu.Lock()
		s.look, s.looked = nil, time.Now()
		s.mu.Unlock()
		l.err = err
		close(l.done)
	})
	return l
}

// adopt makes table the valid one and closes what is in use no more.
func (s *servers) adopt(table []slots) {
	slices.SortFunc(table, func(a, b slots) int { return cmp.Compare(a.first, b.first) })
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	before := s.addrs()
	s.table = table
	now := s.addrs()
	var left []*node
	for addr, n := range s.nodes {
		if _, stays := slices.BinarySearch(now, addr); !stays {
			left = append(left, n)
			delete(s.nodes, addr)
		}
	}
	s.mu.Unlock()
	for _, n := range left {
		_ = n.Close()
	}
	if !slices.Equal(before, now) {
		s.joined()
	}
}

// candidates are whom to ask where the servers are: two that are known, and one
// to begin with, should all of them have moved.
func (s *servers) candidates() []*node {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, seeds := s.addrs(), slices.Clone(s.seeds)
	for _, list := range [][]string{known, seeds} {
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] }) //nolint:gosec // no secret
	}
	most := 3 - min(2, len(known))
	addrs := append(known[:min(2, len(known))], seeds[:min(most, len(seeds))]...)
	slices.Sort(addrs)
	var nodes []*node
	for _, addr := range slices.Compact(addrs) {
		if n, err := s.node(addr); err == nil {
			nodes = append(nodes, n)
		}
	}
	return nodes
}
