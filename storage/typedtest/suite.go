// Package typedtest is the suite of the typed operations, [storage.Store]: it runs
// them over a driver and knows each of them by name.
//
// Whatever is written is read back and compared by value, so that every operation's
// test fails when the operation does nothing and answers its zero value.
package typedtest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

// Options says what a backend can do beyond the whole.
type Options struct {
	// Peer opens another driver, as of another node, on the backend of one that open
	// has answered. Nil for a backend that has only one node.
	Peer func(t *testing.T, d storage.Driver) storage.Driver
}

// Run runs the suite. open is called for each test and must answer a driver on a
// backend that is empty; the suite closes it.
func Run(t *testing.T, open func(t *testing.T) storage.Driver) {
	t.Helper()
	RunWith(t, open, Options{})
}

// RunWith is Run for a backend with other abilities.
func RunWith(t *testing.T, open func(t *testing.T) storage.Driver, o Options) {
	t.Helper()
	for _, tests := range [][]test{operations, rules} {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				e := newEnv(t, open(t))
				if o.Peer != nil {
					e.peer = func() *storage.Store {
						d := o.Peer(t, e.store.Driver)
						t.Cleanup(func() { closed(t, d) })
						return &storage.Store{Driver: d}
					}
				}
				t.Cleanup(func() { closed(t, e.store.Driver) })
				tt.run(e)
			})
		}
	}
}

func closed(t *testing.T, d storage.Driver) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

type test struct {
	name string
	run  func(e *env)
}

// operations are all of them, each with its test.
var operations = []test{
	{"sessions/get", getSession},
	{"sessions/set", setSession},
	{"sessions/delete", deleteSession},
	{"sessions/by user", sessionsByUser},
	{"sessions/users with active sessions", activeUsers},
	{"events/add", addEvent},
	{"events/add many", addEvents},
	{"events/get", getEvents},
	{"events/since", eventsSince},
	{"events/growth", growth},
	{"chains/add", addChain},
	{"chains/list", listChains},
	{"chains/get", getChain},
	{"chains/apply event", applyEvent},
	{"commands/queue", queueCommand},
	{"commands/list", listCommands},
	{"commands/clear", clearCommands},
	{"commands/acknowledge", acknowledgeCommand},
	{"input/queue", pushInput},
	{"input/take", takeInput},
	{"input/clear", clearInput},
	{"windows/follow", followSession},
	{"windows/unfollow", unfollowSession},
	{"windows/followed", followedSessions},
	{"windows/set config", setWindowConfig},
	{"windows/get config", getWindowConfig},
	{"frequencies/track", trackFrequency},
	{"frequencies/get", getFrequency},
	{"frequencies/top", topFrequencies},
	{"bookmarks/add", addBookmark},
	{"bookmarks/list", listBookmarks},
	{"bookmarks/remove", removeBookmark},
	{"patterns/add", addPattern},
	{"patterns/list", listPatterns},
	{"harmony/add", addHarmonyCheck},
	{"harmony/list", listHarmony},
	{"harmony/metrics", harmonyMetrics},
	{"dossiers/get", getDossier},
	{"dossiers/set", setDossier},
	{"dossiers/list", listDossiers},
	{"dossiers/delete", deleteDossier},
	{"dossiers/append history", appendDossierHistory},
	{"suggestions/get", getSuggestion},
	{"suggestions/list", listSuggestions},
	{"suggestions/add", addSuggestion},
	{"suggestions/delete", deleteSuggestion},
	{"suggestions/increment", incrementSuggestion},
	{"pubsub/subscribe", subscribe},
	{"pubsub/publish", publish},
	{"pubsub/disconnect", disconnect},
}

// rules are what holds beyond a single operation.
var rules = []test{
	{"limit/sessions, final ones first", limitSessions},
	{"limit/sessions, running ones", limitRunningSessions},
	{"limit/chains", limitChains},
	{"limit/input", limitInput},
	{"limit/dossiers", limitDossiers},
	{"limit/dossier history", limitDossierHistory},
	{"limit/suggestions", limitSuggestions},
	{"limit/harmony", limitHarmony},
	{"limit/pages", limitPages},
	{"limit/every write is bounded", everyWriteIsBounded},
	{"conflict/last writer wins", lastWriterWins},
	{"conflict/stamps", stamps},
	{"conflict/concurrent writers", concurrentWriters},
	{"conflict/concurrent takers", concurrentTakers},
	{"conflict/concurrent step events", concurrentSteps},
	{"unknown members survive", unknownMembers},
	{"errors/name the field", errorsNameTheField},
	{"errors/not found", errorsNotFound},
	{"chain events/a whole run", chainRun},
	{"chain events/without chain id", chainWithoutID},
	{"chain events/again and late", chainEventsAgain},
}

// env is what one test works with.
type env struct {
	testing.TB
	ctx context.Context //nolint:containedctx // the test's
	// s is what is tested, store the same as what it is.
	s     storage.Storage
	store *storage.Store
	peer  func() *storage.Store // nil: there is only one node
}

func newEnv(t testing.TB, d storage.Driver) *env {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	store := &storage.Store{Driver: d}
	return &env{TB: t, ctx: ctx, s: store, store: store}
}

// answer is what an operation answered.
type answer[T any] struct {
	value T
	err   error
}

func got[T any](value T, err error) answer[T] { return answer[T]{value, err} }

// must answers the value of what succeeded.
func (a answer[T]) must(e *env) T {
	e.Helper()
	if a.err != nil {
		e.Fatalf("answered %v", a.err)
	}
	return a.value
}

// is wants success, with this value.
func (a answer[T]) is(e *env, want T) {
	e.Helper()
	same(e, a.must(e), want)
}

// fails is fine only if the error wraps want.
func (a answer[T]) fails(e *env, want error) {
	e.Helper()
	wantError(e, a.err, want)
}

// wrong is fine only if the error is about this field.
func (a answer[T]) wrong(e *env, field string) {
	e.Helper()
	wantField(e, a.err, field)
}

func ok(e *env, err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("answered %v", err)
	}
}

func wantError(e *env, err, want error) {
	e.Helper()
	if !errors.Is(err, want) {
		e.Fatalf("error is %v, want %v", err, want)
	}
}

func wantField(e *env, err error, field string) {
	e.Helper()
	wrong, is := errors.AsType[*storage.FieldError](err)
	if !is || wrong.Field != field {
		e.Fatalf("error is %v, want one about %q", err, field)
	}
}

// same compares what two values are as JSON, which is how clients see them.
func same[T any](e *env, got, want T) {
	e.Helper()
	if g, w := text(e, got), text(e, want); g != w {
		e.Fatalf("is   %s\nwant %s", g, w)
	}
}

func text(e *env, v any) string {
	e.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		e.Fatalf("encode: %v", err)
	}
	return string(b)
}

// decode reads a record from JSON, as the hub reads what clients send.
func decode[T any](e *env, s string) T {
	e.Helper()
	record, err := storage.Decode[T]([]byte(s))
	if err != nil {
		e.Fatalf("decode %s: %v", s, err)
	}
	return record
}

// recent fails unless a time is that of the test.
func recent(e *env, t time.Time) {
	e.Helper()
	if ago := time.Since(t); ago < -time.Minute || ago > 5*time.Minute {
		e.Fatalf("%s is not now", t)
	}
}

// day is a time in the past, whole days apart.
func day(n int) time.Time { return time.Date(2026, 3, 1+n, 12, 30, 0, 123_000, time.UTC) }
