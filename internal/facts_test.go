package internal

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A test that fails has to say which fact is wrong, and a sentence must be free to be worded
// better. So a test names a sentence by its catalogue key, and states one fact in one message.
// What is left of the old ways is counted here: the numbers only go down.
const (
	// Sentences in English or French. Those that are left only have words in common with one: names of
	// cases, what the command prints, and the tests of Says itself.
	nailedSentences = 12
	// Conditions of four clauses or more that fail a test.
	longConditions = 0
)

// examples are names that a hint of a form gives as an example, and that tests use too.
var examples = []string{"Meridian Freight"}

var catalogueGap = regexp.MustCompile(`\{\{\.[A-Za-z]+\}\}`)

// pieces returns what catalogues say between their placeholders, where it is long enough to be
// told from a name.
func pieces(t *testing.T, catalogues map[string]string) (all []string) {
	t.Helper()
	for name, text := range catalogues {
		for _, sentence := range strings.Split(sentencesOf(t, name, text), apart) {
			for _, piece := range catalogueGap.Split(sentence, -1) {
				if piece = strings.TrimSpace(piece); len(piece) >= 12 && strings.Contains(piece, " ") {
					all = append(all, piece)
				}
			}
		}
	}
	return all
}

// nails reports whether a text is, has in it or is a good part of what a catalogue says.
func nails(text string, pieces []string) bool {
	text = strings.Join(strings.Fields(text), " ")
	if slices.Contains(examples, text) {
		return false
	}
	part := len(text) >= 16 && strings.Contains(text, " ")
	return slices.ContainsFunc(pieces, func(piece string) bool {
		return strings.Contains(text, piece) || part && strings.Contains(piece, text)
	})
}

// texts returns the strings of a file that its tests compare with something: no messages, no
// names of cases, no keys.
func texts(file *ast.File) (all []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.KeyValueExpr: // a table's key is the name of its case
			if lit, ok := n.Key.(*ast.BasicLit); ok {
				lit.Value = `""`
			}
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Error", "Errorf", "Fatal", "Fatalf", "Log", "Logf", "Case"}, s.Sel.Name) {
				return false
			}
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Run" && len(n.Args) > 0 {
				if lit, ok := n.Args[0].(*ast.BasicLit); ok {
					lit.Value = `""`
				}
			}
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
				all = append(all, text)
			}
		}
		return true
	})
	return all
}

// clauses counts what an expression joins with && and ||.
func clauses(e ast.Expr) int {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return clauses(e.X)
	case *ast.UnaryExpr:
		if e.Op == token.NOT {
			return clauses(e.X)
		}
	case *ast.BinaryExpr:
		if e.Op == token.LAND || e.Op == token.LOR {
			return clauses(e.X) + clauses(e.Y)
		}
	}
	return 1
}

// fails reports whether a block itself, and no block in it, fails a test.
func fails(block *ast.BlockStmt) bool {
	return slices.ContainsFunc(block.List, func(s ast.Stmt) bool {
		e, ok := s.(*ast.ExprStmt)
		if !ok {
			return false
		}
		call, ok := e.X.(*ast.CallExpr)
		if !ok {
			return false
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		return ok && slices.Contains([]string{"Error", "Errorf", "Fatal", "Fatalf"}, f.Sel.Name)
	})
}

func conditions(file *ast.File) (n int) {
	ast.Inspect(file, func(node ast.Node) bool {
		if i, ok := node.(*ast.IfStmt); ok && clauses(i.Cond) >= 4 && fails(i.Body) {
			n++
		}
		return true
	})
	return n
}

// oldWays counts both in the tests of some files.
func oldWays(t *testing.T, files map[string]string, pieces []string) (nailed, long map[string]int, found []string) {
	t.Helper()
	nailed, long = map[string]int{}, map[string]int{}
	for name, text := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if n := conditions(file); n > 0 {
			long[name] = n
		}
		for _, text := range texts(file) {
			if nails(text, pieces) {
				nailed[name]++
				found = append(found, fmt.Sprintf("%s: %q", name, text))
			}
		}
	}
	slices.Sort(found)
	return nailed, long, found
}

// only wants no more than is allowed, and shows the files with most.
func only(t *testing.T, what string, found map[string]int, allowed int) {
	t.Helper()
	sum := 0
	for _, n := range found {
		sum += n
	}
	worst := slices.SortedFunc(maps.Keys(found), func(a, b string) int {
		return cmp.Or(found[b]-found[a], strings.Compare(a, b))
	})
	var list []string
	for _, name := range worst[:min(10, len(worst))] {
		list = append(list, fmt.Sprint(found[name], " ", name))
	}
	switch {
	case sum > allowed:
		t.Errorf("%d %s, at most %d: %s", sum, what, allowed, strings.Join(list, ", "))
	case sum < allowed:
		t.Logf("note: %d %s, %d are allowed: lower the number in facts_test.go", sum, what, allowed)
	}
}

func TestTestsNameSentencesByKeyAndOneFactAMessage(t *testing.T) {
	tests, catalogues := map[string]string{}, map[string]string{}
	for _, name := range repositoryFiles(t, "_test.go") {
		about := []string{"internal/words_test.go", "internal/facts_test.go"} // which are about English themselves
		if !slices.Contains(about, name) && !strings.HasPrefix(name, "internal/i18n/") {
			tests[name] = read(t, name)
		}
	}
	for _, name := range slices.Concat(repositoryFiles(t, ".en.json"), repositoryFiles(t, ".fr.json")) {
		catalogues[name] = read(t, name)
	}
	nailed, long, found := oldWays(t, tests, pieces(t, catalogues))
	only(t, "sentences in English or French, to be named as idptest.Says or idptest.Sentence do", nailed, nailedSentences)
	if t.Failed() {
		t.Log(strings.Join(found, "\n"))
	}
	only(t, "conditions of four clauses that fail a test, to be split or written as idptest.Want or expect.Equal", long, longConditions)
}

// Each of the old ways is found, and nothing that looks like it.
func TestTheOldWaysAreFound(t *testing.T) {
	catalogue := map[string]string{"a.en.json": `{"a.gone": "{{.Name}} has left the building.", "a.n": {"one": "one door is open", "other": "{{.Count}} doors are open"}}`}
	for source, want := range map[string][2]int{
		`p.Says("Elvis has left the building.")`:                                 {1, 0},
		`p.Says("left the building")`:                                            {1, 0},
		`p.Says("one door is open") || p.Says("7 doors are open")`:               {2, 0},
		`p.Says("building") || p.Says("a door is open")`:                         {0, 0},
		`t.Errorf("has left the building.")`:                                     {0, 0},
		`t.Run("has left the building.", f)`:                                     {0, 0},
		`for _, x := range map[string]int{"has left the building.": 1} { f(x) }`: {0, 0},
		`if a || b && c || (!(d == e)) { t.Error() }`:                            {0, 1},
		`if x := f(); a && b && c && d { f(); w.t.Fatalf("x") }`:                 {0, 1},
		`if a || b || c { t.Error() }`:                                           {0, 0},
		`if a || b || c || d { f() }`:                                            {0, 0},
		`if a || b || c || d { if e { t.Error() } }`:                             {0, 0},
	} {
		statement := source
		if !strings.HasPrefix(source, "if") && !strings.HasPrefix(source, "for") {
			statement = "_ = " + source
		}
		nailed, long, _ := oldWays(t, map[string]string{"x_test.go": "package x\nfunc f() {\n" + statement + "\n}"}, pieces(t, catalogue))
		if got := [2]int{nailed["x_test.go"], long["x_test.go"]}; got != want {
			t.Errorf("%s is found %v times, want %v", source, got, want)
		}
	}
}
