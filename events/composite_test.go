package events

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

func encodeComposite(object string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(object))
}

func mustCursor(t testing.TB, s string) storage.Cursor {
	t.Helper()
	c, err := storage.ParseCursor(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// whatever is set, the text is base64url of the whole object.
func TestComposite(t *testing.T) {
	sessions := []string{"a", `b"\/c`, "ü\u2028<&>", strings.Repeat(`"`, maxSessionID)}
	cursors := make([]storage.Cursor, len(sessions))
	for i := range cursors {
		cursors[i] = mustCursor(t, fmt.Sprintf("v1.0.%d-0", i))
	}
	c := newComposite(sessions, cursors)
	check := func() {
		t.Helper()
		object, err := base64.RawURLEncoding.DecodeString(string(c.text))
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal(object, &got); err != nil || len(got) != len(sessions) {
			t.Fatalf("%s: %v", object, err)
		}
		parsed, err := parseComposite(string(c.text))
		if err != nil {
			t.Fatal(err)
		}
		for i, session := range sessions {
			if got[session] != cursors[i].String() || !sameCursor(parsed[session], cursors[i]) {
				t.Fatalf("session %q: %q, %v, want %v", session, got[session], parsed[session], cursors[i])
			}
		}
	}
	check()
	for n := range 60 { // longer and shorter ones, in every place
		i := n % len(sessions)
		cursors[i] = mustCursor(t, fmt.Sprintf("v1.00000000000a.%s-%d", strings.Repeat("7", 1+n%13), n))
		for p := range n % 4 {
			cursors[i].Parts = append(cursors[i].Parts, storage.Link{Producer: storage.Producer(p + 1), Number: uint64(n)})
		}
		c.set(i, []byte(cursors[i].String()))
		check()
	}
	one := newComposite(sessions[:1], cursors[:1])
	if parsed, err := parseComposite(string(one.text)); err != nil || len(parsed) != 1 {
		t.Fatal(parsed, err)
	}
}

// The longest of all fits what is accepted.
func TestCompositeBound(t *testing.T) {
	sessions, cursors := make([]string, maxSeveral), make([]storage.Cursor, maxSeveral)
	longest := "v1.ffffffffffff.9223372036854775807-18446744073709551615"
	for p := range storage.MaxParts {
		longest += fmt.Sprintf("~ffffffffff%02d.18446744073709551615", p)
	}
	for i := range sessions {
		sessions[i] = strings.Repeat("\u2028", (maxSessionID-2)/3) + fmt.Sprintf("%02d", i)
		cursors[i] = mustCursor(t, longest)
	}
	c := newComposite(sessions, cursors)
	if parsed, err := parseComposite(string(c.text)); err != nil || len(parsed) != maxSeveral {
		t.Fatalf("%d bytes: %d sessions, %v", len(c.text), len(parsed), err)
	}
	quotes := newComposite([]string{strings.Repeat(`"`, maxSessionID)}, cursors[:1])
	if n := maxSeveral * len(quotes.text); n > maxComposite {
		t.Fatalf("up to %d bytes", n)
	}
}

func TestParseCompositeRefuses(t *testing.T) {
	many := make([]string, maxSeveral+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"%d":"v1.0.0-0"`, i)
	}
	for in, want := range map[string]string{
		"":                                                      "no JSON object",
		"v1.0.0-0":                                              "not base64url",
		encodeComposite(`{}`) + "=":                             "not base64url",
		encodeComposite("{\"\xff\":\"\"}"):                      "not UTF-8",
		encodeComposite(`[]`):                                   "no JSON object",
		encodeComposite(`null`):                                 "no JSON object",
		encodeComposite(`{"a"}`):                                "not complete",
		encodeComposite(`{"a":"v1.0.0-0"`):                      "not complete",
		encodeComposite(`{} {}`):                                "something follows",
		encodeComposite(`{"a":1}`):                              "no string",
		encodeComposite(`{"a":{}}`):                             "no string",
		encodeComposite(`{"a":"x"}`):                            `the cursor of session "a"`,
		encodeComposite(`{"":"v1.0.0-0"}`):                      "is empty",
		encodeComposite(`{"..":"v1.0-0"}`):                      "is reserved",
		strings.Repeat("x", maxComposite+1):                     "at most 65536",
		encodeComposite("{" + strings.Join(many, ",") + "}"):    "more than 50",
		encodeComposite(`{"a":"v1.0.0-0","\u0061":"v1.0.0-0"}`): "twice",
	} {
		_, err := parseComposite(in)
		if err == nil || !errors.Is(err, errComposite) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %s", in, err, want)
		}
	}
}

// An event changes one member; the others are neither encoded nor allocated again.
func TestCompositeSetAllocates(t *testing.T) {
	c, cursors := fiftySessions(t)
	moved := []byte("v1.00000000000a.1764115200000001-8")
	c.set(25, moved)
	if n := testing.AllocsPerRun(100, func() { c.set(25, moved) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if parsed, err := parseComposite(string(c.text)); err != nil || parsed["session-25"].Pos.Seq != 8 || !sameCursor(parsed["session-26"], cursors[26]) {
		t.Error(parsed, err)
	}
}

func fiftySessions(t testing.TB) (*composite, []storage.Cursor) {
	sessions, cursors := make([]string, maxSeveral), make([]storage.Cursor, maxSeveral)
	for i := range sessions {
		sessions[i], cursors[i] = fmt.Sprintf("session-%d", i), mustCursor(t, "v1.00000000000a.1764115200000000-7")
	}
	return newComposite(sessions, cursors), cursors
}

func FuzzParseComposite(f *testing.F) {
	for _, object := range []string{
		`{}`, `{"a":"v1.0.0-0"}`, ` { "a" : "2026-01-01T00:00:00Z" , "b\u0022":"v1.00000000000a.5-1~00000000000b.3" } `,
		`{"a":"v1.0.0-0","a":"v1.0.0-0"}`, `{"a":1}`, `{"a":["v1"]}`, `{"poll":"v1.0.0-0"}`, `[]`, `{"a":"v1.0.0-0"}x`, `{"\ud800":"v1.0.0-0"}`,
	} {
		f.Add(encodeComposite(object))
	}
	f.Add("v1.0.0-0")
	f.Add("====")
	f.Fuzz(func(t *testing.T, in string) {
		cursors, err := parseComposite(in)
		if err != nil {
			if !errors.Is(err, errComposite) {
				t.Fatal(err)
			}
			return
		}
		var sessions []string
		var in50 []storage.Cursor
		for session, c := range cursors {
			sessions, in50 = append(sessions, session), append(in50, c)
		}
		if len(sessions) == 0 {
			return
		}
		again, err := parseComposite(string(newComposite(sessions, in50).text))
		if err != nil || !maps.EqualFunc(again, cursors, sameCursor) {
			t.Fatalf("%v, %v; again %v", err, cursors, again)
		}
	})
}

func BenchmarkComposite(b *testing.B) {
	c, _ := fiftySessions(b)
	moved := []byte("v1.00000000000a.1764115200000001-8")
	out := make([]byte, 0, len(c.text))
	b.ReportAllocs()
	b.SetBytes(int64(len(c.text)))
	for i := 0; b.Loop(); i++ {
		c.set(i%maxSeveral, moved)
		out = append(out[:0], c.text...)
	}
}
