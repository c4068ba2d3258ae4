package federation_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parvis/internal/i18n"
)

// Journeys 7.7: whatever a sign-in fails at, the administrator reads what was looked at and what to
// change. The test collects the names from the code: the arguments of Require, of Check, of findings
// and refusals, and of the functions that make one of these.
func TestEveryCheckIsExplained(t *testing.T) {
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, folder := range []string{".", "saml", "oidc"} {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				checkNames(t, file, names)
			}
		}
	}
	if len(names) < 60 {
		t.Errorf("only %d names found: has the way to write them changed?", len(names))
	}
	for _, language := range catalogue.Languages() {
		in := catalogue.In(language.Tag)
		for name, file := range names {
			for _, key := range []string{"federation.check." + name, "federation.fix." + name} {
				if strings.HasPrefix(in.Text(key), "[") {
					t.Errorf("%s has the check %s, and the catalogue in %s no %s", file, name, language.Tag, key)
				}
			}
		}
	}
}

// checkNames collects the names of checks in a file.
func checkNames(t *testing.T, file string, names map[string]string) {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := func(e ast.Expr) {
		if text, ok := e.(*ast.BasicLit); ok && text.Kind == token.STRING {
			if s, err := strconv.Unquote(text.Value); err == nil {
				names[s] = file
			}
		}
	}
	called := func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.Ident:
			return e.Name
		case *ast.SelectorExpr:
			return e.Sel.Name
		}
		return ""
	}
	// Which argument of a function is the check's name.
	argument := map[string]int{"Require": 0, "equal": 0, "note": 1, "fetch": 2, "notOver": 0, "requireSubject": 1}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if i, ok := argument[called(n.Fun)]; ok && i < len(n.Args) {
				name(n.Args[i])
			}
		case *ast.CompositeLit:
			if kind := called(n.Type); kind == "finding" && len(n.Elts) > 0 {
				name(n.Elts[0])
			}
			for _, e := range n.Elts {
				if pair, ok := e.(*ast.KeyValueExpr); ok && called(pair.Key) == "Name" && (n.Type == nil && !sealed(n) || called(n.Type) == "Check") {
					name(pair.Value)
				}
			}
		case *ast.ValueSpec:
			for i, id := range n.Names {
				refusal := called(n.Type) == "Refusal" || strings.HasPrefix(id.Name, "check")
				if refusal && i < len(n.Values) {
					name(n.Values[i])
				}
			}
		}
		return true
	})
}

// sealed reports whether a value says where a column is sealed, which has a name too.
func sealed(n *ast.CompositeLit) bool {
	return slices.ContainsFunc(n.Elts, func(e ast.Expr) bool {
		pair, ok := e.(*ast.KeyValueExpr)
		name, named := (*ast.Ident)(nil), false
		if ok {
			name, named = pair.Key.(*ast.Ident)
		}
		return named && name.Name == "Purpose"
	})
}
