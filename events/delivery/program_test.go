package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/redis"
)

// nap is how long a follower stays away.
const nap = 3 * time.Millisecond

// kind is what may happen in a program.
type kind struct {
	name   string
	steps  int
	faults []func(*program) // of which one is made now and then
	calm   bool             // none of them is a reason for anything but the history
	loses  bool             // one of them makes Redis lose what it has
}

var kinds = []kind{
	{name: "healthy", steps: 40, calm: true},
	{name: "messages lost", steps: 30, faults: []func(*program){(*program).deafen}, calm: true},
	{name: "server cut off", steps: 24, faults: []func(*program){(*program).cutOff}},
	{name: "Redis killed", steps: 24, faults: []func(*program){(*program).killRedis}, loses: true},
	{name: "everything", steps: 30, faults: []func(*program){(*program).cutOff, (*program).killRedis, (*program).cutBothInTurn}, loses: true},
}

// publishers are who posts at which server into which session, and how long each rests
// after an event at most, in ms.
var publishers = []struct{ node, session, pause int }{{0, 0, 4}, {0, 0, 4}, {1, 0, 4}, {0, 1, 8}, {1, 1, 8}, {1, 2, 8}}

// program is two servers on one Redis, publishers at both, and followers who come and
// go.
type program struct {
	t      testing.TB
	kind   kind
	rand   *rand.Rand
	ctx    context.Context
	cancel context.CancelFunc

	redis      *redistest.Server
	truth      *storage.Store // Redis, past the servers
	nodes      []*node
	publishers []*publisher
	publishing sync.WaitGroup
	quiet      context.CancelFunc // ends the publishing

	mu        sync.Mutex // guards followers against publishers
	followers []*follower
	born      int // followers so far

	problems []string
	strict   int // followers whose order was compared
}

// conduct runs a program and answers what was not as promised.
func conduct(t testing.TB, k kind, seed uint64) (problems []string) {
	p := &program{t: t, kind: k, rand: rand.New(rand.NewPCG(seed, 1)), redis: redistest.Start(t)}
	p.ctx, p.cancel = context.WithTimeout(context.Background(), 4*patience)
	defer p.cancel()
	p.start()
	defer p.end()
	for range k.steps {
		if p.step(); len(p.problems) > 0 {
			break
		}
	}
	return p.finish()
}

func (p *program) start() {
	driver, err := redis.New(redis.Options{URL: p.redis.URL(), Timeout: 5 * time.Second})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = driver.Close() })
	p.truth = &storage.Store{Driver: driver}
	ackAfter := 250 * time.Millisecond
	if p.kind.calm {
		ackAfter = patience // a machine that is busy is not in trouble
	}
	ctx, quiet := context.WithCancel(p.ctx)
	p.quiet = quiet
	for i := range 2 {
		n := onRedis(p.t, p.redis, ackAfter)
		alone := func() { p.trouble(i) }
		n.backend.alone.Store(&alone)
		p.nodes = append(p.nodes, n)
	}
	for i, of := range publishers {
		pub := &publisher{
			t: p.t, node: p.nodes[of.node], name: nameOf(i, of.session), pause: time.Duration(p.rand.IntN(of.pause)) * time.Millisecond,
			pending: func() { p.trouble(of.node) },
		}
		p.publishers = append(p.publishers, pub)
		p.publishing.Go(func() { pub.run(ctx, 1_000_000) })
	}
	for i := range 4 {
		p.join(i % 2)
	}
	p.await(2) // a server that has never reached Redis knows no session's owner
}

// step does one thing and lets a random number of events be published.
func (p *program) step() {
	switch n := p.rand.IntN(10); {
	case n < 3 && len(p.followers) < 12:
		p.join(p.rand.IntN(2))
	case n < 4 && len(p.followers) > 4:
		p.retire(p.rand.IntN(len(p.followers)))
	case n < 9 || len(p.kind.faults) == 0:
		p.followers[p.rand.IntN(len(p.followers))].disconnect()
	default:
		p.kind.faults[p.rand.IntN(len(p.kind.faults))](p)
	}
	p.more(p.rand.IntN(60))
}

// more waits until n further events are acknowledged.
func (p *program) more(n int) {
	want := p.acknowledged() + int64(n)
	if !until(func() bool { return p.acknowledged() >= want }) {
		p.problem("publishing does not go on")
	}
}

func (p *program) acknowledged() (n int64) {
	for _, pub := range p.publishers {
		n += pub.acked.Load()
	}
	return n
}

func (p *program) problem(format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

// join has one follower more, of whatever it likes.
func (p *program) join(node int) {
	f := p.newFollower(node, someInterest(p.rand))
	f.roams = p.rand.IntN(3) == 0
	p.follow(f, p.rand.IntN(2) == 0)
}

// newcomer has one follower more, by one transport and from the beginning.
func (p *program) newcomer(node int, how transport, what interest) {
	f := p.newFollower(node, what)
	f.only = &how
	p.follow(f, false)
}

func (p *program) newFollower(node int, what interest) *follower {
	p.born++
	return &follower{
		interest: what, t: p.t, nodes: p.nodes, node: node, who: fmt.Sprintf("198.51.%d.%d", 100+p.born/250, 1+p.born%250),
		name: fmt.Sprintf("follower %d", p.born), rand: rand.New(rand.NewPCG(p.rand.Uint64(), 2)),
		mayLose: p.kind.loses,
	}
}

func (p *program) follow(f *follower, fromNow bool) {
	p.mu.Lock()
	p.followers = append(p.followers, f)
	p.mu.Unlock()
	f.start(p.ctx, fromNow)
}

// retire ends a follower, who must have seen what he should up to then.
func (p *program) retire(i int) {
	f := p.followers[i]
	f.end()
	p.mu.Lock()
	p.followers = slices.Delete(p.followers, i, i+1)
	p.mu.Unlock()
	if p.redisAnswers() {
		p.check(f, histories(p.t, p.truth), false)
	}
}

func (p *program) redisAnswers() bool { return p.truth.Driver.Health(p.ctx) == nil }

func (p *program) check(f *follower, all map[string][]storage.LogEntry, complete bool) {
	problems, strict := f.check(all, complete)
	if strict {
		p.strict++
	}
	if len(problems) > 0 {
		p.problem("%s\n%s", problems[0], f.describe())
	}
}

// trouble tells all who are at a server, or may come there.
func (p *program) trouble(node int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.followers {
		f.trouble(node)
	}
}

// recover waits until both servers are well, and Redis has what was acknowledged.
func (p *program) recover() {
	acked := p.acks()
	if !until(func() bool { return p.nodes[0].normal() && p.nodes[1].normal() }) {
		p.problem("not normal again: %s", p.statuses())
	}
	// What Redis has lost is noticed at the next heartbeat.
	if !until(func() bool { return missing(histories(p.t, p.truth), acked) == "" }) {
		p.problem("acknowledged and not in the history: %s; %s", missing(histories(p.t, p.truth), acked), p.statuses())
	}
}

// statuses are those of both servers, to explain a problem.
func (p *program) statuses() string {
	return fmt.Sprintf("%+v, %+v", p.nodes[0].backend.Status(), p.nodes[1].backend.Status())
}

// settle waits until everybody has been shown something newer of each publisher, whatever
// types he asked for: then the trouble lies behind all of them.
func (p *program) settle() {
	if !until(func() bool { return !slices.ContainsFunc(p.followers, func(f *follower) bool { return !f.begun() }) }) {
		p.problem("somebody cannot subscribe")
	}
	p.awaitFollowers(p.await(1 + rare)) // one may be on its way already
}

// await waits until each publisher has published n events more, and answers which are
// the last of them.
func (p *program) await(n int64) map[string]int64 {
	numbers := p.acks()
	for who := range numbers {
		numbers[who] += n
	}
	if !until(func() bool { return p.reached(numbers) }) {
		p.problem("publishing does not go on")
	}
	return numbers
}

func (p *program) reached(numbers map[string]int64) bool {
	for who, n := range p.acks() {
		if n < numbers[who] {
			return false
		}
	}
	return true
}

// awaitFollowers waits until everybody has been shown the events up to these numbers.
func (p *program) awaitFollowers(numbers map[string]int64) {
	if until(func() bool {
		return !slices.ContainsFunc(p.followers, func(f *follower) bool { return f.behind(numbers) > 0 })
	}) {
		return
	}
	for _, f := range p.followers {
		if n := f.behind(numbers); n > 0 {
			p.problem("%s has not been shown %d events, up to %v", f.describe(), n, numbers)
		}
	}
}

// acks are the numbers up to which each publisher's events are acknowledged.
func (p *program) acks() map[string]int64 {
	acked := make(map[string]int64)
	for _, pub := range p.publishers {
		acked[pub.name] = pub.acked.Load()
	}
	return acked
}

// missing names an event that the history should have.
func missing(all map[string][]storage.LogEntry, acked map[string]int64) string {
	there := make(map[string]bool)
	for _, entries := range all {
		for _, e := range entries {
			there[e.ID] = true
		}
	}
	for who, last := range acked {
		for n := int64(1); n <= last; n++ {
			if id := fmt.Sprintf("%s-%d", who, n); !there[id] {
				return id
			}
		}
	}
	return ""
}

// finish ends the publishing, waits until everybody has everything, and checks it.
func (p *program) finish() []string {
	if len(p.problems) == 0 {
		p.settle() // so that everybody has something of each publisher to wait for
	}
	p.quiet()
	p.publishing.Wait()
	p.recover()
	last := len(p.followers)
	for how := range transports { // who come now see nothing but the history
		p.newcomer(int(how)%2, how, all(session))
		p.newcomer(int(how)%2, how, interest{sessions, filters[p.rand.IntN(2)]})
	}
	p.awaitFollowers(p.acks())
	all := histories(p.t, p.truth)
	p.checkHistory(all)
	for i, f := range p.followers {
		f.end()
		before := p.strict
		if p.check(f, all, true); i >= last && p.strict == before && !f.wasWarned() && len(p.problems) == 0 {
			p.problem("who came when all was well was told otherwise: %s", f.describe())
		}
	}
	p.t.Logf("%d events, %d followers, the order of %d compared", p.acknowledged(), p.born, p.strict)
	return p.problems
}

// checkHistory wants each event once, in its session and in its publisher's order.
func (p *program) checkHistory(all map[string][]storage.LogEntry) {
	if id := missing(all, p.acks()); id != "" {
		p.problem("%s was acknowledged and is lost", id)
	}
	for session, entries := range all {
		last := make(map[string]int64)
		for _, e := range entries {
			who, n := origin(e.ID)
			if sessionOf(who) != session || n != last[who]+1 {
				p.problem("the history of %q has %s after %s-%d", session, e.ID, who, last[who])
				return
			}
			last[who] = n
		}
	}
}

func (p *program) end() {
	p.quiet()
	p.cancel()
	p.publishing.Wait()
	for _, f := range p.followers {
		f.end()
	}
}

// prove runs a program and reports what went wrong.
func prove(t *testing.T, k kind, seed uint64) {
	t.Helper()
	for i, problem := range conduct(t, k, seed) {
		if i == 3 {
			break
		}
		t.Errorf("seed %d: %s", seed, problem)
	}
}

// Whatever happens, followers are shown what is promised: who was not there in
// trouble, the history from his cursor on; who was, the same events, each once and in
// its publisher's order. And nothing that was acknowledged is missing.
func TestPrograms(t *testing.T) {
	t.Parallel()
	for seed, k := range append(kinds, kinds[len(kinds)-1]) { // everything, twice
		t.Run(fmt.Sprintf("%s/seed=%d", k.name, seed), func(t *testing.T) {
			t.Parallel()
			prove(t, k, uint64(seed))
		})
	}
}
