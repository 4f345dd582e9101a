package lifeline_test

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/watcher"
)

// specTypes are the types that answers consist of, by the name of their schema.
var specTypes = map[string]any{
	"Breaker": breaker.Stats{}, "Session": storage.Session{}, "Prompt": storage.Prompt{},
	"Chain": storage.Chain{}, "Step": storage.Step{}, "Input": storage.Input{},
	"Command": storage.Command{}, "CommandPayload": storage.CommandPayload{},
	"Frequency": storage.FrequencyRecord{}, "Bookmark": storage.Bookmark{},
	"Pattern": storage.DetectedPattern{}, "PatternSequence": storage.PatternSequence{},
	"HarmonyCheck": storage.HarmonyCheck{}, "HarmonyContext": storage.HarmonyContext{},
	"HarmonyMetrics": storage.HarmonyMetrics{}, "HarmonyDay": storage.HarmonyDay{},
	"Dossier": storage.IntelDossier{}, "DossierEntry": storage.DossierEntry{},
	"Suggestion": storage.SuggestionEntry{}, "Fallback": storage.Fallback{},
	"Watcher": watcher.Status{},
	"Window":  storage.SessionWindowConfig{}, "QuickAction": storage.QuickAction{},
}

// requestOnly are members that a client sends and no answer has.
var requestOnly = map[string][]string{"Session": {"userId"}}

// Records keep members that the hub does not know, so their schemas must allow them;
// those that the hub does know are documented one and all, and no others.
func TestOpenAPIHasTheMembers(t *testing.T) {
	s := loadSpec(t, "openapi.yaml")
	for name, value := range specTypes {
		properties, _ := s.at("/components/schemas/" + name + "/properties").(map[string]any)
		documented := slices.DeleteFunc(slices.Sorted(maps.Keys(properties)), func(member string) bool {
			return slices.Contains(requestOnly[name], member)
		})
		var members []string
		for field := range reflect.TypeOf(value).Fields() {
			if member, _, _ := strings.Cut(field.Tag.Get("json"), ","); member != "-" {
				members = append(members, member)
			}
		}
		if slices.Sort(members); !slices.Equal(documented, members) {
			t.Errorf("%s has the members\n%v and is documented with\n%v", name, members, documented)
		}
	}
}

// Each component is used, each path names its parameters, and each way in is one
// that components describe.
func TestOpenAPIPage(t *testing.T) {
	s := loadSpec(t, "openapi.yaml")
	if s.doc["openapi"] != "3.1.0" {
		t.Errorf("openapi is %v", s.doc["openapi"])
	}
	used := map[string]bool{}
	referred(s.doc, used)
	for kind, components := range s.at("/components").(map[string]any) {
		for name := range components.(map[string]any) {
			if at := "#/components/" + kind + "/" + name; kind != "securitySchemes" && !used[at] {
				t.Errorf("%s is not used", at)
			}
		}
	}
	for name := range s.at("/components/schemas").(map[string]any) {
		if _, err := s.compiler.Compile("spec.json#/components/schemas/" + name); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
	for path, methods := range s.doc["paths"].(map[string]any) {
		for method, operation := range methods.(map[string]any) {
			s.checkOperation(method+" "+path, operation.(map[string]any))
		}
	}
	for _, way := range s.doc["security"].([]any) {
		for scheme := range way.(map[string]any) {
			if s.at("/components/securitySchemes/"+scheme) == nil {
				t.Errorf("there is no security scheme %s", scheme)
			}
		}
	}
}

func (s *spec) checkOperation(name string, operation map[string]any) {
	s.t.Helper()
	known := []string{"operationId", "summary", "tags", "parameters", "requestBody", "responses", "security"}
	for member := range operation {
		if !slices.Contains(known, member) {
			s.t.Errorf("%s has a member %q", name, member)
		}
	}
	inPath := 0
	parameters, _ := operation["parameters"].([]any)
	for _, p := range parameters {
		ref, _ := p.(map[string]any)["$ref"].(string)
		parameter, _ := s.at(strings.TrimPrefix(ref, "#")).(map[string]any)
		in, _ := parameter["in"].(string)
		called, _ := parameter["name"].(string)
		if !slices.Contains([]string{"path", "query", "header"}, in) || called == "" || parameter["schema"] == nil {
			s.t.Errorf("%s: parameter %q is incomplete", name, ref)
		}
		if in == "path" {
			inPath++
			if !strings.Contains(name, "{"+called+"}") || parameter["required"] != true {
				s.t.Errorf("%s: parameter %s is not in its path, or not required", name, called)
			}
		}
	}
	if inPath != strings.Count(name, "{") {
		s.t.Errorf("%s has %d parameters in its path", name, inPath)
	}
	responses, _ := operation["responses"].(map[string]any)
	for status := range responses {
		if status[0] < '1' || status[0] > '5' || len(status) != 3 {
			s.t.Errorf("%s has a response %q", name, status)
		}
	}
	if responses["405"] == nil {
		s.t.Errorf("%s has no response 405", name)
	}
}

// referred collects what a part of a page refers to.
func referred(node any, used map[string]bool) {
	switch node := node.(type) {
	case map[string]any:
		if ref, ok := node["$ref"].(string); ok {
			used[ref] = true
		}
		for _, v := range node {
			referred(v, used)
		}
	case []any:
		for _, v := range node {
			referred(v, used)
		}
	}
}

// checkRequest compares the body of a request with what the page says of the
// operation: what was accepted as a whole must be documented.
func (s *spec) checkRequest(method, template, body string, a answer) {
	s.t.Helper()
	if method != http.MethodPost && method != http.MethodPut || a.status/100 != 2 || a.status == http.StatusMultiStatus {
		return
	}
	at := "/paths/" + pointer.Replace(template) + "/" + strings.ToLower(method) + "/requestBody"
	documented, _ := s.at(at).(map[string]any)
	switch {
	case body == "" && documented["required"] == true:
		s.t.Errorf("%s %s is accepted without a body", method, template)
	case body == "":
	case documented == nil:
		s.t.Errorf("%s %s: a body is not documented", method, template)
	default:
		if err := s.valid(at+"/content/application~1json/schema", body); err != nil {
			s.t.Errorf("%s %s is accepted: %v\n%s", method, template, err, body)
		}
	}
}
