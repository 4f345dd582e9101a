package events

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var testNow = time.Date(2026, 2, 10, 4, 15, 0, 123_456_789, time.UTC)

// minimal is an event with nothing missing, rest standing before its end.
func minimal(rest string) string {
	return `{"type":"a:b","sessionId":"s","id":"1","timestamp":"2026-02-10T04:15:00Z"` + rest + `}`
}

func TestParseEvent(t *testing.T) {
	const ts = `"timestamp":"2026-02-10T04:15:00.123Z"`
	tests := []struct {
		name, in string
		want     Event
	}{
		{"as received", minimal(`, "n" : 1.50e+3,"x":{"id":7}`), Event{
			Session: "s", ID: "1", Type: "a:b", Data: []byte(minimal(`, "n" : 1.50e+3,"x":{"id":7}`)),
		}},
		{"no timestamp", `{ "type":"a:b","sessionId":"s","id":"1"}`, Event{
			Session: "s", ID: "1", Type: "a:b", Data: []byte(`{` + ts + `, "type":"a:b","sessionId":"s","id":"1"}`),
		}},
		{"eventId", `{"type":"a:b","sessionId":"s","eventId":"e",` + ts + `}`, Event{
			Session: "s", ID: "e", Type: "a:b", Data: []byte(`{"type":"a:b","sessionId":"s","eventId":"e",` + ts + `}`),
		}},
		{"id wins", `{"eventId":5,"id":"i","type":"a:b","sessionId":"s",` + ts + `}`, Event{
			Session: "s", ID: "i", Type: "a:b", Data: []byte(`{"eventId":5,"id":"i","type":"a:b","sessionId":"s",` + ts + `}`),
		}},
		{"escapes", `{"\u0074ype":"a\u003ab","sessionId":"\ud83d\ude00\/","id":"\"1\\",` + ts + `}`, Event{
			Session: "😀/", ID: `"1\`, Type: "a:b",
			Data: []byte(`{"\u0074ype":"a\u003ab","sessionId":"\ud83d\ude00\/","id":"\"1\\",` + ts + `}`),
		}},
		{"keys of others", minimal(`,"__proto__":{},"x":1,"x":2,"Type":"no","ID":3,"SESSIONID":null`), Event{
			Session: "s", ID: "1", Type: "a:b",
			Data: []byte(minimal(`,"__proto__":{},"x":1,"x":2,"Type":"no","ID":3,"SESSIONID":null`)),
		}},
	}
	for _, tt := range tests {
		got, problem := parseEvent([]byte(tt.in), testNow)
		if problem != nil {
			t.Errorf("%s: %+v", tt.name, *problem)
			continue
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n%+v %s\nwant\n%+v %s", tt.name, got, got.Data, tt.want, tt.want.Data)
		}
	}
}

func TestLineBreaks(t *testing.T) {
	in := "\n{\"type\":\"a:b\",\r\n\"sessionId\":\"s\",\n\t\"id\":\"1\",\"timestamp\":\"2026-02-10T04:15:00Z\",\"t\":\"a\\nb\"\n}\r\n"
	want := "{\"type\":\"a:b\",  \"sessionId\":\"s\", \t\"id\":\"1\",\"timestamp\":\"2026-02-10T04:15:00Z\",\"t\":\"a\\nb\" }"
	e, problem := parseEvent([]byte(in), testNow)
	if problem != nil || string(e.Data) != want {
		t.Errorf("%+v\n%q, want\n%q", problem, e.Data, want)
	}
}

// Ids that the hub gives are unique and increase.
func TestGeneratedID(t *testing.T) {
	last := ""
	for range 1000 {
		e, problem := parseEvent([]byte(`{"type":"a:b","sessionId":"s"}`), testNow)
		if problem != nil {
			t.Fatal(problem)
		}
		want := `{"id":"` + e.ID + `","timestamp":"2026-02-10T04:15:00.123Z","type":"a:b","sessionId":"s"}`
		if string(e.Data) != want {
			t.Fatalf("%s, want %s", e.Data, want)
		}
		if e.ID <= last {
			t.Fatalf("%s after %s", e.ID, last)
		}
		last = e.ID
	}
}

func TestInvalidEvent(t *testing.T) {
	tests := []struct{ in, field, message string }{
		{`{}`, "type", "type is missing"},
		{`{"type":"a:b"}`, "sessionId", "sessionId is missing"},
		{`{"type":1,"sessionId":"s"}`, "type", "type must be a string, not a number"},
		{`{"type":null,"sessionId":"s"}`, "type", "type must be a string, not null"},
		{`{"type":"ab","sessionId":"s"}`, "type", "type is not of the form namespace:name"},
		{`{"type":":b","sessionId":"s"}`, "type", "type is not of the form namespace:name"},
		{`{"type":"a:","sessionId":"s"}`, "type", "type is not of the form namespace:name"},
		{`{"type":"a:b c","sessionId":"s"}`, "type", "type contains white space or a control character"},
		{`{"type":"a:\u0000","sessionId":"s"}`, "type", "type contains white space or a control character"},
		{`{"type":"a:` + strings.Repeat("ü", 99) + `","sessionId":"s"}`, "type", "type is 101 characters long, at most 100 are allowed"},
		{`{"type":"a:b","sessionId":""}`, "sessionId", "sessionId is empty"},
		{`{"type":"a:b","sessionId":{}}`, "sessionId", "sessionId must be a string, not an object"},
		{`{"type":"a:b","sessionId":"` + strings.Repeat("s", 201) + `"}`, "sessionId", "sessionId is 201 bytes long, at most 200 are allowed"},
		{`{"type":"a:b","sessionId":"` + strings.Repeat("ü", 101) + `"}`, "sessionId", "sessionId is 202 bytes long, at most 200 are allowed"},
		{`{"type":"a:b","sessionId":"a\nb"}`, "sessionId", "sessionId contains a control character"},
		{`{"type":"a:b","sessionId":"\u0085"}`, "sessionId", "sessionId contains a control character"},
		{`{"type":"a:b","sessionId":"."}`, "sessionId", `sessionId "." is reserved`},
		{`{"type":"a:b","sessionId":".."}`, "sessionId", `sessionId ".." is reserved`},
		{`{"type":"a:b","sessionId":"poll"}`, "sessionId", `sessionId "poll" is reserved`},
		{`{"type":"a:b","sessionId":"strea\u006d"}`, "sessionId", `sessionId "stream" is reserved`},
		{`{"type":"a:b","sessionId":"\ud800"}`, "sessionId", `sessionId contains half of a \u surrogate pair`},
		{`{"type":"a:b","sessionId":"\ud800\u0041"}`, "sessionId", `sessionId contains half of a \u surrogate pair`},
		{`{"type":"a:b","sessionId":"\udc00\ud800"}`, "sessionId", `sessionId contains half of a \u surrogate pair`},
		{`{"type":"a:b","sessionId":"s","id":7}`, "id", "id must be a string, not a number"},
		{`{"type":"a:b","sessionId":"s","id":null}`, "id", "id must be a string, not null"},
		{`{"type":"a:b","sessionId":"s","id":""}`, "id", "id is empty"},
		{`{"type":"a:b","sessionId":"s","id":"\t"}`, "id", "id contains a control character"},
		{`{"type":"a:b","sessionId":"s","id":"` + strings.Repeat("i", 201) + `"}`, "id", "id is 201 bytes long, at most 200 are allowed"},
		{`{"type":"a:b","sessionId":"s","eventId":true}`, "eventId", "eventId must be a string, not a boolean"},
		{`{"type":"a:b","sessionId":"s","eventId":[]}`, "eventId", "eventId must be a string, not an array"},
		{`{"type":"a:b","sessionId":"s","timestamp":1770696900000}`, "timestamp", "timestamp must be a string, not a number"},
		{`{"type":"a:b","sessionId":"s","timestamp":"yesterday"}`, "timestamp", "timestamp is not an RFC 3339 time, such as 2026-02-10T04:15:00.000Z"},
		{`{"type":"a:b","sessionId":"s","timestamp":"2026-02-10T4:15:00Z"}`, "timestamp", "timestamp is not an RFC 3339 time, such as 2026-02-10T04:15:00.000Z"},
		{`{"type":"a:b","sessionId":"s","timestamp":"2026-02-10T04:15:00,5Z"}`, "timestamp", "timestamp is not an RFC 3339 time, such as 2026-02-10T04:15:00.000Z"},
		{`{"type":"a:b","sessionId":"s","timestamp":"2026-02-10"}`, "timestamp", "timestamp is not an RFC 3339 time, such as 2026-02-10T04:15:00.000Z"},
		{`{"type":"a:b","type":"a:b","sessionId":"s"}`, "type", "type is given twice"},
		{`{"type":"a:b","sessionId":"s","\u0073essionId":"t"}`, "sessionId", "sessionId is given twice"},
		{`{"type":"a:b","sessionId":"s","id":"1","id":"2"}`, "id", "id is given twice"},
		{`{"type":"a:b","sessionId":"s","id":"1","eventId":"1","eventId":"2"}`, "eventId", "eventId is given twice"},
		{`{"type":"a:b","sessionId":"s","timestamp":"x","timestamp":"y"}`, "timestamp", "timestamp is given twice"},
	}
	for _, tt := range tests {
		_, problem := parseEvent([]byte(tt.in), testNow)
		switch {
		case problem == nil:
			t.Errorf("%s: accepted", tt.in)
		case problem.Error != "invalid event" || problem.Field != tt.field || problem.Message != tt.message:
			t.Errorf("%s: %+v, want %s: %s", tt.in, *problem, tt.field, tt.message)
		}
	}
}

func TestInvalidJSON(t *testing.T) {
	tests := []struct {
		in      string
		offset  int
		message string
	}{
		{``, 0, "one JSON object is expected, found nothing"},
		{" \n", 2, "one JSON object is expected, found nothing"},
		{`[{"type":"a:b"}]`, 0, "one JSON object is expected, found an array"},
		{` "x"`, 1, "one JSON object is expected, found a string"},
		{`null`, 0, "one JSON object is expected, found null"},
		{"\ufeff{}", 0, "one JSON object is expected, found something else"},
		{`{} {}`, 3, "one JSON object is expected, found more after it"},
		{"{}\n{}", 3, "one JSON object is expected, found more after it"},
		{"{\"a\":\"\xff\"}", 6, "not valid UTF-8"},
		{"{\"a\":\"\xed\xa0\x80\"}", 6, "not valid UTF-8"},
		{`{`, 1, "unexpected end"},
		{`{"a`, 3, "unexpected end"},
		{`{"a"`, 4, "unexpected end"},
		{`{"a":`, 5, "unexpected end"},
		{`{"a":1`, 6, "unexpected end"},
		{`{"a":"\`, 7, "unexpected end"},
		{`{"a":tr`, 7, "unexpected end"},
		{`{a:1}`, 1, "a key in double quotes is expected"},
		{`{"a":1,}`, 7, "a key in double quotes is expected"},
		{`{"a" 1}`, 5, "a colon is expected"},
		{`{"a":}`, 5, "a value is expected"},
		{`{"a":undefined}`, 5, "a value is expected"},
		{`{"a":1 "b":2}`, 7, "a comma or } is expected"},
		{`{"a":[1 2]}`, 8, "a comma or ] is expected"},
		{`{"a":[1,]}`, 8, "a value is expected"},
		{`{"a":01}`, 6, "a comma or } is expected"},
		{`{"a":-}`, 6, "a digit is expected"},
		{`{"a":1.}`, 7, "a digit is expected"},
		{`{"a":1e+}`, 8, "a digit is expected"},
		{`{"a":nul}`, 8, "null is expected"},
		{`{"a":falsy}`, 9, "false is expected"},
		{"{\"a\":\"\n\"}", 6, "a control character in a string must be escaped"},
		{`{"a":"\x"}`, 7, "unknown escape in a string"},
		{`{"a":"\u00g0"}`, 10, `\u needs four hex digits`},
		{"{\"a\":1\x00}", 6, "a comma or } is expected"},
		{nested(1001), 1000 * 5, "nested deeper than 1000 levels"},
	}
	for _, tt := range tests {
		_, problem := parseEvent([]byte(tt.in), testNow)
		if problem == nil {
			t.Errorf("%.40q: accepted", tt.in)
			continue
		}
		want := map[string]int{"offset": tt.offset}
		if problem.Error != "invalid JSON" || !reflect.DeepEqual(problem.Details, want) ||
			!strings.HasPrefix(problem.Message, tt.message+" at byte ") {
			t.Errorf("%.40q: %+v, want %s at byte %d", tt.in, *problem, tt.message, tt.offset)
		}
	}
	if _, _, problem := scanEvent([]byte(nested(1000))); problem != nil {
		t.Errorf("1000 levels: %+v", *problem)
	}
}

// nested is an object n levels deep.
func nested(n int) string {
	return strings.Repeat(`{"a":`, n-1) + `{}` + strings.Repeat(`}`, n-1)
}

// What the scanner takes is exactly what encoding/json takes as an object, and
// what is stored says what was received.
func FuzzParseEvent(f *testing.F) {
	for _, seed := range []string{
		minimal(""), minimal(`,"a":[1,-0.5e-7,true,false,null,"\u00e9\ud83d\ude00",{"b":[]}]`),
		`{"type":"a:b","sessionId":"s"}`, "{\n\"type\" : \"a:b\" ,\r\n \"sessionId\" : \"\\u0073\" }\n",
		`{"type":"a:b","sessionId":"s","id":7}`, `{"type":"a:b","sessionId":"s","type":"c:d"}`,
		`{"type":"a:b","sessionId":"\ud800"}`, `{"\u0069d":"x","type":"a:b","sessionId":"s"}`,
		`[1,2]`, `{}`, ``, `{"a":01}`, `{"a":"` + "\x80" + `"}`, nested(1001), `{"__proto__":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		body := bytes.Clone(in)
		e, problem := parseEvent(body, testNow)
		if problem != nil {
			if problem.Error == "invalid JSON" && isObject(in) && !strings.HasPrefix(problem.Message, "nested") {
				t.Fatalf("%q is a JSON object: %+v", in, *problem)
			}
			return
		}
		checkStored(t, in, e)
	})
}

func isObject(b []byte) bool {
	return utf8.Valid(b) && json.Valid(b) && bytes.TrimLeft(b, " \t\r\n")[0] == '{'
}

func checkStored(t *testing.T, in []byte, e Event) {
	t.Helper()
	if !isObject(in) || !isObject(e.Data) || bytes.ContainsAny(e.Data, "\r\n") {
		t.Fatalf("%q was taken and stored as %q", in, e.Data)
	}
	var received, stored map[string]any
	if err := json.Unmarshal(in, &received); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(e.Data, &stored); err != nil {
		t.Fatal(err)
	}
	id, ok := stored["id"]
	if !ok {
		id = stored["eventId"]
	}
	if stored["type"] != e.Type || stored["sessionId"] != e.Session || id != e.ID || ValidSessionID(e.Session) != nil {
		t.Fatalf("%q was taken as %+v", in, e)
	}
	if _, err := time.Parse(time.RFC3339, stored["timestamp"].(string)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"id", "timestamp"} {
		if _, given := received[name]; !given {
			delete(stored, name)
		}
	}
	if !reflect.DeepEqual(received, stored) {
		t.Fatalf("%q was stored as %q", in, e.Data)
	}
}

func BenchmarkParseEvent(b *testing.B) {
	body := []byte(minimal(`,"data":"` + strings.Repeat("x", 200) + `"`))
	b.ReportAllocs()
	for b.Loop() {
		if _, problem := parseEvent(body, testNow); problem != nil {
			b.Fatal(problem)
		}
	}
}
