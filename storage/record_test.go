package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// recordSeeds have every member of every record, members that are unknown at every
// level, and what does not fit.
var recordSeeds = []string{
	`{}`, `null`, `[]`, `{"id":null}`, `{"id":1}`, `{"ID":"a","id":"b","Id":"c"}`, "{\"id\":\"\xff\"}", `{"id":"a","id":"b"}`,
	`{"id":"s1","user":"u","cwd":"/","status":"pending","chains":[{"id":"c","steps":[{"stepNumber":1,"x":1}],"x":{}}],
	  "currentChain":"c","lastPrompt":{"text":"t","type":"text","quickResponses":[],"timestamp":"2026-03-01T10:00:00Z","x":1},
	  "startedAt":"2026-03-01T10:00:00.123456789+02:00","duration":1e3,"criticalErrors":[null,1],"metadata":{"<":"&"},"x":[{"y":null}]}`,
	`{"commandId":"s1:1","command":{"type":"pause","payload":{"a":1},"stepNumber":2,"x":1},"context":{},"issuedAt":"2026-03-01T10:00:00Z"}`,
	`{"sessionId":"s1","autoExpand":false,"quickActions":[{"id":"q","x":1}],"autoArchiveDelaySeconds":0.5}`,
	`{"confidence":0.5,"sequence":{"actions":["a"],"count":1,"avgGapMs":1.5,"x":1},"relatedBookmarkIds":["b"],"tags":["t"]}`,
	`{"parsedFormat":null,"missingFields":["a"],"context":{"stepNumber":1,"x":1},"timestamp":"9999-12-31T23:59:59-14:00"}`,
	`{"layoutDescriptor":{"a":[1]},"changedFiles":["f"],"targets":["t"],"history":[{"x":1}],"error":"e"}`,
	`{"fallback":{"type":"raw","content":"\u003c","x":1},"frequency":12345678901234567890}`,
	`{"id":"\ud800","x\u0000":"\u2028","":1e400}`, `{"x":12345678901234567890.10e-1}`, `{"startedAt":"0000-01-01T00:00:00Z"}`,
}

// FuzzRecord: what is read is written in one spelling that is read the same again,
// with every member that is unknown as it came.
func FuzzRecord(f *testing.F) {
	for _, s := range recordSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzRecord[Session](t, b)
		fuzzRecord[Chain](t, b)
		fuzzRecord[CommandPayload](t, b)
		fuzzRecord[SessionWindowConfig](t, b)
		fuzzRecord[Bookmark](t, b)
		fuzzRecord[DetectedPattern](t, b)
		fuzzRecord[HarmonyCheck](t, b)
		fuzzRecord[IntelDossier](t, b)
		fuzzRecord[DossierEntry](t, b)
		fuzzRecord[SuggestionEntry](t, b)
		if _, err := Decode[chainEvent](b); err != nil {
			wantFieldError(t, err)
		}
	})
}

func wantFieldError(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*FieldError](err); !ok {
		t.Fatalf("error is %v", err)
	}
}

func fuzzRecord[T any](t *testing.T, b []byte) {
	t.Helper()
	record, err := Decode[T](b)
	if err != nil {
		wantFieldError(t, err)
		return
	}
	first, err := encode(record, 1<<30)
	if err != nil {
		wantFieldError(t, err)
		return
	}
	again, err := Decode[T](first)
	if err != nil {
		t.Fatalf("%T: %s was written and is no record: %v", record, first, err)
	}
	second, err := encode(again, 1<<30)
	if err != nil || !bytes.Equal(first, second) {
		t.Fatalf("%T is first %s\nthen %s, %v", record, first, second, err)
	}
	keepsUnknown[T](t, b, first)
}

func keepsUnknown[T any](t *testing.T, before, after []byte) {
	t.Helper()
	var was, is Object
	if json.Unmarshal(before, &was) != nil || json.Unmarshal(after, &is) != nil {
		t.Fatalf("%s or %s is no object", before, after)
	}
	fields, _ := recordFields(reflect.TypeFor[T]())
	for _, f := range fields {
		delete(was, f.name)
	}
	for name, value := range was {
		var want bytes.Buffer
		escaped, err := json.Marshal(value) // compact, as it is written
		if err != nil {
			t.Fatal(err)
		}
		want.Write(escaped)
		if got, ok := is[name]; !ok || !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%q was %s and is %s", name, value, got)
		}
	}
}

func TestDecodeSaysWhatDoesNotFit(t *testing.T) {
	for _, tt := range []struct{ body, field, problem string }{
		{`[]`, "", "must be a JSON object"},
		{``, "", "must be a JSON object"},
		{`{"id":`, "", "is not JSON"},
		{"{\"id\":\"\xff\"}", "", "not valid UTF-8"},
		{`{"id":1}`, "id", "must be a string, not number"},
		{`{"totalStepsExecuted":1.5}`, "totalStepsExecuted", "must be an integer"},
		{`{"duration":"1"}`, "duration", "must be a number, not string"},
		{`{"startedAt":"yesterday"}`, "startedAt", "must be an RFC 3339 time"},
		{`{"startedAt":5}`, "startedAt", "must be an RFC 3339 time"},
		{`{"metadata":[]}`, "metadata", "must be an object, not array"},
		{`{"criticalErrors":{}}`, "criticalErrors", "must be an array, not object"},
		{`{"lastPrompt":{"text":1}}`, "lastPrompt.text", "must be a string, not number"},
		{`{"lastPrompt":7}`, "lastPrompt", "must be a JSON object"},
	} {
		_, err := Decode[Session]([]byte(tt.body))
		wrong, ok := errors.AsType[*FieldError](err)
		if !ok || wrong.Field != tt.field || !strings.Contains(wrong.Problem, tt.problem) {
			t.Errorf("%s: %v, want %q about %q", tt.body, err, tt.problem, tt.field)
		}
	}
}

func TestTooDeep(t *testing.T) {
	nested := func(open, shut string, n int) []byte {
		return []byte(strings.Repeat(open, n) + "1" + strings.Repeat(shut, n))
	}
	for _, tt := range []struct{ open, shut string }{{"[", "]"}, {`{"[\"\\":`, "}"}} {
		if tooDeep(nested(tt.open, tt.shut, MaxDepth)) {
			t.Errorf("%d times %s is too deep", MaxDepth, tt.open)
		}
		if !tooDeep(nested(tt.open, tt.shut, MaxDepth+1)) {
			t.Errorf("%d times %s is not too deep", MaxDepth+1, tt.open)
		}
	}
	if flat := []byte("[" + strings.Repeat(`[],{},"]",`, 2*MaxDepth) + "1]"); tooDeep(flat) {
		t.Error("a flat value is too deep")
	}
	if quoted := []byte(`"` + strings.Repeat(`[\"`, 2*MaxDepth) + `"`); tooDeep(quoted) {
		t.Error("brackets in a string are too deep")
	}
}
