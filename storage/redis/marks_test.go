package redis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

// TestLossesOfAModel has one partition that is written to by calls in flight at the
// same time, answered in any order or not at all, and that goes back to one of its
// former states now and then. While it does not, there is no loss; and whatever was
// answered and is lost has been told, at the latest by a beat after all of them. No
// more calls overtake each other than a mark has writes.
func TestLossesOfAModel(t *testing.T) {
	for seed := range uint64(4000) {
		m := newModel(seed)
		for range 60 {
			m.step()
			if m.wrong != "" {
				t.Fatalf("seed %d: %s", seed, m.wrong)
			}
		}
		m.end()
		if m.wrong != "" {
			t.Fatalf("seed %d: %s", seed, m.wrong)
		}
	}
}

// model is a partition and its driver.
type model struct {
	rand  *rand.Rand
	marks *marks

	now    state
	former []state
	losses bool // may happen
	lost   bool // has happened

	flights  []*flight
	answered map[int]bool // writes; false once a loss was told that may be theirs
	writes   int
	wrong    string
}

type state struct {
	mark   string
	writes []int
}

type flight struct {
	call  *call
	write int
	done  bool
	age   int // calls that were carried out since
}

// inFlight is how many calls are, and how many are carried out at most between one
// and its answer.
const inFlight = markWrites / 2

func newModel(seed uint64) *model {
	r := rand.New(rand.NewPCG(seed, 5)) //nolint:gosec // no secret
	return &model{rand: r, marks: newMarks(keyspace{}), losses: seed%4 > 0, answered: map[int]bool{}}
}

func (m *model) step() {
	switch n := m.rand.IntN(20); {
	case n < 6:
		m.send()
	case n < 12:
		m.carryOut()
	case n < 17:
		m.answer()
	case n < 18 && len(m.flights) > 0: // its answer is lost
		i := m.rand.IntN(len(m.flights))
		if m.flights[i].done {
			m.flights = slices.Delete(m.flights, i, i+1)
		}
	case n < 19 && m.losses && len(m.former) > 0:
		m.now = m.former[m.rand.IntN(len(m.former))]
		m.lost = true
	}
}

func (m *model) send() {
	if len(m.flights) == inFlight {
		return
	}
	m.writes++
	c := &call{about: aboutLog, partition: "p00"}
	m.marks.stamp(c, true)
	m.flights = append(m.flights, &flight{call: c, write: m.writes})
}

// carryOut does what mark.lua does, for one call that is on its way.
func (m *model) carryOut() {
	for _, i := range m.rand.Perm(len(m.flights)) {
		f := m.flights[i]
		if f.done {
			continue
		}
		if slices.ContainsFunc(m.flights, func(f *flight) bool { return f.age == inFlight }) {
			return
		}
		for _, other := range m.flights {
			if other.done {
				other.age++
			}
		}
		f.done = true
		m.former = append(m.former, m.now)
		m.now.writes = append(slices.Clone(m.now.writes), f.write)
		noted := int64(-1)
		if mark, ok := raised(m.now.mark, f.call.args[1].(string), f.call.args[2].(int64)); ok {
			m.now.mark, noted = mark, 1
		}
		f.call.reply = []any{m.now.mark, noted, "answer"}
		return
	}
}

// raised is what mark.lua makes of a mark, if it raises it.
func raised(mark, expect string, tag int64) (string, bool) {
	writes := strings.Fields(mark)
	number, known := int64(0), expect == "" || slices.Contains(writes, expect)
	numberOf := func(s string) (n int64) { _, _ = fmt.Sscanf(s, "%d", &n); return n }
	if n := len(writes); n > 0 {
		number = numberOf(writes[0])
		known = known || n == markWrites && numberOf(expect) < numberOf(writes[n-1])
	}
	own := write{number: max(number+1, tag), tag: tag}.String()
	return strings.Join(append([]string{own}, writes[:min(len(writes), markWrites-1)]...), " "), known
}

// answer delivers one answer.
func (m *model) answer() {
	for _, i := range m.rand.Perm(len(m.flights)) {
		f := m.flights[i]
		if !f.done {
			continue
		}
		m.flights = slices.Delete(m.flights, i, i+1)
		m.answered[f.write] = true
		if m.marks.settle(f.call) {
			if !m.lost {
				m.wrong = "a loss that never was"
			}
			clear(m.answered) // all of them are looked at again
		}
		return
	}
}

// end delivers all answers, and then those of a beat and another one, as the first
// one's answer may be lost.
func (m *model) end() {
	for range 3 {
		for len(m.flights) > 0 {
			m.carryOut()
			m.answer()
		}
		m.send()
	}
	for write := range m.answered {
		if write < m.writes && !slices.Contains(m.now.writes, write) {
			m.wrong = fmt.Sprintf("write %d is lost and nobody was told", write)
		}
	}
}

// TestNoLossIsFoundWhereNoneIs: a hundred thousand script calls, many at once and
// answered in any order.
func TestNoLossIsFoundWhereNoneIs(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	var told atomic.Int64
	d.OnLoss(func(string) { told.Add(1) })
	var wg sync.WaitGroup
	const calls, callers = 100_000, DefaultPoolSize
	var sent atomic.Int64
	for i := range callers {
		wg.Go(func() {
			for j := 0; sent.Load() < calls; j++ {
				id := fmt.Sprint(i, "-", j)
				_, err := d.Apply(t.Context(), []storage.Op{in("e:s", id), in("e:"+id, "a"), addition("a"), item(id)})
				_, err2 := d.Take(t.Context(), "i:s", 1)
				err3 := d.Beat(t.Context(), 0)
				if err := errors.Join(err, err2, err3); err != nil {
					t.Error(err)
					return
				}
				sent.Add(5 + partitions + 1)
			}
		})
	}
	wg.Wait()
	if n := told.Load(); n > 0 {
		t.Errorf("%d losses in %d calls", n, sent.Load())
	}
	if n := commandCalls(t, s, "evalsha"); n < calls {
		t.Errorf("only %d calls", n)
	}
}

func TestKnownCollectionsAreBounded(t *testing.T) {
	d := open(t, redistest.Start(t))
	put := func(i int) { do(t, d, &storage.Put{Collection: fmt.Sprint(i), ID: "a"}) }
	for i := range knownCollections {
		put(knownCollections - 1 - i)
	}
	put(knownCollections - 1) // so that the one below was written to longest ago
	if err := d.Beat(t.Context(), 0); err != nil {
		t.Error(err)
	}
	put(knownCollections)
	known := d.marks.known()
	kept := slices.Contains(known, fmt.Sprint("c:", knownCollections-2))
	if len(known) != knownCollections || kept || !slices.Contains(known, "c:0") {
		t.Errorf("%d are known: %v", len(known), known)
	}
}

// TestMarksOfDriversAreBounded: those that wrote longest ago make room, whatever
// else is in the hash.
func TestMarksOfDriversAreBounded(t *testing.T) {
	s := redistest.Start(t)
	const most = 64
	var drivers []*Driver
	for i := range most + 3 {
		d := open(t, s)
		a := addition("a")
		a.Link = storage.Link{Producer: storage.Producer(i + 1), Number: 1}
		do(t, d, entry(fmt.Sprint(i)), a)
		if i == most-1 { // the first one writes again
			do(t, drivers[0], entry("again"), addition("again"))
		}
		drivers = append(drivers, d)
	}
	for _, partition := range []string{partitionName(testLog), collectionPartition(testCollection)} {
		key := drivers[0].keys.marks(partition)
		n := 0
		for i, d := range drivers {
			there := s.MustDo("HEXISTS", key, "d:"+d.marks.driver) == int64(1)
			if there {
				n++
			}
			if there != (i == 0 || i > 3) {
				t.Errorf("%s: driver %d is there: %v", partition, i, there)
			}
		}
		if n != most {
			t.Errorf("%s has %d marks", key, n)
		}
	}
}

func TestRepliesWithoutMarks(t *testing.T) {
	for _, reply := range []any{
		"GAP",
		[]any{},
		[]any{int64(1), int64(2)},
		[]any{int64(1), int64(1), "OK"},
		[]any{"1/1", "1", "OK"},
		[]any{"1/1", int64(1), nil},
		[]any{"1/x", int64(1), "OK"},
		[]any{"x/1", int64(1), "OK"},
		[]any{"", int64(1), "OK"},
	} {
		m := newMarks(keyspace{})
		c := &call{partition: "p00"}
		m.stamp(c, true)
		c.reply = reply
		if m.settle(c) || c.reply != nil || !Counts(opError(c.err)) {
			t.Errorf("%v is %v, %v", reply, c.reply, c.err)
		}
	}
}
