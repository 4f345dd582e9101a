package storage

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"
)

// fake is a driver that notes what it was asked and answers what it was told.
type fake struct {
	Driver   // the operations that no test asks for
	ops      []Op
	results  []Result
	log      string
	page     LogPage
	messages []Message
	channel  string
	err      error
}

func (f *fake) Apply(_ context.Context, ops []Op) ([]Result, error) {
	f.ops = ops
	return f.results, f.err
}

func (f *fake) ReadLog(_ context.Context, log string, q LogQuery) (LogPage, error) {
	f.log = log
	page := f.page
	if n := q.limit(); len(page.Entries) > n {
		page.Entries, page.Cursor, page.HasMore = page.Entries[:n], page.Entries[n-1].Cursor, true
	}
	return page, f.err
}

func (f *fake) Subscribe(_ context.Context, channel string, fn func(Message)) error {
	f.channel = channel
	for _, m := range f.messages {
		fn(m)
	}
	return f.err
}
func (f *fake) Publish(context.Context, string, []byte) error { return f.err }
func (f *fake) Health(context.Context) error                  { return f.err }
func (f *fake) Close() error                                  { return f.err }

func TestStoreAddEvent(t *testing.T) {
	f := &fake{results: []Result{{Duplicate: true}}}
	s := &Store{Driver: f, History: History{MaxLen: 5, MaxAge: time.Minute}}
	r, err := s.AddEvent(t.Context(), "s1", "id", []byte("data"))
	if err != nil || !r.Duplicate {
		t.Fatalf("%+v, %v", r, err)
	}
	want := []Op{&Append{Log: "e:s1", ID: "id", Data: []byte("data"), MaxLen: 5, MaxAge: time.Minute}}
	if !reflect.DeepEqual(f.ops, want) {
		t.Fatalf("asked for %+v", f.ops[0])
	}
	unavailable := &UnavailableError{Reason: "the disk is full", RetryAfter: time.Second, Err: errors.New("cause")}
	for _, f := range []*fake{{err: unavailable}, {results: []Result{{Err: unavailable}}}} {
		_, err := (&Store{Driver: f}).AddEvent(t.Context(), "s1", "id", nil)
		var u *UnavailableError
		if !errors.As(err, &u) || u.RetryAfter != time.Second || !errors.Is(err, unavailable.Err) {
			t.Fatalf("error is %v", err)
		}
	}
}

func TestStoreReadEvents(t *testing.T) {
	f := &fake{page: LogPage{Gap: true}}
	page, err := (&Store{Driver: f}).ReadEvents(t.Context(), "s1", LogQuery{})
	if err != nil || !page.Gap || f.log != "e:s1" {
		t.Fatalf("%+v, %v, log %q", page, err, f.log)
	}
	f.err = ErrClosed
	if _, err := (&Store{Driver: f}).ReadEvents(t.Context(), "s1", LogQuery{}); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// TestStoreReadEventsCutShort: a page that does not lead out of the unit of a time
// is read again, as far as it must reach and no further.
func TestStoreReadEventsCutShort(t *testing.T) {
	const second = 1_000_000
	for name, tt := range map[string]struct {
		since   int64
		step    int64 // µs between the entries
		limit   int
		pending bool // they have no position, so cursors stay where they are
		want    int
	}{
		"a millisecond":            {since: second + 1000, step: 1, limit: 10, want: 1000},
		"a millisecond, half full": {since: second + 1000, step: 2, limit: 10, want: 500},
		"just out of it":           {since: second + 1000, step: 100, limit: 10, want: 10},
		"one is missing":           {since: second + 1000, step: 100, limit: 9, want: 10},
		"by default":               {since: second + 1000, step: 2, want: 500},
		"at the maximum":           {since: second, step: 1, limit: MaxPage, want: MaxPage},
		"a second":                 {since: second, step: 2000, limit: 10, want: 500},
		"a second of too many":     {since: second, step: 900, limit: 10, want: MaxPage},
		"no unit":                  {since: second + 1, step: 1, limit: 10, want: 10},
		"pending":                  {since: second + 1000, step: 1, limit: 10, pending: true, want: MaxPage},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			for i := range int64(2000) {
				e := LogEntry{Pos: Position{tt.since + (i+1)*tt.step, uint64(i + 1)}} //nolint:gosec // small
				e.Cursor = Cursor{Epoch: 7, Pos: e.Pos}
				if tt.pending {
					e.Pos, e.Cursor = Position{}, MicrosCursor(tt.since)
				}
				f.page.Entries = append(f.page.Entries, e)
			}
			since := MicrosCursor(tt.since)
			page, err := (&Store{Driver: f}).ReadEvents(t.Context(), "s", LogQuery{After: &since, Limit: tt.limit})
			if err != nil {
				t.Fatal(err)
			}
			last := f.page.Entries[tt.want-1].Cursor
			if len(page.Entries) != tt.want || !page.HasMore || page.Cursor.String() != last.String() {
				t.Fatalf("%d entries, more %v, cursor %s; want %d, true, %s",
					len(page.Entries), page.HasMore, page.Cursor, tt.want, last)
			}
		})
	}
}

func TestStoreGrowth(t *testing.T) {
	f := &fake{err: context.Canceled, messages: []Message{
		{Data: Notice{Producer: 5, Log: "e:s1"}.Encode()},
		{Data: []byte("garbage")},
		{Data: Notice{Log: "d:other"}.Encode()},
		{Lost: true},
		{Data: Notice{Log: "e:with space"}.Encode()},
	}}
	var got []string
	err := (&Store{Driver: f}).Growth(t.Context(), func(session string) { got = append(got, session) })
	if !errors.Is(err, context.Canceled) || f.channel != NoticeChannel {
		t.Fatalf("%v, channel %q", err, f.channel)
	}
	if want := []string{"s1", "", "with space"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("sessions are %q", got)
	}
}

func TestNotice(t *testing.T) {
	for _, n := range []Notice{{0, "e:a"}, {1<<48 - 1, "e:日本 with spaces/"}, {7, " "}} {
		got, err := ParseNotice(n.Encode())
		if err != nil || got != n {
			t.Errorf("%+v came back as %+v, %v", n, got, err)
		}
	}
	for _, s := range []string{"", "x", "0", "0 ", "zz e:a", "000000000000 e:a", " e:a"} {
		if n, err := ParseNotice([]byte(s)); err == nil {
			t.Errorf("%q was read as %+v", s, n)
		}
	}
}

func TestUnavailableError(t *testing.T) {
	for want, err := range map[string]error{
		"storage unavailable: why":        &UnavailableError{Reason: "why"},
		"storage unavailable: why: cause": &UnavailableError{Reason: "why", Err: errors.New("cause")},
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
}
