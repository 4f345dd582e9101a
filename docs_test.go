package lifeline

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"strings"
	"testing"
)

// TestSettingsAreDocumented: the documentation of the JSON configuration is made of doc
// comments, so every setting has one, which says what happens without it.
func TestSettingsAreDocumented(t *testing.T) {
	all, err := parser.ParseDir(token.NewFileSet(), ".", func(info fs.FileInfo) bool { //nolint:staticcheck // build tags do not matter here
		return !strings.HasSuffix(info.Name(), "_test.go")
	}, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	settings := 0
	ast.Inspect(all["lifeline"], func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || !spec.Name.IsExported() {
			return true
		}
		structure, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range structure.Fields.List {
			if field.Tag == nil || !strings.Contains(field.Tag.Value, "json:") {
				continue
			}
			settings++
			name := spec.Name.Name + "." + field.Names[0].Name
			switch doc := field.Doc.Text(); {
			case doc == "":
				t.Errorf("%s has no doc comment", name)
			case !strings.Contains(doc, "Default") && !strings.Contains(doc, "Required"):
				t.Errorf("%s does not say what happens without it: %s", name, doc)
			}
		}
		return true
	})
	if settings < 70 {
		t.Errorf("only %d settings were looked at", settings)
	}
}
