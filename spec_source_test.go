package lifeline_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unnamedReads are the functions that read parameters of a query whose names do not
// stand in the source, and why they need none.
var unnamedReads = map[string]string{
	"events.parseQuery":      "refuses what is given twice",
	"events.parseParameters": "refuses what is given twice",
	"events.parseSeveral":    "refuses what is given twice",
	"events.without":         "refuses what its callers name",
	"events.sinceForEach":    "reads since[<session>], for which see specProbeValues",
}

// queryReads are the parameters of queries that a package's source reads. A name is
// found where it is the constant argument of what reads a query, or of a function that
// hands it on to such.
type queryReads struct {
	files   []*ast.File
	info    types.Info
	names   map[string]bool
	unnamed map[string]bool // functions that read others
	// readers are functions that read the parameter which one of their arguments
	// names: the argument's number.
	readers map[types.Object]int
	queries map[types.Object]bool // variables that are parsed queries
}

// nothing imports nothing: what comes from other packages has no type, and needs none.
type nothing struct{}

func (nothing) Import(path string) (*types.Package, error) {
	return nil, errors.New(path + " is not looked at")
}

func findQueryReads(t *testing.T, sources map[string]string) *queryReads {
	t.Helper()
	q := &queryReads{
		info: types.Info{
			Types: make(map[ast.Expr]types.TypeAndValue), Defs: make(map[*ast.Ident]types.Object), Uses: make(map[*ast.Ident]types.Object),
		},
		names: make(map[string]bool), unnamed: make(map[string]bool), readers: make(map[types.Object]int),
		queries: make(map[types.Object]bool),
	}
	set := token.NewFileSet()
	for path, text := range sources {
		f, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		q.files = append(q.files, f)
	}
	config := types.Config{Importer: nothing{}, Error: func(error) {}}
	_, _ = config.Check("p", set, q.files, &q.info) // what is imported is missing
	for _, f := range q.files {
		q.declarations(f)
	}
	for known := -1; known < len(q.readers); { // until no further function is found
		known = len(q.readers)
		for _, f := range q.files {
			q.file(f)
		}
	}
	return q
}

func (q *queryReads) file(f *ast.File) {
	for _, decl := range f.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if i, ok := q.reader(n); ok && i < len(n.Args) {
					q.name(fn, n.Args[i])
				}
			case *ast.IndexExpr:
				if q.isQuery(n.X) {
					q.name(fn, n.Index)
				}
			case *ast.RangeStmt:
				if q.isQuery(n.X) {
					q.unnamed[fn.Name.Name] = true
				}
			}
			return true
		})
	}
}

// reader reports whether a call reads a parameter of a query, and which of its
// arguments is the parameter's name.
func (q *queryReads) reader(call *ast.CallExpr) (argument int, ok bool) {
	called, _ := call.Fun.(*ast.Ident)
	if fn, method := call.Fun.(*ast.SelectorExpr); method {
		called = fn.Sel
		switch called.Name {
		case "FormValue", "PostFormValue":
			return 0, true
		case "Get", "Has":
			if q.isQuery(fn.X) {
				return 0, true
			}
		}
	}
	if called == nil {
		return 0, false
	}
	argument, ok = q.readers[q.info.Uses[called]]
	return argument, ok
}

// isQuery reports whether an expression is a parsed query.
func (q *queryReads) isQuery(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return q.queries[q.info.Uses[x]]
	case *ast.SelectorExpr:
		return q.queries[q.info.Uses[x.Sel]] || x.Sel.Name == "Form"
	case *ast.CallExpr:
		fn, ok := x.Fun.(*ast.SelectorExpr)
		return ok && (fn.Sel.Name == "Query" || fn.Sel.Name == "ParseQuery")
	}
	return false
}

// declarations notes what is a parsed query: fields and arguments of its type, and
// variables that are given one.
func (q *queryReads) declarations(f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			if of, ok := n.Type.(*ast.SelectorExpr); ok && of.Sel.Name == "Values" {
				for _, name := range n.Names {
					q.queries[q.info.Defs[name]] = true
				}
			}
		case *ast.AssignStmt:
			if name, ok := n.Lhs[0].(*ast.Ident); ok && q.isQuery(n.Rhs[0]) && q.info.Defs[name] != nil {
				q.queries[q.info.Defs[name]] = true
			}
		}
		return true
	})
}

// name notes what a function reads: a constant, or what an argument of its own names.
func (q *queryReads) name(fn *ast.FuncDecl, name ast.Expr) {
	if value := q.info.Types[name].Value; value != nil && value.Kind() == constant.String {
		q.names[constant.StringVal(value)] = true
		return
	}
	if ident, ok := name.(*ast.Ident); ok {
		arguments := 0
		for _, field := range fn.Type.Params.List {
			for _, argument := range field.Names {
				if q.info.Defs[argument] == q.info.Uses[ident] {
					q.readers[q.info.Defs[fn.Name]] = arguments
					return
				}
				arguments++
			}
		}
	}
	q.unnamed[fn.Name.Name] = true
}

// sourceParameters are the names of all query parameters that the packages which
// speak HTTP read.
func sourceParameters(t *testing.T) []string {
	t.Helper()
	all := make(map[string]bool)
	for _, dir := range []string{".", "events", "web"} {
		paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		sources := make(map[string]string)
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sources[path] = string(text)
		}
		reads := findQueryReads(t, sources)
		maps.Copy(all, reads.names)
		for name := range reads.unnamed {
			if unnamedReads[dir+"."+name] == "" {
				t.Errorf("%s.%s reads parameters whose names do not stand there: nothing compares them with docs/openapi.yaml", dir, name)
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Finding too little would prove nothing.
func TestSourceParameters(t *testing.T) {
	reads := findQueryReads(t, map[string]string{"p.go": `package p
		import ("net/http"; "net/url")
		type query struct { values url.Values }
		type parameters struct { q query }
		const named = "f"
		func direct(r *http.Request) { _ = r.URL.Query().Get("a"); _ = r.URL.Query()["b"]; _ = r.FormValue(named) }
		func parsed(s string) { given, _ := url.ParseQuery(s); _ = given.Get("g") }
		func (q query) number(def int, name string) { _ = q.values.Get(name) }
		func (p parameters) count(name string) { p.q.number(1, name) }
		func calls(p parameters) { p.q.number(2, "c"); p.count("d"); _ = p.q.values["e"] }
		func other(q query, names ...string) { for _, n := range names { _ = q.values.Has(n) } }
		func each(values url.Values) { for name := range values { _ = name } }
		type page struct{}
		func (page) count(i int) {}
		func unlike(p page, r *http.Request) { p.count(1); _ = r.Header.Get("H") }`})
	got := fmt.Sprint(slices.Sorted(maps.Keys(reads.names)), slices.Sorted(maps.Keys(reads.unnamed)))
	if want := "[a b c d e f g] [each other]"; got != want {
		t.Errorf("found %s, want %s", got, want)
	}
	names := sourceParameters(t)
	for _, want := range []string{"since", "limit", "types", "wait", "named", "tag", "minConfidence", "userId", "apiKey"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not found among %v", want, names)
		}
	}
}
