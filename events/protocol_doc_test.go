package events

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

// constants are the constants of a file whose names begin with prefix, as they stand
// there.
func constants(t *testing.T, file, prefix string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			if strings.HasPrefix(name.Name, prefix) && i < len(spec.Values) {
				if value, ok := spec.Values[i].(*ast.BasicLit); ok {
					found[name.Name] = value.Value
				}
			}
		}
		return true
	})
	return found
}

// protocolTable is the rows of the table of docs/protocol.md that begins with a
// column of this title.
func protocolTable(t *testing.T, title string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n| "+title+" |")
	if !found {
		t.Fatalf("there is no table %q", title)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	for _, line := range strings.Split(table, "\n")[2:] {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		rows = append(rows, cells)
	}
	return rows
}

// provoke has every error code answered, as often as there are ways.
func provoke(t *testing.T) (codes map[string]bool) {
	t.Helper()
	codes = make(map[string]bool)
	b := newMemory(t)
	if _, err := b.SetSession(t.Context(), storage.Session{ID: "ann's", User: "ann"}); err != nil {
		t.Fatal(err)
	}
	for range storage.MaxInputs {
		if _, err := b.PushInput(t.Context(), "full", "", []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	h := newTestHub(t, b, limits(Limits{MaxSubscriptions: 1}))
	c := connect(t, hubServer(t, h), "?user=bob")
	down := newFake()
	down.readErr = &storage.UnavailableError{Reason: "x"}
	away := connect(t, hubServer(t, newTestHub(t, down)), "")
	ask := func(c *wsClient, message string) {
		c.send("%s", message)
		m := c.want(`{"type":"error","payload":"<string>","code":"<string>"}`)
		codes[m["code"].(string)] = true
	}
	ask(c, `{`)
	ask(c, `{"type":1}`)
	ask(c, `{"type":"sing"}`)
	ask(c, `{"type":"subscribe"}`)
	ask(c, `{"type":"subscribe","sessionId":"a","since":"yesterday"}`)
	ask(c, `{"type":"subscribe","sessionId":"ann's"}`)
	ask(c, `{"type":"input","sessionId":"full","payload":1}`)
	c.subscribe("a")
	ask(c, `{"type":"subscribe","sessionId":"b"}`)
	ask(away, `{"type":"subscribe","sessionId":"a"}`)
	return codes
}

// The list of error codes in docs/protocol.md is closed: it has those of the code,
// and each can happen.
func TestErrorCodesAreDocumented(t *testing.T) {
	var inCode, inDocs []string
	for _, value := range constants(t, "wsmessage.go", "code") {
		code, err := strconv.Unquote(value)
		if err != nil {
			t.Fatal(err)
		}
		inCode = append(inCode, code)
	}
	for _, row := range protocolTable(t, "`code`") {
		inDocs = append(inDocs, strings.Trim(row[0], "`"))
		if len(row) != 3 {
			t.Errorf("row %q has no twin", row)
		}
	}
	slices.Sort(inCode)
	slices.Sort(inDocs)
	if !slices.Equal(inCode, inDocs) {
		t.Errorf("the code has %v, docs/protocol.md %v", inCode, inDocs)
	}
	if provoked := slices.Sorted(maps.Keys(provoke(t))); !slices.Equal(provoked, inDocs) {
		t.Errorf("provoked were %v, documented are %v", provoked, inDocs)
	}
}

// httpTwins are the statuses with which HTTP answers what each error code tells on a
// WebSocket.
func httpTwins(t *testing.T) map[string]int {
	t.Helper()
	s := newTestSite(t, mixedSite)
	rated := newTestSite(t)
	away := newTestSite(t, func(_ *Site, b *siteBackend, _ *Config) {
		b.read = func(context.Context, storage.LogQuery) (storage.LogPage, error) {
			return storage.LogPage{}, &storage.UnavailableError{Reason: "x"}
		}
	})
	if _, err := s.Hub.store().SetSession(t.Context(), storage.Session{ID: "ann's", User: "ann"}); err != nil {
		t.Fatal(err)
	}
	for range storage.MaxInputs {
		if _, err := s.Hub.store().PushInput(t.Context(), "full", "", []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	rated.put(t, "a", "1")
	rated.do("GET", "/api/events/poll/a", "").want(t, 200, "")
	return map[string]int{
		codeBadJSON:     s.do("POST", "/api/events", `{`).status,
		codeBadMessage:  s.do("POST", "/api/events", `{"type":1,"sessionId":"a"}`).status,
		codeUnknownType: s.do("POST", "/api/events", `{"type":"sing","sessionId":"a"}`).status,
		codeBadSession:  s.do("POST", "/api/events", `{"type":"a:b"}`).status,
		codeBadCursor:   s.do("GET", "/api/events/a?since=yesterday", "").status,
		codeTooManySubs: rated.do("GET", "/api/events/poll/a", "").status,
		codeForbidden:   s.do("GET", "/api/events/ann's", "", as("bob")).status,
		codeInputFull:   s.do("POST", "/api/sessions/full/input", "1", as("bob")).status,
		codeUnavailable: away.do("GET", "/api/events/a", "").status,
	}
}

// What the table says of HTTP is what HTTP answers.
func TestErrorCodesHaveTheirTwins(t *testing.T) {
	twins := httpTwins(t)
	for _, row := range protocolTable(t, "`code`") {
		if code := strings.Trim(row[0], "`"); strconv.Itoa(twins[code]) != row[2] {
			t.Errorf("%s: HTTP answers %d, docs/protocol.md says %s", code, twins[code], row[2])
		}
	}
}

// The same for the codes of a close.
func TestCloseCodesAreDocumented(t *testing.T) {
	var inCode, inDocs []string
	for _, file := range []string{"wsread.go", "wsconn.go", "websocket.go", "access.go"} {
		for _, prefix := range []string{"close", "Close"} {
			for _, value := range constants(t, file, prefix) {
				if len(value) == 4 { // closeNone is none
					inCode = append(inCode, value)
				}
			}
		}
	}
	for _, row := range protocolTable(t, "Close") {
		inDocs = append(inDocs, regexp.MustCompile(`\d{4}`).FindAllString(row[0], -1)...)
	}
	slices.Sort(inCode)
	slices.Sort(inDocs)
	if !slices.Equal(inCode, inDocs) {
		t.Errorf("the code has %v, docs/protocol.md %v", inCode, inDocs)
	}
}
