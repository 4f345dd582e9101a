package redis

import (
	"errors"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/actionflows/lifeline/storage"
)

var oneAppend = &batch{about: aboutLog, ops: []storage.Op{&storage.Append{}}}

func TestAnswersThatCannotBeRead(t *testing.T) {
	const epoch = "0123456789ab"
	for _, reply := range []any{
		nil, int64(1), "ELSE",
		[]any{},
		[]any{epoch, ""},
		[]any{epoch, "", int64(1)},
		[]any{"none", "", "a0 1-1"},
		[]any{epoch, "", ""},
		[]any{epoch, "", "z0 1-1"},
		[]any{epoch, "", "a2 1-1"},
		[]any{epoch, "", "a01-1"},
		[]any{epoch, "", "a0 11"},
		[]any{epoch, "", "a0 -1"},
		[]any{epoch, "", "a0 1-x"},
		[]any{epoch, "", "a0 99999999999999999999-1"},
		[]any{epoch, "", "a0 1-1", "a0 2-2"},
	} {
		if a := parseAnswer(&call{reply: reply}, oneAppend); !Counts(a.err) {
			t.Errorf("%v was read as %+v", reply, a)
		}
	}
	whole := &call{reply: []any{epoch, "", "a1 7-2"}, err: errors.New("broke later in the pipeline")}
	if a := parseAnswer(whole, oneAppend); a.err != nil || a.outcomes[0].pos != (storage.Position{Micros: 7, Seq: 2}) {
		t.Errorf("a whole reply was dropped: %+v", a)
	}
}

func FuzzParseOutcome(f *testing.F) {
	for _, s := range []string{"o1 0-0", "a0 1700000000000000-1", "d1 0-0", "n0 0-0", "", "a0", "a0 1-", "d1 -"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := parseOutcome(s)
		if err != nil {
			return
		}
		if o.pos.Micros < 0 || !strings.Contains("adnfgox", string(o.kind)) {
			t.Errorf("%q was read as %+v", s, o)
		}
	})
}

// A reply as go-redis would answer it.
type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

var _ goredis.Error = reply("")

func TestRepliesBySort(t *testing.T) {
	for _, tt := range []struct {
		reply  string
		reason string // "": the log's own fault
	}{
		{"LOADING Redis is loading the dataset in memory", replies["LOADING"]},
		{"BUSY Redis is busy running a script.", replies["BUSY"]},
		{"MISCONF Redis is configured to save RDB snapshots", replies["MISCONF"]},
		{"ERR max number of clients reached", "Redis has too many clients"},
		{"OOM command not allowed script: f00, on @user_script:1.", replies["OOM"]},
		{"ERR Error running script (call to f_00): @user_script:9: -OOM command not allowed", replies["OOM"]},
		{"ERR Error running script (call to f_00): @user_script:9: -READONLY You can't", replies["READONLY"]},
		{"ERR The user executing the script can't run this command script: f00", replies["NOPERM"]},
		{"WRONGTYPE Operation against a key holding the wrong kind of value", ""},
		{"ERR user_script:3: Script attempted to access nonexistent global variable", ""},
	} {
		err := opError(reply(tt.reply))
		var u *storage.UnavailableError
		switch {
		case tt.reason == "" && (!errors.Is(err, storage.ErrPoison) || Counts(err)):
			t.Errorf("%s: %v, want ErrPoison", tt.reply, err)
		case tt.reason != "" && (!errors.As(err, &u) || u.Reason != tt.reason || errors.Is(err, storage.ErrPoison)):
			t.Errorf("%s: %v, want %q", tt.reply, err, tt.reason)
		}
	}
}

func FuzzParseRead(f *testing.F) {
	f.Add("epoch", "0123456789ab", "us", "5", "seq", "1", "5-1", "i", "d")
	f.Add("p:0123456789ab", "3 17", "epoch", "0", "us", "-1", "0-0", "p", "n")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, k3, v3, place, f1, f2 string) {
		state, entries, err := parseRead([]any{
			[]any{k1, v1, k2, v2, k3, v3},
			place,
			[]any{[]any{place, []any{"i", "x", "d", "", f1, v1, f2, v2}}},
		})
		if err != nil {
			if !errors.Is(err, storage.ErrPoison) && !Counts(err) {
				t.Errorf("error of no kind: %v", err)
			}
			return
		}
		if len(entries) != 1 || entries[0].Pos.Micros < 0 || state.Head.Micros < 0 {
			t.Errorf("read as %+v, %+v", state, entries)
		}
	})
}

func TestPagesThatCannotBeRead(t *testing.T) {
	good := []any{"i", "a", "d", "x"}
	for _, reply := range []any{
		nil, "x",
		[]any{},
		[]any{[]any{}, "", nil},
		[]any{[]any{"odd"}, "", []any{}},
		[]any{[]any{int64(1), "x"}, "", []any{}},
		[]any{[]any{}, "x", []any{}},
		[]any{[]any{}, "", []any{"x"}},
		[]any{[]any{}, "", []any{[]any{"1-1"}}},
		[]any{[]any{}, "", []any{[]any{"x", good}}},
		[]any{[]any{}, "", []any{[]any{"1-1", []any{"i"}}}},
		[]any{[]any{}, "", []any{[]any{"1-1", append([]any{"p", "x", "n", "1"}, good...)}}},
		[]any{[]any{}, "", []any{[]any{"1-1", append([]any{"p", "0123456789ab", "n", "x"}, good...)}}},
	} {
		if _, _, err := parseRead(reply); !errors.Is(err, storage.ErrPoison) && !Counts(err) {
			t.Errorf("%v: %v", reply, err)
		}
	}
	ok := []any{[]any{}, "1-1", []any{[]any{"1-1", good}}}
	if _, entries, err := parseRead(ok); err != nil || len(entries) != 1 || entries[0].ID != "a" {
		t.Errorf("%v, %v", entries, err)
	}
}
