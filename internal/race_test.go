package internal

import (
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// The race detector finds only what two goroutines do at the same time, and it makes everything
// several times slower. So './check all' shows it the tests in which goroutines run at the same
// time: all tests of a package that starts some itself and, of the others, each test that starts
// some, or calls a function of its package's tests that does. Nobody keeps a list, so none can
// be forgotten: the script takes the lines that begin with "race: " from this test.
func TestWhatTheRaceDetectorSees(t *testing.T) {
	started := map[string]bool{}                       // folders whose program starts goroutines
	functions := map[string]map[string]*ast.FuncDecl{} // of the tests of a folder
	for _, name := range repositoryFiles(t, ".go") {
		folder := path.Dir(name)
		if functions[folder] == nil {
			functions[folder] = map[string]*ast.FuncDecl{}
		}
		for _, d := range parse(t, name).Decls {
			f, ok := d.(*ast.FuncDecl)
			switch {
			case !ok || f.Body == nil:
			case strings.HasSuffix(name, "_test.go"):
				functions[folder][f.Name.Name] = f
			case starts(f, nil, nil):
				started[folder] = true
			}
		}
	}
	some := 0
	for _, folder := range slices.Sorted(maps.Keys(functions)) {
		var all, concurrent []string
		for name, f := range functions[folder] {
			if !strings.HasPrefix(name, "Test") || name == "TestMain" {
				continue
			}
			all = append(all, name)
			if starts(f, functions[folder], map[string]bool{}) {
				concurrent = append(concurrent, name)
			}
		}
		slices.Sort(concurrent)
		switch {
		case len(all) == 0:
		case started[folder]:
			t.Logf("race: ./%s .", folder)
		case len(concurrent) > 0:
			some += len(concurrent)
			t.Logf("race: ./%s %s", folder, strings.Join(concurrent, "|"))
		}
	}
	if len(started) == 0 || some == 0 {
		t.Errorf("%d packages start goroutines and %d tests do: this test looks past them", len(started), some)
	}
}

// starts reports whether a function, or one of those that it calls, starts a goroutine.
func starts(f *ast.FuncDecl, others map[string]*ast.FuncDecl, seen map[string]bool) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		var called string
		switch n := n.(type) {
		case *ast.GoStmt:
			found = true
		case *ast.SelectorExpr:
			called, found = n.Sel.Name, found || n.Sel.Name == "Go" // of a WaitGroup
		case *ast.Ident:
			called = n.Name
		}
		if other := others[called]; other != nil && !seen[called] {
			seen[called] = true
			found = found || starts(other, others, seen)
		}
		return !found
	})
	return found
}
