package lifeline_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
)

// publisher posts numbered events of one session until stopped, and knows which
// storage has acknowledged each, by its epoch.
type publisher struct {
	mu      sync.Mutex
	ids     []string
	byEpoch map[string][]string
	stop    chan struct{}
	once    sync.Once
	done    sync.WaitGroup
}

func (s *server) publish(session string) *publisher {
	p := &publisher{byEpoch: make(map[string][]string), stop: make(chan struct{})}
	s.t.Cleanup(p.end)
	p.done.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-p.stop:
				return
			default:
			}
			id := fmt.Sprintf("%s-%05d", session, i)
			var a answer
			for tries := 0; ; tries++ { // an idle connection may be closed by the reload
				var err error
				if a, err = s.try(http.MethodPost, "/api/events", stepEvent(session, id, i), asJSON); err == nil {
					break
				}
				if tries > 5 {
					s.t.Errorf("post %s: %v", id, err)
					return
				}
			}
			if a.status/100 != 2 {
				s.t.Errorf("post %s: %v", id, a)
				return
			}
			cursor, _ := a.body["cursor"].(string)
			p.mu.Lock()
			p.ids = append(p.ids, id)
			epoch := strings.Split(cursor+"..", ".")[1]
			p.byEpoch[epoch] = append(p.byEpoch[epoch], id)
			p.mu.Unlock()
		}
	})
	return p
}

func (p *publisher) posted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.ids)
}

// moved waits until the publisher has posted some more.
func (p *publisher) moved(t *testing.T) {
	t.Helper()
	until := p.posted() + 20
	waitUntil(t, "something is posted", func() bool { return p.posted() >= until })
}

// end stops the publisher.
func (p *publisher) end() {
	p.once.Do(func() { close(p.stop) })
	p.done.Wait()
}

// TestStorageIsChangedByReload goes from disk to Redis and back, and to memory, under
// 100 sockets and a publisher. No socket is dropped and no event is missed, and each is
// in the storage that acknowledged it.
func TestStorageIsChangedByReload(t *testing.T) {
	r := redistest.Start(t)
	config := func(storage string) string {
		return site("lifeline {\n storage "+storage+"\n history 100000\n}", "")
	}
	s := start(t, config("disk"))
	sockets := make([]*socket, 100)
	for i := range sockets {
		sockets[i] = s.dial(nil)
		sockets[i].subscribe(t, "s", "")
	}
	stream := s.follow("s", nil)
	p := s.publish("s")
	for _, storage := range []string{"redis " + r.URL(), "disk", "memory", "redis " + r.URL(), "disk"} {
		p.moved(t)
		if out, code := s.reload(config(storage)); code != 0 {
			t.Fatalf("to %s: %s", storage, out)
		}
		h := s.get("/api/health/circuit-breakers")
		if shown, _ := h.body["storage"].(map[string]any); shown["driver"] != strings.Fields(storage)[0] {
			t.Errorf("health after the change to %s: %v", storage, h)
		}
	}
	p.moved(t)
	p.end()
	for i, c := range sockets {
		if got := c.waitFor(t, len(p.ids)); !slices.Equal(got, p.ids) {
			t.Fatalf("socket %d got %d events of %d", i, len(got), len(p.ids))
		}
	}
	if got := stream.waitFor(t, len(p.ids)); !slices.Equal(got, p.ids) {
		t.Errorf("the stream got %d events of %d", len(got), len(p.ids))
	}
	epochs := 0
	for _, f := range sockets[0].told() {
		if f["type"] == "epoch" {
			epochs++
		}
	}
	if epochs != 5 {
		t.Errorf("told of %d epochs", epochs)
	}
	onDisk, inRedis := s.history("s"), inRedis(t, r, "s")
	stored := 0
	for epoch, ids := range p.byEpoch {
		switch {
		case subset(ids, onDisk), subset(ids, inRedis):
			stored += len(ids)
		default:
			t.Logf("epoch %s: %d events are elsewhere: those of memory", epoch, len(ids))
		}
	}
	if stored != len(onDisk)+len(inRedis) || stored == 0 {
		t.Errorf("%d events were acknowledged by disk and Redis, which have %d and %d", stored, len(onDisk), len(inRedis))
	}
}

// subset reports whether all of ids are among all.
func subset(ids, all []string) bool {
	return !slices.ContainsFunc(ids, func(id string) bool { return !slices.Contains(all, id) })
}

// told takes the frames other than events that have come.
func (c *socket) told() (frames []map[string]any) {
	for {
		select {
		case f := <-c.frames:
			frames = append(frames, f)
		default:
			return frames
		}
	}
}

// TestSettingsOfStorageByReload: size, breaker and journal change in place, with what is
// there, and a breaker's hold.
func TestSettingsOfStorageByReload(t *testing.T) {
	r := redistest.Start(t)
	for name, changes := range map[string][]string{
		"disk": {"storage disk", "storage disk {\nmax_size 1GiB\n}", "storage disk\nbreaker {\nprobes 2\n}", "storage disk"},
		"redis": {
			"storage redis " + r.URL(), "storage redis " + r.URL() + "\njournal {\nretain 2h\n}",
			"storage redis " + r.URL() + "\nbreaker {\nfailure_threshold 3\n}", "storage redis " + r.URL() + " {\npool 3\n}",
			"storage redis " + r.URL() + "\njournal DIR/elsewhere",
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := func(options string) string { return site("lifeline {\n "+options+"\n history 100000\n}", "") }
			s := start(t, config(changes[0]))
			c := s.dial(nil)
			c.subscribe(t, name, "")
			hold := "/lifeline/breakers/default/" + name + "/hold"
			if a := s.anew().do(http.MethodPost, s.admin+hold, `{"state":"disabled","for":"1h"}`); a.status != http.StatusOK {
				t.Fatal(a)
			}
			p := s.publish(name)
			for _, options := range changes[1:] {
				p.moved(t)
				if out, code := s.reload(config(options)); code != 0 {
					t.Fatalf("%s: %s", options, out)
				}
			}
			p.moved(t)
			p.end()
			if got := c.waitFor(t, len(p.ids)); !slices.Equal(got, p.ids) {
				t.Errorf("the socket got %d events of %d", len(got), len(p.ids))
			}
			for _, f := range c.told() {
				if f["type"] == "epoch" {
					t.Errorf("the log is the same, and yet: %v", f)
				}
			}
			if got := s.history(name); !slices.Equal(got, p.ids) {
				t.Errorf("stored are %d of %d", len(got), len(p.ids))
			}
			var stats []struct{ Held *struct{ State string } }
			a := s.anew().get(s.admin + "/lifeline/breakers/default")
			if err := json.Unmarshal([]byte(a.raw), &stats); err != nil || len(stats) != 1 || (stats[0].Held == nil) == (name == "disk") {
				t.Errorf("the breaker: %v", a)
			}
		})
	}
}

// TestStorageIsChangedDuringAnOutage: what waits for a Redis that is away is stored there
// when it is back, though the hub is on disk meanwhile; another Redis with the same
// journal is refused for as long as something waits, and one that cannot be opened
// always.
func TestStorageIsChangedDuringAnOutage(t *testing.T) {
	r, other := redistest.Start(t), redistest.Start(t)
	config := func(storage string) string { return site("lifeline {\n storage "+storage+"\n}", "") }
	first, second := config("redis "+r.URL()), config("redis "+other.URL())
	s := start(t, first)
	c := s.dial(nil)
	c.subscribe(t, "s", "")
	s.post(stepEvent("s", "before", 0))
	r.Kill()
	var pending []string
	for i := range 5 {
		id := fmt.Sprint("pending", i)
		if a := s.post(stepEvent("s", id, i)); a.status != http.StatusCreated || a.body["pending"] != true {
			t.Fatalf("in the outage: %v", a)
		}
		pending = append(pending, id)
	}
	if out, code := s.reload(second); code == 0 || !strings.Contains(out, "given up, 5;") || !strings.Contains(out, "hub default: change its storage") {
		t.Errorf("another Redis with the same journal: exit %d: %s", code, out)
	}
	if out, code := s.reload(config("disk /dev/null/none")); code == 0 || !strings.Contains(out, "open disk storage") {
		t.Errorf("a directory that cannot be: exit %d: %s", code, out)
	}
	if a := s.anew().post(stepEvent("s", "still", 9)); a.status != http.StatusCreated || a.body["pending"] != true {
		t.Errorf("after the refused reloads: %v", a)
	}
	pending = append(pending, "still")
	if out, code := s.reload(config("disk")); code != 0 {
		t.Fatal(out)
	}
	s.logs("the former storage still has to store events")
	if n := s.value(`caddy_lifeline_pending{hub="default"}`); n != 6 {
		t.Errorf("%v are pending by the metrics", n)
	}
	if out, code := s.reload(second); code == 0 || !strings.Contains(out, "a former storage of the hub still uses the same directory") {
		t.Errorf("another Redis with the journal of the former one: exit %d: %s", code, out)
	}
	if a := s.anew().post(stepEvent("s", "ondisk", 1)); a.status != http.StatusCreated || a.body["pending"] != nil {
		t.Errorf("on disk: %v", a)
	}
	want := append(append([]string{"before"}, pending...), "ondisk")
	if got := c.waitFor(t, len(want)); !slices.Equal(got, want) {
		t.Errorf("the socket got %v", got)
	}
	r.Restart()
	s.waitUntil("the former storage is closed", func() bool {
		return strings.Contains(s.log.String(), "the former storage has all that it acknowledged, and is closed")
	})
	if got := inRedis(t, r, "s"); !slices.Equal(got[max(0, len(got)-len(pending)):], pending) {
		t.Errorf("Redis has %v", got)
	}
	if got := s.history("s"); !slices.Equal(got, []string{"ondisk"}) {
		t.Errorf("the disk has %v", got)
	}
	if out, code := s.reload(second); code != 0 {
		t.Errorf("then another Redis with that journal: %s", out)
	}
}
