package lifeline_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// specProbeValues are, for each parameter, a value that no route that reads it can
// answer as if it were not there.
var specProbeValues = map[string]string{
	"since": "nonsense", "before": "nonsense", "limit": "0", "seconds": "0", "wait": "nonsense", "types": "nonsense",
	"since[<session>]": "nonsense", "Last-Event-ID": "nonsense", "session": "poll", "named": "1",
	"status": "nonsense", "user": "nobody", "after": "zzz", "projectId": "told", "userId": "nobody", "category": "nonsense",
	"tag": "nonsense", "patternType": "nonsense", "minConfidence": "2", "sessionId": "nobody", "result": "nonsense", "formatType": "nonsense",
}

// specProbeEffects are where a parameter shows whose effect is in no answer: what is
// listed there.
var specProbeEffects = map[string]string{
	"POST /api/records/frequencies/{id}/track projectId": "/api/records/frequencies?projectId=told",
}

// specProbeQueries are what a request has without a probe.
var specProbeQueries = map[string]string{
	"/api/events/stream/{sessionId}": "since=1970-01-01T00:00:00Z",
	"/api/events/stream":             "session=free&session=s&since=1970-01-01T00:00:00Z",
	"/api/events/poll":               "session=free&session=s",
	"/api/records/harmony":           "sessionId=s",
	"/api/records/harmony/metrics":   "sessionId=s",
}

// documentedParameters are those of an operation in its query and header, by the name
// as in specProbeValues.
func (s *spec) documentedParameters(method, template string) map[string]bool {
	names := make(map[string]bool)
	list, _ := s.at("/paths/" + pointer.Replace(template) + "/" + strings.ToLower(method) + "/parameters").([]any)
	for _, p := range list {
		ref, _ := p.(map[string]any)["$ref"].(string)
		parameter, _ := s.at(strings.TrimPrefix(ref, "#")).(map[string]any)
		schema, _ := parameter["schema"].(map[string]any)
		switch patterns, _ := schema["patternProperties"].(map[string]any); {
		case parameter["in"] == "path":
		case patterns != nil: // each member is a parameter of its own
			for pattern := range patterns {
				names[strings.NewReplacer("^", "", "$", "", `\`, "", ".+", "<session>").Replace(pattern)] = true
			}
		default:
			names[parameter["name"].(string)] = true
		}
	}
	return names
}

// probe is a request with one parameter more, or instead.
func (s *server) probe(r walkedRoute, query, name string, headers []string) answer {
	s.t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		s.t.Fatal(err)
	}
	switch name {
	case "":
	case "Last-Event-ID":
		headers = append(slices.Clone(headers), name+": "+specProbeValues[name])
	case "since[<session>]":
		values.Set("since[s]", specProbeValues[name])
	default:
		values.Set(name, specProbeValues[name])
	}
	path, _, _ := strings.Cut(r.path, "?")
	if path += "?" + values.Encode(); strings.HasPrefix(r.path, "/api/events/stream") {
		return s.streamStart(path, headers)
	}
	return s.do(r.method, path, r.body, append(headers, asJSON)...)
}

// streamStart is the beginning of a stream, up to its first event, or why there is none.
func (s *server) streamStart(path string, headers []string) answer {
	s.t.Helper()
	ctx, stop := context.WithTimeout(s.t.Context(), patience)
	defer stop()
	got := s.open(ctx, path, headers)
	defer got.Body.Close()
	a := answer{status: got.StatusCode, header: got.Header}
	for lines := bufio.NewScanner(got.Body); lines.Scan(); {
		if a.raw += lines.Text() + "\n"; strings.HasPrefix(lines.Text(), "data:") {
			return a
		}
	}
	if a.status == http.StatusOK {
		s.t.Fatalf("GET %s ends after %q", path, a.raw)
	}
	return a
}

// changing is what two answers to the same request need not have in common.
var changing = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z?|"uptime":[0-9.]+`)

// probers are an API key, who names users, and a user, who names others in vain.
var probers = []string{"Authorization: Bearer k", "Remote-User: alice"}

// probes answers which of the parameters a route reads: it refuses what is wrong with
// them, or answers otherwise than without them. Who changes something or takes
// something away can only be refused.
func (s *server) probes(r walkedRoute, query string, names []string) map[string]bool {
	s.t.Helper()
	read := make(map[string]bool)
	for _, who := range probers {
		without := s.probe(r, query, "", []string{who})
		if without.status == http.StatusBadRequest {
			s.t.Errorf("%s?%s: %v", r.name, query, without)
		}
		for _, name := range names {
			with := s.probe(r, query, name, []string{who})
			refused := with.status == http.StatusBadRequest || with.status == http.StatusForbidden
			switch {
			case strings.Contains(with.raw, `"unknown parameter`): // that it is not read
			case refused && without.status != with.status:
				read[name] = true
			case r.method != http.MethodGet || strings.HasSuffix(r.path, "/input"):
			case changing.ReplaceAllString(with.raw, "") != changing.ReplaceAllString(without.raw, ""):
				read[name] = true
			}
		}
	}
	return read
}

// Each route reads the parameters that are documented for it, and no others of all that
// any route reads.
func TestOpenAPIHasTheParameters(t *testing.T) {
	spec := loadSpec(t, "openapi.yaml")
	s := start(t, site("\tlifeline {\n\t\tstorage disk DIR/hub\n\t}", specSite+"\t\tpoll_rate 100000 1s"))
	command := s.seed(probers[0])
	names := append(sourceParameters(t), "since[<session>]", "Last-Event-ID")
	names = slices.DeleteFunc(names, func(name string) bool {
		return spec.at("/components/securitySchemes/"+name+"/in") == "query" // every route reads it
	})
	probed := slices.Sorted(maps.Keys(specProbeValues))
	if slices.Sort(names); !slices.Equal(names, probed) {
		t.Errorf("the source reads the parameters\n%v and probed are\n%v", names, probed)
	}
	for _, r := range walk(t, command) {
		if r.method == http.MethodOptions || r.method == http.MethodHead {
			continue
		}
		_, path, _ := strings.Cut(r.name, " ")
		path = template(path)
		documented := spec.documentedParameters(r.method, path)
		read := s.probes(r, specProbeQueries[path], names)
		for _, name := range names {
			if effect := specProbeEffects[fmt.Sprintf("%s %s %s", r.method, path, name)]; effect != "" {
				read[name] = read[name] || s.get(effect, probers[0]).body["count"] != 0.0
			}
			if read[name] != documented[name] {
				t.Errorf("%s %s: parameter %s is read: %v, documented: %v", r.method, path, name, read[name], documented[name])
			}
			delete(documented, name)
		}
		for name := range documented {
			t.Errorf("%s %s: parameter %s is documented and nowhere read", r.method, path, name)
		}
	}
}

// toldQuery is a path with its query as docs/protocol.md has them.
var toldQuery = regexp.MustCompile("`(?:[A-Z]+ )?(/?[a-z][a-zA-Z/:]*)\\?([a-zA-Z][^` ]*=[^` ]*)`")

// docs/protocol.md tells the same parameters of the same paths.
func TestProtocolPageHasTheParameters(t *testing.T) {
	spec := loadSpec(t, "openapi.yaml")
	documented := make(map[string]map[string]bool)
	for path, methods := range spec.doc["paths"].(map[string]any) {
		all := make(map[string]bool)
		for method := range methods.(map[string]any) {
			maps.Copy(all, spec.documentedParameters(method, path))
		}
		delete(all, "Last-Event-ID") // is in no query
		if len(all) > 0 {
			documented[anyNames.ReplaceAllString(path, "{}")] = all
		}
	}
	page, err := os.ReadFile("docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for row := range strings.Lines(string(page)) {
		if !strings.HasPrefix(row, "|") {
			continue
		}
		for _, told := range toldQuery.FindAllStringSubmatch(row, -1) {
			path := told[1]
			if path[0] != '/' {
				path = "/api/records/" + path
			}
			path = anyNames.ReplaceAllString(path, "{}")
			names := make(map[string]bool)
			for part := range strings.SplitSeq(told[2], "&") {
				name, _, _ := strings.Cut(part, "=")
				names[name] = true
			}
			if !maps.Equal(names, documented[path]) {
				t.Errorf("%s has the parameters %v, in openapi.yaml %v", told[0], slices.Sorted(maps.Keys(names)), slices.Sorted(maps.Keys(documented[path])))
			}
			delete(documented, path)
		}
	}
	for path, names := range documented {
		t.Errorf("%s has the parameters %v, in no table of protocol.md", path, slices.Sorted(maps.Keys(names)))
	}
}

// anyNames are the names of parts of a path, which the pages give as they like.
var anyNames = regexp.MustCompile(`:[a-zA-Z]+|\{[a-zA-Z]+\}`)
