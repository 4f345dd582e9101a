package events

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

// The tests that walk all routes must not miss one.
func TestEveryRouteIsWalked(t *testing.T) {
	walked := make(map[string]bool)
	kinds := make(map[routeKind]bool)
	for _, rt := range everyRoute {
		path, _, _ := strings.Cut(rt.path, "?")
		m, ok := matchRoute(path)
		if !ok {
			t.Fatalf("%s is not ours", rt.path)
		}
		kinds[m.kind] = true
		walked[rt.method+" "+m.record] = true
	}
	for kind := routeIngest; kind <= routeRecords; kind++ {
		if !kinds[kind] {
			t.Errorf("no request to route %d", kind)
		}
	}
	for _, op := range recordOps() {
		if !walked[op.method+" "+op.path] {
			t.Errorf("no request to %s %s", op.method, op.path)
		}
	}
}

// step is a request and what its answer must have: a member as in a path
// (bookmarks.0.id) and its value.
type step struct {
	method, path, body string
	status             int
	want               map[string]any
}

func (s *testSite) steps(t *testing.T, steps ...step) {
	t.Helper()
	for _, st := range steps {
		a := s.do(st.method, "/api/records/"+st.path, st.body)
		if a.status != st.status {
			t.Errorf("%s %s: %d %s, want %d", st.method, st.path, a.status, a.body, st.status)
			continue
		}
		for path, want := range st.want {
			if got := memberAt(a.json(t), path); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s %s: %s is %v, want %v in %s", st.method, st.path, path, got, want, a.body)
			}
		}
	}
}

func memberAt(v any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(at) {
				return "missing"
			}
			v = at[i]
		default:
			return "missing"
		}
	}
	return v
}

type want = map[string]any

func TestRecordFrequencies(t *testing.T) {
	newTestSite(t).steps(
		t,
		step{"GET", "frequencies/build", "", 404, nil},
		step{"POST", "frequencies/build/track?projectId=x&userId=ann", "", 200, want{"success": true, "actionType": "build"}},
		step{"POST", "frequencies/build/track", "", 200, nil},
		step{"POST", "frequencies/a%2Fb/track?projectId=x", "", 200, want{"actionType": "a/b"}},
		step{"GET", "frequencies/build", "", 200, want{"count": 2, "actionType": "build"}},
		step{"GET", "frequencies/build?projectId=x&userId=ann", "", 200, want{"count": 1, "projectId": "x", "userId": "ann"}},
		step{"GET", "frequencies/a%2Fb", "", 200, want{"count": 1}},
		step{"GET", "frequencies", "", 200, want{"count": 2, "frequencies.0.actionType": "build"}},
		step{"GET", "frequencies?projectId=x", "", 200, want{"count": 2, "frequencies.0.actionType": "a/b"}},
		step{"GET", "frequencies?limit=1", "", 200, want{"count": 1}},
		step{"GET", "frequencies?projectId=y", "", 200, want{"count": 0, "frequencies": []any{}}},
		step{"GET", "frequencies?limit=0", "", 400, want{"field": "limit"}},
		step{"GET", "frequencies?projectId=" + strings.Repeat("x", 201), "", 400, want{"field": "projectId"}},
		step{"POST", "frequencies/%00/track", "", 400, want{"field": "actionType"}},
	)
}

func TestRecordBookmarks(t *testing.T) {
	const body = `{"sessionId":"s","category":"good-output","userId":"ann","tags":["x","y"],"timestamp":"2026-02-10T04:15:00Z","mood":"fine"}`
	newTestSite(t).steps(
		t,
		step{"PUT", "bookmarks/%7Bx%7D", body, 200, want{"id": "{x}", "mood": "fine", "userId": "ann"}},
		step{"PUT", "bookmarks/%C3%BC", `{"id":"else","sessionId":"s","category":"other"}`, 200, want{"id": "ü"}},
		step{"POST", "bookmarks", `{"id":"b","sessionId":"s","category":"other","tags":["x"]}`, 201, want{"id": "b"}},
		step{"GET", "bookmarks/%C3%BC", "", 200, want{"id": "ü", "category": "other"}},
		step{"GET", "bookmarks", "", 200, want{"count": 3}},
		step{"GET", "bookmarks?category=good-output", "", 200, want{"count": 1, "bookmarks.0.id": "{x}"}},
		step{"GET", "bookmarks?userId=ann", "", 200, want{"count": 1}},
		step{"GET", "bookmarks?tag=x", "", 200, want{"count": 2}},
		step{"GET", "bookmarks?tag=x&tag=y", "", 200, want{"count": 1}},
		step{"GET", "bookmarks?since=2026-02-10T04:15:01Z", "", 200, want{"count": 2}},
		step{"GET", "bookmarks?limit=1", "", 200, want{"count": 1, "next": "b"}},
		step{"GET", "bookmarks?limit=2&after=b", "", 200, want{"count": 2, "bookmarks.0.id": "{x}"}},
		step{"DELETE", "bookmarks/b", "", 200, want{"success": true, "id": "b"}},
		step{"DELETE", "bookmarks/b", "", 404, nil},
		step{"GET", "bookmarks/b", "", 404, want{"error": "not found"}},
		step{"GET", "bookmarks?category=best", "", 400, want{"field": "category"}},
		step{"GET", "bookmarks?since=soon", "", 400, want{"field": "since"}},
		step{"GET", "bookmarks?limit=1001", "", 400, want{"field": "limit"}},
		step{"POST", "bookmarks", `{"sessionId":"s"}`, 400, want{"field": "category"}},
		step{"POST", "bookmarks", `{"sessionId":"s","category":"other","tags":"x"}`, 400, want{"field": "tags"}},
		step{"POST", "bookmarks", `{"category":"other"}`, 400, want{"field": "sessionId"}},
		step{"POST", "bookmarks", `{`, 400, nil},
		step{"POST", "bookmarks", `{"messageContent":"` + strings.Repeat("x", storage.MaxSmallRecord) + `"}`, 413, nil},
		step{"DELETE", "bookmarks/" + strings.Repeat("x", 201), "", 400, want{"field": "id"}},
	)
}

func TestRecordPatterns(t *testing.T) {
	newTestSite(t).steps(
		t,
		step{"POST", "patterns", `{"id":"a","projectId":"x","patternType":"temporal","confidence":0.5}`, 201, want{"id": "a", "confidence": 0.5}},
		step{"PUT", "patterns/%25", `{"projectId":"y","patternType":"sequence","confidence":1}`, 200, want{"id": "%"}},
		step{"GET", "patterns/%25", "", 200, want{"projectId": "y"}},
		step{"GET", "patterns?projectId=x", "", 200, want{"count": 1, "patterns.0.id": "a"}},
		step{"GET", "patterns?patternType=sequence", "", 200, want{"count": 1}},
		step{"GET", "patterns?minConfidence=0.9", "", 200, want{"count": 1, "patterns.0.id": "%"}},
		step{"GET", "patterns?since=2100-01-01T00:00:00Z", "", 200, want{"count": 0}},
		step{"GET", "patterns?minConfidence=NaN", "", 400, want{"field": "minConfidence"}},
		step{"GET", "patterns?minConfidence=2", "", 400, want{"field": "minConfidence"}},
		step{"GET", "patterns?patternType=odd", "", 400, want{"field": "patternType"}},
		step{"POST", "patterns", `{"projectId":"x","patternType":"temporal","confidence":2}`, 400, want{"field": "confidence"}},
		step{"DELETE", "patterns/a", "", 200, nil},
		step{"GET", "patterns/a", "", 404, nil},
		step{"DELETE", "patterns/a", "", 404, nil},
	)
}

func TestRecordHarmony(t *testing.T) {
	newTestSite(t).steps(
		t,
		step{"POST", "harmony", `{"id":"1","sessionId":"s","projectId":"x","result":"valid","parsedFormat":"chain"}`, 201, want{"id": "1"}},
		step{"POST", "harmony", `{"id":"2","sessionId":"s","result":"violation","text":"` + strings.Repeat("x", storage.MaxSmallRecord) + `"}`, 201, want{"text": strings.Repeat("x", 500)}},
		step{"POST", "harmony", `{"id":"3","sessionId":"t","projectId":"x","result":"degraded"}`, 201, nil},
		step{"GET", "harmony?sessionId=s", "", 200, want{"count": 2, "checks.0.id": "1", "checks.1.id": "2"}},
		step{"GET", "harmony?projectId=x", "", 200, want{"count": 2, "checks.1.id": "3"}},
		step{"GET", "harmony?projectId=x&limit=1", "", 200, want{"count": 1, "checks.0.id": "3"}},
		step{"GET", "harmony?sessionId=s&result=violation", "", 200, want{"count": 1, "checks.0.id": "2"}},
		step{"GET", "harmony?sessionId=s&formatType=chain", "", 200, want{"count": 1, "checks.0.id": "1"}},
		step{"GET", "harmony?sessionId=s&since=2100-01-01T00:00:00Z", "", 200, want{"count": 0}},
		step{"GET", "harmony/metrics?sessionId=s", "", 200, want{"totalChecks": 2, "harmonyPercentage": 50, "recentViolations.0.id": "2", "formatBreakdown.chain": 1}},
		step{"GET", "harmony/metrics?projectId=x", "", 200, want{"totalChecks": 2, "harmonyPercentage": 100}},
		step{"GET", "harmony", "", 400, want{"field": "sessionId"}},
		step{"GET", "harmony/metrics", "", 400, want{"field": "sessionId"}},
		step{"GET", "harmony?sessionId=s&projectId=x", "", 400, want{"field": "projectId"}},
		step{"GET", "harmony?sessionId=s&result=odd", "", 400, want{"field": "result"}},
		step{"POST", "harmony", `{"sessionId":"s"}`, 400, want{"field": "result"}},
	)
}

func TestRecordDossiers(t *testing.T) {
	newTestSite(t).steps(
		t,
		step{"POST", "dossiers", `{"id":"d","name":"API","targets":["a.go"]}`, 201, want{"id": "d", "status": "idle", "history": []any{}}},
		step{"PUT", "dossiers/d", `{"name":"API 2","status":"analyzing"}`, 200, want{"id": "d", "name": "API 2"}},
		step{"POST", "dossiers/d/history", `{"layoutDescriptor":{"a":1},"changedFiles":["a.go"]}`, 201, want{"success": true, "id": "d"}},
		step{"GET", "dossiers/d", "", 200, want{"name": "API 2", "history.0.layoutDescriptor.a": 1, "history.0.changedFiles.0": "a.go"}},
		step{"GET", "dossiers", "", 200, want{"count": 1, "dossiers.0.history.0.layoutDescriptor.a": 1}},
		step{"POST", "dossiers/none/history", `{}`, 404, nil},
		step{"POST", "dossiers/d/history", `{"timestamp":7}`, 400, want{"field": "timestamp"}},
		step{"POST", "dossiers", `{"name":""}`, 400, want{"field": "name"}},
		step{"GET", "dossiers?limit=x", "", 400, want{"field": "limit"}},
		step{"DELETE", "dossiers/d", "", 200, nil},
		step{"GET", "dossiers/d", "", 404, nil},
	)
}

func TestRecordSuggestions(t *testing.T) {
	newTestSite(t).steps(
		t,
		step{"POST", "suggestions", `{"id":"a","needed":"chart","fallback":{"type":"raw","content":"x"}}`, 201, want{"frequency": 1, "type": "widget_suggestion"}},
		step{"POST", "suggestions", `{"id":"b/c","needed":"map","fallback":{"type":"markdown"}}`, 201, nil},
		step{"POST", "suggestions/b%2Fc/increment", "", 200, want{"id": "b/c", "frequency": 2}},
		step{"GET", "suggestions/b%2Fc", "", 200, want{"frequency": 2}},
		step{"GET", "suggestions", "", 200, want{"count": 2, "suggestions.0.id": "b/c"}},
		step{"POST", "suggestions/none/increment", "", 404, nil},
		step{"POST", "suggestions", `{"needed":"x","fallback":{"type":"gif"}}`, 400, want{"field": "fallback.type"}},
		step{"DELETE", "suggestions/a", "", 200, want{"id": "a"}},
		step{"GET", "suggestions/a", "", 404, nil},
	)
}

func TestRecordWindows(t *testing.T) {
	newTestSite(t).steps(
		t,
		step{"GET", "windows/a%2Fb", "", 404, nil},
		step{"PUT", "windows/a%2Fb", `{"sessionId":"else","autoExpand":true,"quickActions":[{"id":"1","label":"Go","icon":"x","k":1}]}`, 200, want{"sessionId": "a/b"}},
		step{"GET", "windows/a%2Fb", "", 200, want{"autoExpand": true, "quickActions.0.k": 1}},
		step{"PUT", "windows/s", `{"autoExpand":"yes"}`, 400, want{"field": "autoExpand"}},
		step{"PUT", "windows/s", `{"quickActions":[{"id":"1"}]}`, 400, want{"field": "quickActions[0].label"}},
		step{"PUT", "windows/poll", `{}`, 400, want{"field": "sessionId"}},
		step{"PUT", "windows/s/follow", "", 200, want{"success": true, "sessionId": "s", "following": true}},
		step{"PUT", "windows/t/follow?userId=ann", "", 200, nil},
		step{"GET", "windows", "", 200, want{"count": 1, "sessions.0": "s"}},
		step{"GET", "windows?userId=ann", "", 200, want{"count": 1, "sessions.0": "t"}},
		step{"DELETE", "windows/s/follow", "", 200, want{"following": false}},
		step{"GET", "windows", "", 200, want{"count": 0, "sessions": []any{}}},
	)
}

// Records about a session are for whom the session is, and those of a user his.
func TestOtherUsersRecords(t *testing.T) {
	s := newTestSite(t, mixedSite)
	s.do("POST", "/api/sessions", `{"id":"s"}`, as("ann")).want(t, 201, "")
	const p = "/api/records/"
	s.do("POST", p+"bookmarks", `{"id":"mine","sessionId":"s","category":"other","userId":"bob"}`, as("ann")).want(t, 201, "")
	s.do("POST", p+"bookmarks", `{"id":"all","sessionId":"t","category":"other"}`, withKey).want(t, 201, "")
	s.do("POST", p+"harmony", `{"sessionId":"s","projectId":"x","result":"violation"}`, as("ann")).want(t, 201, "")
	s.do("POST", p+"harmony", `{"sessionId":"t","projectId":"x","result":"violation"}`, withKey).want(t, 201, "")
	s.do("PUT", p+"windows/s", `{}`, as("ann")).want(t, 200, "")
	s.do("POST", p+"frequencies/f/track?projectId=x", "", as("ann")).want(t, 200, "")

	for _, who := range []func() answer{
		func() answer { return s.do("GET", p+"bookmarks/mine", "", as("bob")) },
		func() answer { return s.do("GET", p+"bookmarks/mine", "", remote) },
		func() answer { return s.do("DELETE", p+"bookmarks/mine", "", as("bob")) },
		func() answer {
			return s.do("PUT", p+"bookmarks/mine", `{"sessionId":"t","category":"other"}`, as("bob"))
		},
		func() answer {
			return s.do("POST", p+"bookmarks", `{"id":"mine","sessionId":"t","category":"other"}`, as("bob"))
		},
		func() answer {
			return s.do("POST", p+"bookmarks", `{"sessionId":"s","category":"other"}`, as("bob"))
		},
		func() answer { return s.do("GET", p+"harmony?sessionId=s", "", as("bob")) },
		func() answer { return s.do("GET", p+"harmony/metrics?sessionId=s", "", remote) },
		func() answer { return s.do("POST", p+"harmony", `{"sessionId":"s","result":"valid"}`, as("bob")) },
		func() answer { return s.do("GET", p+"windows/s", "", as("bob")) },
		func() answer { return s.do("PUT", p+"windows/s", `{}`, remote) },
		func() answer { return s.do("PUT", p+"windows/s/follow", "", as("bob")) },
		func() answer { return s.do("GET", p+"windows?userId=ann", "", as("bob")) },
		func() answer { return s.do("DELETE", p+"windows/s/follow?userId=ann", "", as("bob")) },
		func() answer { return s.do("GET", p+"frequencies?userId=ann", "", as("bob")) },
		func() answer { return s.do("GET", p+"frequencies/f?userId=ann", "", remote) },
		func() answer { return s.do("POST", p+"frequencies/f/track?userId=ann", "", as("bob")) },
	} {
		who().want(t, 403, "forbidden")
	}
	counts := func(path string, edit string, n float64) {
		t.Helper()
		a := s.do("GET", p+path, "", as(edit))
		a.want(t, 200, "")
		v := a.json(t)
		if got := memberAt(v, "count"); got != n && v["totalChecks"] == nil || v["totalChecks"] != nil && float64(len(v["recentViolations"].([]any))) != n {
			t.Errorf("%s for %s: %s", path, edit, a.body)
		}
	}
	counts("bookmarks", "ann", 2)
	counts("bookmarks", "bob", 1)
	counts("bookmarks?userId="+url.QueryEscape("ann"), "bob", 0)
	counts("harmony?projectId=x", "ann", 2)
	counts("harmony?projectId=x", "bob", 1)
	counts("harmony/metrics?projectId=x", "ann", 2)
	counts("harmony/metrics?projectId=x", "bob", 1)
	counts("frequencies?projectId=x", "bob", 1)
	counts("frequencies?userId=ann", "ann", 1)
	s.do("DELETE", p+"bookmarks/mine", "", as("ann")).want(t, 200, "")
}
