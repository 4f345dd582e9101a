package events

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

// wantGap wants the gap of a session, and in the same block the cursor behind it.
func (st *streamClient) wantGap(at map[string]storage.Cursor, session string, behind storage.Cursor) {
	st.t.Helper()
	id, rest, _ := strings.Cut(st.next(), "\n")
	at[session] = behind
	cursors, err := parseComposite(strings.TrimPrefix(id, "id: "))
	if err != nil || fmt.Sprint(cursors) != fmt.Sprint(at) {
		st.t.Errorf("%s: %v, %v, want %v", id, cursors, err, at)
	}
	if want := fmt.Sprintf("event: lifeline.gap\ndata: {\"sessionId\":%q,\"cursor\":%q}\n", session, behind); rest != want {
		st.t.Errorf("got %q, want %q", rest, want)
	}
}

// Who resumes in another epoch is told so before he has a cursor of that one, or, the
// connection broken between the two, he would get its events again without a word.
func TestStreamTellsGapWithItsCursor(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	s := severalServer(t, h)
	old := publishIn(t, h, "a", "1")
	publishIn(t, h, "b", "2")
	b.refill("a")
	again := publishIn(t, h, "a", "3")
	start := storage.Cursor{Epoch: again.Epoch}
	st := openStream(t, s, "/?session=a&session=b&since[a]="+old.String(), nil)
	at := st.wantAt()
	if at["a"].String() != old.String() {
		t.Errorf("it begins at %v", at)
	}
	st.wantGap(at, "a", start)
	one := openStream(t, hubServer(t, h), "/a", http.Header{"Last-Event-Id": {old.String()}})
	one.want("retry: 3000\n")
	one.want(fmt.Sprintf("id: %s\nevent: lifeline.gap\ndata: {\"sessionId\":\"a\",\"cursor\":%q}\n", start, start))
}
