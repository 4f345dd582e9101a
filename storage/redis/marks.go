package redis

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/actionflows/lifeline/storage"
)

const (
	// knownCollections is how many collections a driver knows the marks of: those
	// written to last. What another one loses is not noticed.
	knownCollections = 256
	// maxGaps bounds the gaps of a mark, see there.
	maxGaps = 64
)

// marks tell a driver that a partition has lost data. Every script that writes
// replaces the driver's mark in the partition by a higher number, from one counter,
// and answers the number before. One that is lower than what had been answered when
// the call was sent has been set back, and the data with it.
type marks struct {
	driver storage.Producer

	mu   sync.Mutex
	last int64 // the highest number that was used, or seen
	of   map[string]*mark
}

// mark is what is known of the mark in one partition.
//
// Calls are in flight at the same time and answered in any order, so a number below
// known alone is no loss: the call may have been carried out before the one that
// was answered first. Nor is a number that is not below what was known at sending
// alone a proof that nothing was lost: when data is lost while two calls are in
// flight, the one that is carried out afterwards may raise the mark beyond what the
// other had reached, and the next ones see nothing. But each call raises the mark
// from one number to another, and as long as nothing is lost, what they step over
// never overlaps. So an answer must fit in a gap: between two numbers that no
// answer has told about yet, or above all of them.
type mark struct {
	known  int64 // it was that high at least, since the last loss
	losses int   // that were told
	// gaps are what nobody has told about below known, in ascending order: of calls
	// in flight, and of those whose answer was lost. Of more than maxGaps the lowest
	// is forgotten, and answers up to there are compared with known only.
	gaps  []gap
	floor int64 // the end of what was forgotten
	used  int64 // the number of the last call that wrote
}

// gap is a range of numbers above from, up to to.
type gap struct{ from, to int64 }

// sent is what was known of a mark when a call was sent.
type sent struct {
	mark   *mark
	known  int64
	losses int
}

func newMarks() *marks {
	m := &marks{driver: storage.NewProducer(), of: map[string]*mark{}}
	for _, name := range partitionNames {
		m.of[name] = &mark{}
	}
	return m
}

// carryOut runs calls of the script that writes. Before it returns, the losses that
// their answers show have been told, each partition's once.
func (d *Driver) carryOut(ctx context.Context, calls []*call) {
	before := make([]sent, len(calls))
	for i, c := range calls {
		before[i] = d.marks.stamp(c, d.keys)
	}
	writeScript.run(ctx, d.write, calls)
	lost := map[string]bool{}
	for i, c := range calls {
		if d.marks.settle(c, before[i]) {
			lost[c.partition] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lost)) {
		d.onLoss(name)
	}
}

// stamp completes a call by what the script needs for the mark.
func (m *marks) stamp(c *call, k keyspace) sent {
	m.mu.Lock()
	defer m.mu.Unlock()
	own := m.of[c.partition]
	if own == nil {
		m.makeRoom()
		own = &mark{}
		m.of[c.partition] = own
	}
	m.last++
	if c.about != aboutBeat {
		own.used = m.last
	}
	c.keys = append(c.keys, k.marks(c.partition))
	c.args = append(c.args, m.driver.String(), own.known, m.last, string(c.about))
	return sent{mark: own, known: own.known, losses: own.losses}
}

// makeRoom forgets the collection not written to for the longest time when there
// are too many; m.mu is held.
func (m *marks) makeRoom() {
	if len(m.of) < partitions+knownCollections {
		return
	}
	oldest := slices.MinFunc(m.collections(), func(a, b string) int { return cmp.Compare(m.of[a].used, m.of[b].used) })
	delete(m.of, oldest)
}

// collections are the partitions of the collections that are known, in no order;
// m.mu is held.
func (m *marks) collections() []string {
	var names []string
	for name := range m.of {
		if strings.HasPrefix(name, collectionTag) {
			names = append(names, name)
		}
	}
	return names
}

// known are the partitions of the collections that this driver has written to.
func (m *marks) known() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := m.collections()
	slices.Sort(names)
	return names
}

// settle takes the marks off the reply to a call and reports whether they show a
// loss. A reply without them is none.
func (m *marks) settle(c *call, s sent) (lost bool) {
	if c.reply == nil {
		return false
	}
	parts, _ := c.reply.([]any)
	if len(parts) != 3 {
		c.reply, c.err = nil, replyError("without a mark")
		return false
	}
	had, okHad := parts[0].(int64)
	now, okNow := parts[1].(int64)
	if !okHad || !okNow || parts[2] == nil {
		c.reply, c.err = nil, replyError("a mark of no number")
		return false
	}
	c.reply = parts[2]
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = max(m.last, now)
	lost = s.mark.answered(s, had, now)
	if lost {
		// Numbers that were on their way may be higher than any that was answered.
		// None may come back, in a snapshot from before, as if it were a later one.
		m.last += lossStep
	}
	return lost
}

// lossStep is more than a driver ever has calls in flight.
const lossStep = 1 << 20

// answered notes that a call found the mark at had and left it at now, and reports
// whether that shows a loss.
func (k *mark) answered(s sent, had, now int64) (lost bool) {
	switch {
	case s.losses != k.losses:
		// Sent before a loss that was told meanwhile, and carried out before or after
		// it: what it has written may be gone as well, so it is told again.
		k.cover(had, now)
		return true
	case had < s.known:
		k.known = had
	case k.cover(had, now):
		return false
	default:
		k.known = max(k.known, now)
	}
	k.losses++
	k.gaps, k.floor = nil, 0
	return true
}

// cover notes what a call stepped over, if that fits in a gap.
func (k *mark) cover(had, now int64) bool {
	if had == now || now <= k.floor {
		return true // it has written nothing, or nobody can tell
	}
	if had >= k.known {
		if had > k.known {
			k.gaps = append(k.gaps, gap{k.known, had})
		}
		k.known = now
		k.bound()
		return true
	}
	for i, g := range k.gaps {
		if g.from <= had && now <= g.to {
			rest := slices.DeleteFunc([]gap{{g.from, had}, {now, g.to}}, func(g gap) bool { return g.from == g.to })
			k.gaps = slices.Replace(k.gaps, i, i+1, rest...)
			k.bound()
			return true
		}
	}
	return false
}

func (k *mark) bound() {
	for len(k.gaps) > maxGaps {
		k.floor = k.gaps[0].to
		k.gaps = k.gaps[1:]
	}
}
