package internal

import (
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// asking lists the functions that remember what they read (db.Recall), with the statements whose
// answers they remember: how each begins, as arch_test shows it.
var asking = map[string][]string{
	"session.Recalled":     {"session: select ⟨⟩, x.id is not null from browsers b", "session: join organizations o"},
	"op.held":              {"op: from grants g join clients c", "session: join organizations o", "directory: select ⟨⟩ from members m cross join groups g"},
	"application.Recalled": {"application: select ⟨⟩, s.id, s.used_at from clients c left join client_secrets"},
}

// watchedTables are those whose changes void what is remembered.
func watchedTables(t *testing.T) (tables []string) {
	t.Helper()
	text, err := os.ReadFile("db/watch.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\t"(\w+)":\s+\{row:`).FindAllStringSubmatch(string(text), -1) {
		tables = append(tables, m[1])
	}
	if len(tables) < 5 {
		t.Fatalf("watched are only %q: this test looks past the others", tables)
	}
	return tables
}

// What is remembered is read from watched tables alone: a change of any other would go unheard.
func TestWhatIsRememberedIsReadFromWatchedTables(t *testing.T) {
	watched, found := watchedTables(t), map[string]bool{}
	used := map[string]bool{}
	for _, p := range packages {
		for path, file := range goFiles(t, p.name, false) {
			for _, decl := range file.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				if !ok || p.name == "db" {
					continue
				}
				ast.Inspect(fn, func(n ast.Node) bool {
					if call, ok := n.(*ast.CallExpr); ok && selected(call) == "Ask" && len(call.Args) == 3 {
						if _, reads := call.Args[2].(*ast.FuncLit); !reads {
							return true // another Ask
						}
						name := p.name + "." + fn.Name.Name
						found[name] = true
						if asking[name] == nil {
							t.Errorf("%s: %s remembers something: list its statements", path, name)
						}
					}
					return true
				})
			}
			for _, sql := range textsOf(file) {
				for _, begins := range slices.Concat(asking["session.Recalled"], asking["op.held"], asking["application.Recalled"]) {
					if !strings.HasPrefix(p.name+": "+sql, begins) {
						continue
					}
					used[begins] = true
					for _, m := range reads.FindAllStringSubmatch(sql, -1) {
						if !slices.Contains(watched, m[1]) {
							t.Errorf("%s: what is read from %s is remembered, and nothing tells that it changed: %.80s", path, m[1], sql)
						}
					}
				}
			}
		}
	}
	for name, statements := range asking {
		if !found[name] {
			t.Errorf("%s remembers nothing any more", name)
		}
		for _, begins := range statements {
			if !used[begins] {
				t.Errorf("no statement begins with %q", begins)
			}
		}
	}
}

// A statement that writes a watched table is recognised by its first words, and runs in a
// transaction that tells what it changed: DB.Exec and DB.Lax tell nothing.
func TestWritesOfWatchedTablesAreTold(t *testing.T) {
	watched, told := watchedTables(t), 0
	begins := regexp.MustCompile(`^(insert into|update|delete from) (\w+)( set| \(| where|$)`)
	for _, p := range packages {
		if p.name == "dbtest" {
			continue
		}
		for path, file := range goFiles(t, p.name, false) {
			for _, sql := range textsOf(file) {
				for _, m := range writes.FindAllStringSubmatch(sql, -1) {
					if !slices.Contains(watched, m[1]) {
						continue
					}
					told++
					if first := begins.FindStringSubmatch(sql); first == nil || first[2] != m[1] {
						t.Errorf("%s: a write of %s is not recognised: %.80s", path, m[1], sql)
					}
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || selected(call) != "Exec" && selected(call) != "Lax" || len(call.Args) < 3 {
					return true
				}
				text, isText := flatten(call.Args[2]) // of DB.Exec and DB.Lax; Tx.Exec has its text one place before
				for _, m := range writes.FindAllStringSubmatch(text, -1) {
					if isText && slices.Contains(watched, m[1]) {
						t.Errorf("%s: DB.%s writes %s, and tells nobody: %.80s", path, selected(call), m[1], text)
					}
				}
				return true
			})
		}
	}
	if told < 50 {
		t.Errorf("only %d statements write a watched table: this test looks past the others", told)
	}
}

// selected is the last name of what a call calls.
func selected(call *ast.CallExpr) string {
	if s, ok := call.Fun.(*ast.SelectorExpr); ok {
		return s.Sel.Name
	}
	return ""
}
