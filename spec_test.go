package lifeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/actionflows/lifeline/events"
)

// spec is a page of docs/ that describes the protocol for tools.
type spec struct {
	t        *testing.T
	doc      map[string]any
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema
}

func loadSpec(t *testing.T, page string) *spec {
	t.Helper()
	text, err := os.ReadFile("docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatalf("%s: %v", page, err)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatalf("%s: %v", page, err)
	}
	if doc, err = jsonschema.UnmarshalJSON(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	s := &spec{t: t, doc: doc.(map[string]any), compiler: jsonschema.NewCompiler(), schemas: make(map[string]*jsonschema.Schema)}
	s.compiler.AssertFormat()
	if err := s.compiler.AddResource("spec.json", doc); err != nil {
		t.Fatal(err)
	}
	s.references(s.doc)
	return s
}

// references checks that each $ref leads somewhere.
func (s *spec) references(node any) {
	s.t.Helper()
	switch node := node.(type) {
	case map[string]any:
		if ref, ok := node["$ref"].(string); ok && s.at(strings.TrimPrefix(ref, "#")) == nil {
			s.t.Errorf("$ref %q leads nowhere", ref)
		}
		for _, v := range node {
			s.references(v)
		}
	case []any:
		for _, v := range node {
			s.references(v)
		}
	}
}

var pointer = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")

// at is what a JSON pointer leads to, and nil where there is nothing.
func (s *spec) at(path string) any {
	var node any = s.doc
	for _, part := range strings.Split(path, "/")[1:] {
		part = strings.NewReplacer("~1", "/", "~0", "~", "%7B", "{", "%7D", "}").Replace(part)
		m, ok := node.(map[string]any)
		if !ok {
			return nil
		}
		node = m[part]
	}
	return node
}

// valid checks a JSON text against the schema at a pointer.
func (s *spec) valid(pointer, text string) error {
	s.t.Helper()
	schema := s.schemas[pointer]
	if schema == nil {
		var err error
		if schema, err = s.compiler.Compile("spec.json#" + pointer); err != nil {
			s.t.Fatalf("%s: %v", pointer, err)
		}
		s.schemas[pointer] = schema
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// followed is a pointer behind the $ref that stands there.
func (s *spec) followed(at string) string {
	m, _ := s.at(at).(map[string]any)
	if ref, ok := m["$ref"].(string); ok {
		return strings.TrimPrefix(ref, "#")
	}
	return at
}

// checkAnswer compares an answer with what the page says of the operation.
func (s *spec) checkAnswer(method, template string, a answer) {
	s.t.Helper()
	name := fmt.Sprintf("%s %s: %d", method, template, a.status)
	documented := method
	if method == http.MethodHead {
		documented = http.MethodGet
	}
	if a.status == http.StatusMethodNotAllowed { // what the other methods of the path document
		methods, _ := s.at("/paths/" + pointer.Replace(template)).(map[string]any)
		documented = slices.Sorted(maps.Keys(methods))[0]
	}
	at := s.followed(fmt.Sprintf("/paths/%s/%s/responses/%d", pointer.Replace(template), strings.ToLower(documented), a.status))
	response, ok := s.at(at).(map[string]any)
	if !ok {
		s.t.Errorf("%s is not documented: %.200s", name, a.raw)
		return
	}
	headers, _ := response["headers"].(map[string]any)
	for _, h := range []string{"Allow", "Retry-After", "Lifeline-Degraded"} {
		_, documented := headers[h]
		got := a.header.Get(h)
		if must := documented && h != "Lifeline-Degraded"; must && got == "" || got != "" && !documented {
			s.t.Errorf("%s has %s %q, documented: %v", name, h, got, documented)
		}
	}
	content, _ := response["content"].(map[string]any)
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	switch {
	case method == http.MethodHead:
	case len(content) == 0 && a.raw != "":
		s.t.Errorf("%s has a body: %.200s", name, a.raw)
	case len(content) == 0 || kind == "text/event-stream" && content[kind] != nil:
	case content[kind] == nil:
		s.t.Errorf("%s is of type %q, not %v", name, kind, slices.Collect(maps.Keys(content)))
	default:
		if err := s.valid(at+"/content/"+pointer.Replace(kind)+"/schema", a.raw); err != nil {
			s.t.Errorf("%s: %v\n%.500s", name, err, a.raw)
		}
	}
}

// template is a path of events.Routes as OpenAPI writes it.
func template(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

// The paths and methods are those of the server, and no others.
func TestOpenAPIHasTheRoutes(t *testing.T) {
	s := loadSpec(t, "openapi.yaml")
	served := map[string]bool{}
	for _, operation := range []string{"reset", "trip", "hold", "release"} {
		served["POST /api/health/circuit-breakers/{breaker}/"+operation] = true
	}
	served["GET "+statusPath], served["GET "+statusStream] = true, true
	for _, r := range events.Routes() {
		for method := range strings.SplitSeq(r.Allow, ", ") {
			if method != http.MethodHead && method != http.MethodOptions {
				served[method+" "+template(r.Path)] = true
			}
		}
	}
	ids := map[string]string{}
	for path, methods := range s.doc["paths"].(map[string]any) {
		for method, operation := range methods.(map[string]any) {
			name := strings.ToUpper(method) + " " + path
			if !served[name] {
				t.Errorf("%s is documented and not served", name)
			}
			delete(served, name)
			id, _ := operation.(map[string]any)["operationId"].(string)
			if id == "" || ids[id] != "" {
				t.Errorf("%s has the operationId %q, as has %q", name, id, ids[id])
			}
			ids[id] = name
		}
	}
	for name := range served {
		t.Errorf("%s is served and not documented", name)
	}
}

// specSite lets nobody in but by key or as the user that a proxy names.
const specSite = "\t\tapi_key k\n\t\tuser {http.request.header.Remote-User}\n\t\tbreaker_admin alice\n\t\tdashboard\n"

// Every operation's answers, good and bad, are as the page says.
func TestOpenAPIAnswers(t *testing.T) {
	spec := loadSpec(t, "openapi.yaml")
	s := start(t, site("\tlifeline {\n\t\tstorage disk DIR/hub\n\t\twatch_root DIR\n\t\tmax_message 4KiB\n\t}", specSite+"\t\tpoll_rate 1000 1s"))
	const key = "Authorization: Bearer k"
	command := s.seed(key)
	for _, r := range walk(t, command) {
		for _, headers := range [][]string{{}, {key}} { // refused, then answered
			a := s.specRequest(r.method, r.path, r.body, append(headers, asJSON)...)
			if r.method == http.MethodOptions {
				continue
			}
			_, path, _ := strings.Cut(r.name, " ")
			spec.checkAnswer(r.method, template(path), a)
			spec.checkRequest(r.method, template(path), r.body, a)
			if refused := len(headers) == 0; refused != (a.status == http.StatusUnauthorized) && path != "/health" {
				t.Errorf("%s: %v", r.name, a)
			}
		}
		_, path, _ := strings.Cut(r.name, " ")
		if a := s.specRequest("PATCH", r.path, "", key); a.status != http.StatusMethodNotAllowed {
			t.Errorf("PATCH %s: %v", path, a)
		} else {
			spec.checkAnswer("PATCH", template(path), a)
		}
	}
	for _, probe := range specProbes {
		fields := strings.SplitN(probe.request, " ", 3)
		headers := append([]string{key}, probe.headers...)
		if !strings.Contains(strings.Join(headers, " "), "Content-Type") {
			headers = append(headers, asJSON)
		}
		if probe.user != "" {
			headers = append(headers[1:], "Remote-User: "+probe.user)
		}
		target := strings.Replace(fields[1], "COMMAND", url.PathEscape(command), 1) // which the walk has acknowledged
		body := strings.Replace(probe.body, "WORKDIR", s.dir, 1)
		a := s.specRequest(fields[0], target, body, headers...)
		if a.status != probe.status {
			t.Errorf("%s is answered %v, want %d", probe.request, a, probe.status)
		}
		spec.checkAnswer(fields[0], probe.path, a)
		if !strings.Contains(strings.Join(headers, " "), "ndjson") {
			spec.checkRequest(fields[0], probe.path, body, a)
		}
	}
}

// specRequest makes a request, of whose stream it reads nothing.
func (s *server) specRequest(method, path, body string, headers ...string) answer {
	s.t.Helper()
	if method != http.MethodGet || !strings.HasPrefix(path, "/api/events/stream") && path != statusStream {
		return s.do(method, path, body, headers...)
	}
	ctx, stop := context.WithTimeout(s.t.Context(), patience)
	defer stop()
	got := s.open(ctx, path, headers)
	defer got.Body.Close()
	a := answer{status: got.StatusCode, header: got.Header}
	if a.status != http.StatusOK {
		var b bytes.Buffer
		_, _ = b.ReadFrom(got.Body)
		a.raw = b.String()
	}
	return a
}

// specProbes are requests beside those of the walk, with the path that they are of.
var specProbes = []struct {
	request, path, body string
	status              int
	headers             []string
	user                string
}{
	{request: "POST /api/events", path: "/api/events", body: `{"type":"a:b","sessionId":"s","id":"twice"}`, status: 201},
	{request: "POST /api/events", path: "/api/events", body: `{"type":"a:b","sessionId":"s","id":"twice"}`, status: 200},
	{request: "POST /api/events", path: "/api/events", body: `[{"type":"a:b","sessionId":"s"},{"type":"a:b","sessionId":"s"}]`, status: 201},
	{request: "POST /api/events", path: "/api/events", body: `[{"type":"a:b","sessionId":"s"},{"type":"wrong"}]`, status: 207},
	{request: "POST /api/events", path: "/api/events", body: `{"type":"a:b","sessionId":"s"}`, status: 201, headers: []string{"Content-Type: application/x-ndjson"}},
	{request: "POST /api/events", path: "/api/events", body: `[{"type":"wrong"}]`, status: 400},
	{request: "POST /api/events", path: "/api/events", body: `{`, status: 400},
	{request: "POST /api/events", path: "/api/events", body: `x`, status: 415, headers: []string{"Content-Type: text/plain"}},
	{request: "POST /api/events", path: "/api/events", body: `{"x":"` + strings.Repeat("x", 5000) + `"}`, status: 413},
	{request: "GET /api/events/s?limit=0", path: "/api/events/{sessionId}", status: 400},
	{request: "GET /api/events/s?since=nonsense", path: "/api/events/{sessionId}", status: 400},
	{request: "GET /api/events/s?limit=1", path: "/api/events/{sessionId}", status: 200},
	{request: "GET /api/events/s?since=v1.0.0-0", path: "/api/events/{sessionId}", status: 200}, // a gap
	{request: "GET /api/events/unknown", path: "/api/events/{sessionId}", status: 200},
	{request: "GET /api/events/poll", path: "/api/events/poll", status: 400},
	{request: "GET /api/events/poll/unknown?wait=1ms", path: "/api/events/poll/{sessionId}", status: 200},
	{request: "GET /api/events/stream/s?since=x", path: "/api/events/stream/{sessionId}", status: 400},
	{request: "GET /api/sessions/none", path: "/api/sessions/{sessionId}", status: 404},
	{request: "GET /api/sessions/mine", path: "/api/sessions/{sessionId}", status: 404, user: "alice"},
	{request: "POST /api/sessions", path: "/api/sessions", body: `{"id":"mine"}`, status: 201, user: "alice"},
	{request: "POST /api/sessions", path: "/api/sessions", body: `{"id":"mine"}`, status: 200, user: "alice"},
	{request: "POST /api/sessions", path: "/api/sessions", body: `{"id":5}`, status: 400},
	{request: "POST /api/sessions", path: "/api/sessions", body: `{"id":"watched","cwd":"WORKDIR"}`, status: 201, user: "alice"},
	{request: "GET /api/health/circuit-breakers", path: "/api/health/circuit-breakers", status: 200},
	{request: "POST /api/sessions", path: "/api/sessions", body: `{"id":"watched","cwd":"WORKDIR"}`, status: 200, user: "alice"},
	{request: "POST /api/sessions", path: "/api/sessions", body: `{"id":"unwatched","cwd":"/etc"}`, status: 201, user: "alice"},
	{request: "POST /api/sessions", path: "/api/sessions", body: `{"id":"nowhere","cwd":"\u0000"}`, status: 400, user: "alice"},
	{request: "GET /api/sessions/mine", path: "/api/sessions/{sessionId}", status: 403, user: "bob"},
	{request: "GET /api/events/mine", path: "/api/events/{sessionId}", status: 403, user: "bob"},
	{request: "PUT /api/sessions/none", path: "/api/sessions/{sessionId}", body: `{"status":"failed"}`, status: 404},
	{request: "POST /api/events", path: "/api/events", body: `{"type":"chain:compiled","sessionId":"mine","chainId":"c","title":"t","steps":[{"stepNumber":1,"action":"a"}]}`, status: 201},
	{request: "GET /api/sessions/mine/input?wait=1ms", path: "/api/sessions/{sessionId}/input", status: 200},
	{request: "POST /api/sessions/mine/commands", path: "/api/sessions/{sessionId}/commands", body: `{"type":"dance"}`, status: 400},
	{request: "POST /api/commands/COMMAND/ack", path: "/api/commands/{commandId}/ack", status: 404},
	{request: "GET /api/records/bookmarks/none", path: "/api/records/bookmarks/{id}", status: 404},
	{request: "GET /api/records/harmony", path: "/api/records/harmony", status: 400},
	{request: "POST /api/health/circuit-breakers/disk/trip", path: "/api/health/circuit-breakers/{breaker}/trip", body: `{"cause":"a test"}`, status: 200, user: "alice"},
	{request: "POST /api/events", path: "/api/events", body: `{"type":"a:b","sessionId":"s"}`, status: 503},
	{request: "POST /api/events", path: "/api/events", body: `[{"type":"a:b","sessionId":"s"}]`, status: 503},
	{request: "GET /api/events/s?limit=0", path: "/api/events/{sessionId}", status: 400}, // degraded, as are the next
	{request: "GET /api/sessions/mine", path: "/api/sessions/{sessionId}", status: 403, user: "bob"},
	{request: "POST /health", path: "/health", status: 405},
	{request: "GET /health", path: "/health", status: 200},
	{request: "GET /lifeline/status", path: statusPath, status: 200},
	{request: "HEAD /lifeline/status", path: statusPath, status: 200},
	{request: "GET /lifeline/status", path: statusPath, status: 200, user: "alice"}, // with a tripped breaker
	{request: "GET /lifeline/status", path: statusPath, status: 403, user: "bob"},
	{request: "POST /lifeline/status", path: statusPath, status: 405},
	{request: "GET /lifeline/status/stream", path: statusStream, status: 200},
	{request: "GET /lifeline/status/stream", path: statusStream, status: 403, user: "bob"},
	{request: "PUT /lifeline/status/stream", path: statusStream, status: 405},
	{request: "GET /ws", path: "/ws", status: 426},
	{request: "GET /api/events/s", path: "/api/events/{sessionId}", status: 200},
	{request: "PUT /api/records/windows/s", path: "/api/records/windows/{id}", body: `{}`, status: 503},
	{request: "GET /api/health/circuit-breakers", path: "/api/health/circuit-breakers", status: 200},
	{request: "POST /api/health/circuit-breakers/disk/hold", path: "/api/health/circuit-breakers/{breaker}/hold", body: `{"state":"disabled","for":"10m"}`, status: 200, user: "alice"},
	{request: "GET /api/health/circuit-breakers", path: "/api/health/circuit-breakers", status: 200},
	{request: "POST /api/health/circuit-breakers/disk/hold", path: "/api/health/circuit-breakers/{breaker}/hold", body: `{"state":"melted"}`, status: 400, user: "alice"},
	{request: "POST /api/health/circuit-breakers/disk/trip", path: "/api/health/circuit-breakers/{breaker}/trip", body: `{"cause":"` + strings.Repeat("x", 5000) + `"}`, status: 413, user: "alice"},
	{request: "PUT /api/health/circuit-breakers/disk/trip", path: "/api/health/circuit-breakers/{breaker}/trip", status: 405, user: "alice"},
	{request: "POST /api/health/circuit-breakers/disk/release", path: "/api/health/circuit-breakers/{breaker}/release", status: 200, user: "alice"},
	{request: "POST /api/health/circuit-breakers/disk/reset", path: "/api/health/circuit-breakers/{breaker}/reset", status: 200, user: "alice"},
	{request: "POST /api/health/circuit-breakers/disk/reset", path: "/api/health/circuit-breakers/{breaker}/reset", status: 403, user: "bob"},
	{request: "POST /api/health/circuit-breakers/none/reset", path: "/api/health/circuit-breakers/{breaker}/reset", status: 404, user: "alice"},
}
