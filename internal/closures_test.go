package internal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A transaction that lost a race runs its closure again. What a closure appends to or adds up
// outside itself then holds the rows of both runs, so each run has to empty it first.
func TestTransactionsBuildOnNothingOfAnEarlierRun(t *testing.T) {
	for _, root := range []string{".", "../cmd", "../examples"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err == nil {
				for _, found := range buildsOn(t, path, string(text)) {
					t.Error(found)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatTransactionsBuildOnIsFound(t *testing.T) {
	for body, want := range map[string]string{
		"ids = append(ids, 1)":                "ids",
		"n++":                                 "n",
		"n += 2":                              "n",
		"s.all = append(s.all, 1)":            "s.all",
		"s.n++":                               "s.n",
		"for range 3 { n++ }":                 "n",
		"ids = nil; ids = append(ids, 1)":     "",
		"ids = ids[:0]; ids = append(ids, 1)": "",
		"n, err = 0, nil; n++":                "",
		"n := 0; n++":                         "",
		"var own []int; own = append(own, 1)": "",
		"for i := 0; i < 3; i++ {}":           "",
		"ids = append([]int{}, 1)":            "",
		"ids[0] = 1":                          "",
	} {
		found := buildsOn(t, "x.go", "package x\nfunc f() { db.Update(func(ctx context.Context, tx *db.Tx) error { "+body+"; return nil }) }")
		got := ""
		for _, line := range found {
			got += strings.Fields(line)[1]
		}
		if got != want {
			t.Errorf("%s: found %q, want %q", body, got, want)
		}
	}
	if found := buildsOn(t, "x.go", "package x\nfunc f() { each(func(i int) { n++ }) }"); len(found) > 0 {
		t.Errorf("a closure without a transaction: %q", found)
	}
}

// buildsOn returns what the closures of a file that are given a transaction add to without having
// declared it or set it first.
func buildsOn(t *testing.T, path, text string) (found []string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		closure, ok := n.(*ast.FuncLit)
		if !ok || !slices.ContainsFunc(closure.Type.Params.List, func(f *ast.Field) bool {
			return slices.Contains([]string{"*db.Tx", "*Tx"}, types.ExprString(f.Type))
		}) {
			return true
		}
		own := map[string]bool{}
		ast.Inspect(closure, func(n ast.Node) bool {
			added := n
			switch n := n.(type) {
			case *ast.Field:
				for _, name := range n.Names {
					own[name.Name] = true
				}
			case *ast.ValueSpec:
				for _, name := range n.Names {
					own[name.Name] = true
				}
			case *ast.RangeStmt:
				for _, e := range []ast.Expr{n.Key, n.Value} {
					if e != nil && n.Tok == token.DEFINE {
						own[types.ExprString(e)] = true
					}
				}
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					name := types.ExprString(left)
					if n.Tok == token.DEFINE || n.Tok == token.ASSIGN && !appends(n, i, name) {
						own[name] = true
					} else if !begun(own, name) {
						found = append(found, set.Position(added.Pos()).String()+": "+name+" is built on in a transaction; empty it there first, the closure may run again")
					}
				}
			case *ast.IncDecStmt:
				if name := types.ExprString(n.X); !begun(own, name) {
					found = append(found, set.Position(added.Pos()).String()+": "+name+" is built on in a transaction; empty it there first, the closure may run again")
				}
			}
			return true
		})
		return false
	})
	return found
}

// appends reports whether an assignment is name = append(name, …).
func appends(n *ast.AssignStmt, i int, name string) bool {
	if i >= len(n.Rhs) {
		return false
	}
	call, ok := n.Rhs[i].(*ast.CallExpr)
	return ok && types.ExprString(call.Fun) == "append" && len(call.Args) > 0 && types.ExprString(call.Args[0]) == name
}

// begun reports whether a name, or what it is a field or an element of, is the closure's own.
func begun(own map[string]bool, name string) bool {
	for {
		if own[name] {
			return true
		}
		i := strings.LastIndexAny(name, ".[")
		if i < 0 {
			return false
		}
		name = name[:i]
	}
}
