package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/actionflows/lifeline/storage"
)

const (
	// knownCollections is how many collections a driver knows the marks of: those
	// written to last. What another one loses is not noticed.
	knownCollections = 256
	// markWrites is how many writes a mark consists of, as in common.lua.
	markWrites = 8
)

// marks tell a driver that a partition has lost data. A script that writes adds
// the write to the driver's mark in the partition, which holds the last ones, and
// answers the mark. What was answered and is not in a later mark is lost.
//
// Of calls that are sent together the last one to each partition leaves the mark, for
// it is carried out behind the others: if its mark is there, so is what they wrote.
// What the others answer counts only with the answer of that one.
//
// Calls are in flight at the same time and answered in any order, so which of two
// marks is the later one is not told by the order of the answers. The numbers tell:
// each write has a higher one than those before it in its mark. So a mark must have
//   - every write with a number not above its own last one, because such a write
//     cannot have been carried out later, and
//   - every write that had been answered when the call was sent. The last of them
//     goes along with the call, and the script looks for it.
//
// As long as nothing is lost both always hold. When something is lost, calls that
// were on their way may be carried out afterwards and reach the same numbers again,
// answered or not; they do not have the same tags, each of which is used once.
//
// A mark does not go back for ever. Whether a write older than all in a full mark is
// lost cannot be told: more than markWrites calls would have to be carried out
// after the loss that were all sent before that write was answered, for a loss to
// be overlooked.
type marks struct {
	driver string
	keys   keyspace

	mu   sync.Mutex
	last int64 // the highest tag that was used, or number that was seen
	of   map[string]*mark
}

// mark is what is known of the mark in one partition.
type mark struct {
	key    string
	writes []write // the last that were answered, at most markWrites, by number
	used   int64   // the tag of the last call that was no beat
}

// write is one write of this driver.
type write struct{ number, tag int64 }

func (w write) String() string {
	return strconv.FormatInt(w.number, 10) + "/" + strconv.FormatInt(w.tag, 10)
}

func newMarks(k keyspace) *marks {
	m := &marks{driver: storage.NewProducer().String(), keys: k, of: map[string]*mark{}}
	for _, name := range partitionNames {
		m.of[name] = &mark{key: k.marks(name)}
	}
	return m
}

// carryOut runs calls of the script that writes. Before it returns, the losses that
// their answers show have been told, each partition's once.
func (d *Driver) carryOut(ctx context.Context, calls []*call) {
	lost := d.compare(ctx, calls)
	if len(lost) == 0 {
		return
	}
	// What was written together with the loss is not in the mark, and could be lost
	// again unseen. A beat notes it; should that fail, the next call does.
	d.compare(ctx, beats(lost))
}

// compare runs calls and tells of the losses that their answers show.
func (d *Driver) compare(ctx context.Context, calls []*call) []string {
	last := make(map[string]*call, partitions)
	for _, c := range calls {
		last[c.partition] = c
	}
	for _, c := range calls {
		d.marks.stamp(c, c == last[c.partition])
	}
	writeScript.run(ctx, d.write, calls)
	var lost []string
	for partition, c := range last {
		if d.marks.settle(c) {
			lost = append(lost, partition)
			d.onLoss(partition)
		}
	}
	if unmarked := unmarked(calls, last); len(unmarked) > 0 {
		lost = append(lost, d.markLater(ctx, calls, unmarked)...)
	}
	return lost
}

// unmarked are the partitions in which calls were answered, but not the one that was
// to leave the mark.
func unmarked(calls []*call, last map[string]*call) (names []string) {
	for _, c := range calls {
		if c.reply != nil && last[c.partition].reply == nil && !slices.Contains(names, c.partition) {
			names = append(names, c.partition)
		}
	}
	return names
}

// markLater has a beat leave the mark. What was answered in a partition where that
// fails too could be lost unseen, so nobody is told that it was.
func (d *Driver) markLater(ctx context.Context, calls []*call, names []string) (lost []string) {
	later := beats(names)
	lost = d.compare(ctx, later)
	for _, b := range later {
		for _, c := range calls {
			if b.reply == nil && c.partition == b.partition && c.reply != nil {
				c.reply, c.err = nil, b.err
			}
		}
	}
	return lost
}

// stamp completes a call by what the script needs for the mark, if it leaves one.
func (m *marks) stamp(c *call, leaves bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	own := m.of[c.partition]
	if own == nil {
		m.makeRoom()
		own = &mark{key: m.keys.marks(c.partition)}
		m.of[c.partition] = own
	}
	m.last++
	if c.about != aboutBeat {
		own.used = m.last
	}
	c.keys = append(c.keys, own.key)
	if !leaves {
		c.args = append(c.args, "", "", 0, string(c.about))
		return
	}
	expect := ""
	if n := len(own.writes); n > 0 {
		expect = own.writes[n-1].String()
	}
	c.args = append(c.args, m.driver, expect, m.last, string(c.about))
	c.mark = own
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

// settle takes the mark off the reply to a call and reports whether it shows a
// loss. A reply without one is none.
func (m *marks) settle(c *call) (lost bool) {
	if c.reply == nil {
		return false
	}
	parts, _ := c.reply.([]any)
	if len(parts) != 3 || parts[2] == nil {
		c.reply, c.err = nil, replyError("without a mark")
		return false
	}
	writes, err := parseMark(parts[0])
	noted, ok := parts[1].(int64)
	if err != nil || !ok || noted == 1 && len(writes) == 0 {
		c.reply, c.err = nil, replyError(fmt.Sprintf("mark %q", parts[:2]))
		return false
	}
	c.reply = parts[2]
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(writes) > 0 {
		m.last = max(m.last, writes[0].number)
	}
	return c.mark.answered(writes, noted)
}

// parseMark reads <number>/<tag> of each write, the newest first; what else there is,
// is when that one was noted.
func parseMark(v any) ([]write, error) {
	s, ok := v.(string)
	if !ok {
		return nil, replyError("no mark")
	}
	writes := make([]write, 0, markWrites)
	for field := range strings.FieldsSeq(s) {
		number, tag, ok := strings.Cut(field, "/")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		t, err2 := strconv.ParseInt(tag, 10, 64)
		if err = errors.Join(err, err2); err != nil {
			return nil, err
		}
		writes = append(writes, write{number: n, tag: t})
	}
	return writes, nil
}

// answered compares what is known with the mark that a call has answered, whose first
// write is the call's own if noted is 1, and reports whether something is lost.
func (k *mark) answered(mark []write, noted int64) (lost bool) {
	// With -1 Redis has found that the mark lacks the last write that had been
	// answered when the call was sent. What the call has written is not noted then and
	// could be lost again unseen, so it counts as lost, also where that loss was told
	// meanwhile.
	if lost = noted < 0 || k.lacks(mark); lost {
		k.writes = k.writes[:0]
		for _, w := range mark {
			k.know(w)
		}
	}
	if noted > 0 {
		k.know(mark[0])
	}
	return lost
}

// lacks reports whether mark lacks a write that it must have because of its number.
func (k *mark) lacks(mark []write) bool {
	if len(mark) == 0 {
		return false
	}
	oldest, newest := int64(0), mark[0].number
	if len(mark) >= markWrites {
		oldest = mark[len(mark)-1].number
	}
	return slices.ContainsFunc(k.writes, func(w write) bool {
		return w.number >= oldest && w.number <= newest && !slices.Contains(mark, w)
	})
}

// know adds a write that was answered.
func (k *mark) know(w write) {
	i, there := slices.BinarySearchFunc(k.writes, w, func(a, b write) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.tag, b.tag))
	})
	if there {
		return
	}
	k.writes = slices.Insert(k.writes, i, w)
	if len(k.writes) > markWrites {
		k.writes = slices.Delete(k.writes, 0, 1)
	}
}
