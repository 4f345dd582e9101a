package events

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// The header comes once all sessions are followed from a known place: what is
// published after it, into any of them, is in the stream.
func TestStreamSeveralBeginsWhenAllAreKnown(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	q, problem := parseSeveral("session=a&session=b&session=c&since[b]=v1.0.0-0", "")
	if problem != nil {
		t.Fatal(problem)
	}
	w := httptest.NewRecorder()
	m := newMerged(newStream(h, w, Peer{}, len(q.sessions)), q)
	known := func() bool {
		select {
		case <-m.ready:
			return true
		default:
			return false
		}
	}
	first, third := mustCursor(t, "v1.00000000000a.1-1"), mustCursor(t, "v1.00000000000c.3-3")
	for _, c := range []storage.Cursor{first, third} { // only the first time counts
		if m.parts[0].confirm(nil, confirmation{cursor: c}); known() {
			t.Fatal("it begins before the third is known")
		}
	}
	if m.parts[2].confirm(nil, confirmation{cursor: third}); !known() {
		t.Fatal("it does not begin")
	}
	m.begin(q.sessions)
	at := compositeOf(t, strings.TrimSpace(strings.TrimPrefix(w.Body.String(), "retry: 3000\nid: ")))
	if !sameCursor(at["a"], first) || !sameCursor(at["b"], *q.since[1]) || !sameCursor(at["c"], third) {
		t.Errorf("at %v", at)
	}
}

func TestStreamSeveralEnds(t *testing.T) {
	t.Run("storage fails", func(t *testing.T) {
		b := newFake()
		h := newTestHub(t, b)
		s := severalServer(t, h)
		b.set(func() { b.readErr = &storage.UnavailableError{Reason: "x"} })
		openStream(t, s, "/?session=a&session=b", nil).wantEnd()
		b.set(func() { b.readErr = nil })
		eventually(t, "the end", func() bool { _, n := h.Counts(); return n == 0 })
	})
	t.Run("the hub closes", func(t *testing.T) {
		h := newTestHub(t, newMemory(t))
		st := openStream(t, severalServer(t, h), "/?session=a&session=b", nil)
		st.wantAt()
		h.Close()
		st.wantEnd()
	})
	t.Run("one session has become another's meanwhile", func(t *testing.T) {
		h := newTestHub(t, newMemory(t))
		h.owners.changed("b", owner{"ann", true}, h.now())
		openStream(t, severalServer(t, h), "/?session=a&session=b&user=bob", nil).wantEnd()
	})
	t.Run("one session is another's now", func(t *testing.T) {
		h := newTestHub(t, newMemory(t))
		st := openStream(t, severalServer(t, h), "/?session=a&session=b&user=bob", nil)
		st.wantAt()
		h.ownerChanged("b", owner{"ann", true})
		st.wantEnd()
	})
}

func TestStreamSeveralSlowConsumer(t *testing.T) {
	h := newTestHub(t, newMemory(t), limits(Limits{MaxQueueBytes: 64 << 10}), func(_ *Config, i *intervals) { i.closing = 50 * time.Millisecond })
	st := openStream(t, severalServer(t, h), "/?session=a&session=b", nil)
	st.wantAt()
	data := []byte(`{"type":"a:b","x":"` + strings.Repeat("x", 256<<10) + `"}`)
	n := 0
	eventually(t, "the end of the slow one", func() bool {
		n++
		if _, err := h.Publish(t.Context(), Event{Session: []string{"a", "b"}[n%2], ID: newEventID(), Data: data}); err != nil {
			t.Fatal(err)
		}
		_, streams := h.Counts()
		return streams == 0
	})
}

// Whoever follows one session and whoever follows several share its frames.
func TestStreamSeveralSharesFrames(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	q, problem := parseSeveral("session=a&session=b", "")
	if problem != nil {
		t.Fatal(problem)
	}
	m := newMerged(newStream(h, httptest.NewRecorder(), Peer{}, len(q.sessions)), q)
	m.grant(Grant{All: true})
	one := newStream(h, httptest.NewRecorder(), Peer{}, 1)
	one.grant(Grant{All: true})
	single := &subscriber{sink: one, out: &one.out, enc: encodeStream, replays: make(chan struct{}, 1)}
	h.begin(single, h.register(t.Context(), "b", single))
	defer h.leave(single)
	for i, session := range q.sessions {
		defer h.leave(m.follow(t.Context(), session, &m.parts[i], q, make(chan struct{}, 1)))
	}
	<-m.ready
	publishIn(t, h, "b", "1")
	var ours, theirs []chunk
	eventually(t, "both have it", func() bool {
		ours, _ = m.out.takeChunks(ours)
		theirs, _ = one.out.takeChunks(theirs)
		return len(ours) == 1 && len(theirs) == 2 // the single one has its start too
	})
	shared, alone := ours[len(ours)-1], theirs[len(theirs)-1]
	if &shared.b[0] != &alone.b[0] || shared.part != 1 {
		t.Errorf("%q in part %d, and %q", shared.b, shared.part, alone.b)
	}
	m.ids = newComposite(q.sessions, make([]storage.Cursor, 2))
	buf := make([]byte, 0, maxJoin)
	if n := testing.AllocsPerRun(100, func() { m.appendBlock(buf, shared.part, shared.b) }); n != 0 {
		t.Errorf("%v allocations for a block", n)
	}
}
