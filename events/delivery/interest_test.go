package delivery

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

// sessions are those of programs and of the random mix; most is about the first.
var sessions = []string{session, "session 2/ü", "3"}

// nameOf is a publisher of a session; sessionOf is the session that a publisher
// publishes to.
func nameOf(number, session int) string { return fmt.Sprintf("p%d.%d", number, session) }

func sessionOf(publisher string) string {
	var number, session int
	if _, err := fmt.Sscanf(publisher, "p%d.%d", &number, &session); err != nil {
		return sessions[0]
	}
	return sessions[session]
}

// rare is how many events of a publisher have one among them of the rarest type that
// ever comes.
const rare = 40

// typeOf is the type of a publisher's nth event.
func typeOf(n int64) string {
	if n%rare == 0 {
		return "rare:one"
	}
	return [...]string{"a:b", "a:c", "d:e"}[n%3]
}

// interest is what a client asks for.
type interest struct {
	sessions []string
	types    string // as the parameter has them; "": all
}

// all is a session as it is.
func all(session string) interest { return interest{sessions: []string{session}} }

// filters are what clients ask for who want some types only. Of the last there is
// never an event.
var filters = []string{"a:*", "d:e,rare:one", "rare:*", "a:c,none:*", "none:*"}

// someInterest is in one session, or several, and in all of their events, or some.
func someInterest(r *rand.Rand) interest {
	i := all(session)
	if r.IntN(2) == 0 {
		i.sessions = slices.Clone(sessions)
		r.Shuffle(len(sessions), func(a, b int) { i.sessions[a], i.sessions[b] = i.sessions[b], i.sessions[a] })
		i.sessions = i.sessions[:1+r.IntN(len(sessions))]
	}
	if r.IntN(5) < 2 {
		i.types = filters[r.IntN(len(filters))]
	}
	return i
}

func (i interest) String() string { return fmt.Sprintf("%q, types %q", i.sessions, i.types) }

// takes reports whether a publisher's nth event is of a type that is asked for.
func (i interest) takes(n int64) bool {
	if i.types == "" {
		return true
	}
	kind := typeOf(n)
	namespace, _, _ := strings.Cut(kind, ":")
	asked := strings.Split(i.types, ",")
	return slices.Contains(asked, kind) || slices.Contains(asked, namespace+":*")
}

// next is the number of a publisher's first event behind n that is asked for; 0: there
// is none.
func (i interest) next(n int64) int64 {
	for m := n + 1; m <= n+rare; m++ {
		if i.takes(m) {
			return m
		}
	}
	return 0
}

// latest is the number of a publisher's last event up to n that is asked for; 0: there
// is none.
func (i interest) latest(n int64) int64 {
	for m := n; m > max(0, n-rare); m-- {
		if i.takes(m) {
			return m
		}
	}
	return 0
}

// of leaves of a session's history what is asked for.
func (i interest) of(entries []storage.LogEntry) []storage.LogEntry {
	if i.types == "" {
		return entries
	}
	return slices.DeleteFunc(slices.Clone(entries), func(e storage.LogEntry) bool {
		_, n := origin(e.ID)
		return !i.takes(n)
	})
}

func TestInterest(t *testing.T) {
	some := interest{types: "a:c,rare:*"} // 1, 4, 7 …, 37, 40, 43 …
	for n, want := range map[int64][2]int64{0: {0, 1}, 1: {1, 4}, 3: {1, 4}, 38: {37, 40}, 40: {40, 43}, 120: {120, 121}} {
		if got := [2]int64{some.latest(n), some.next(n)}; got != want {
			t.Errorf("%d: latest and next %v, want %v", n, got, want)
		}
	}
	if never := (interest{types: "none:*"}); never.latest(1000) != 0 || never.next(1000) != 0 {
		t.Error("there is none")
	}
	if everything := all(session); everything.latest(5) != 5 || everything.next(5) != 6 {
		t.Error("all of them")
	}
	if got := sessionOf(nameOf(1, 2)); got != sessions[2] || sessionOf("p0") != session {
		t.Errorf("sessionOf: %s", got)
	}
}
