package internal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/pelletier/go-toml/v2"

	"parvis/internal/app"
	"parvis/internal/application"
	"parvis/internal/dbtest"
	"parvis/internal/edge"
	"parvis/internal/lifetime"
	"parvis/internal/secret"
)

// The papers say what is. These tests compare them with the code where that can
// be done; what is left is prose, and for people to keep true.

func TestPapersNameTestsThatExist(t *testing.T) {
	exists := map[string]bool{}
	for _, name := range repositoryFiles(t, "_test.go") {
		for _, m := range testFunction.FindAllStringSubmatch(read(t, name), -1) {
			exists[m[1]] = true
		}
	}
	name := regexp.MustCompile(`(-run )?\b((?:Test|Fuzz|Benchmark)[A-Z]\w+)(…)?(?:/([a-z]+))?`)
	for paper, text := range papers(t) {
		for _, m := range name.FindAllStringSubmatch(text, -1) {
			switch pattern := m[1] != "" || m[3] != ""; {
			case pattern && slices.ContainsFunc(slices.Collect(maps.Keys(exists)), func(n string) bool { return strings.HasPrefix(n, m[2]) }):
			case pattern || !exists[m[2]]:
				t.Errorf("%s names %s, which does not exist", paper, m[2])
			case m[2] == "TestScripts" && m[4] != "":
				read(t, "cmd/parvis/testdata/"+m[4]+".txtar")
			}
		}
	}
}

var testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w+)\(`)

// A link leads to a file and, after its #, to a heading; a path in backticks exists.
func TestPapersNameFilesThatExist(t *testing.T) {
	all := papers(t)
	for name, text := range all {
		for _, m := range regexp.MustCompile(`\]\(([^):#]*)(?:#([^)]*))?\)`).FindAllStringSubmatch(text, -1) {
			target := name
			if m[1] != "" {
				target = path.Join(path.Dir(name), m[1])
			}
			if _, err := os.Stat("../" + target); err != nil {
				t.Errorf("%s links to %s, which is not there", name, target)
			} else if m[2] != "" && !slices.Contains(headings(all[target]), m[2]) {
				t.Errorf("%s links to #%s, which %s has not", name, m[2], target)
			}
		}
		for _, m := range regexp.MustCompile("`((?:internal|cmd|docs|e2e|tools)/[a-z0-9_./-]+)`").FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat("../" + m[1]); err != nil {
				t.Errorf("%s names %s, which is not there", name, m[1])
			}
		}
		for _, m := range regexp.MustCompile("`([a-z_-]+\\.md)`").FindAllStringSubmatch(text, -1) {
			if all[m[1]] == "" && all["docs/"+m[1]] == "" {
				t.Errorf("%s names the paper %s, which is not there", name, m[1])
			}
		}
	}
}

// headings are the anchors of a page.
func headings(text string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-':
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return all
}

// `internal/page/form.go: maxForm = 64 << 10` stands in that file, so a number
// that changes there must change in the paper.
func TestPapersQuoteTheCode(t *testing.T) {
	found := 0
	for name, text := range papers(t) {
		for _, m := range regexp.MustCompile("`([a-z0-9_/]+\\.go): ([^`]+)`").FindAllStringSubmatch(text, -1) {
			found++
			quoted := regexp.MustCompile(`\b` + strings.ReplaceAll(regexp.QuoteMeta(m[2]), " ", `\s+`) + `(\s|,|$)`)
			if !quoted.MatchString(read(t, m[1])) {
				t.Errorf("%s: %s does not say %s", name, m[1], m[2])
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d quotations found: this test looks past them", found)
	}
}

// lines are how many numbered lines each section of the journeys has.
var lines = []int{6, 7, 4, 2, 8, 7, 7, 7, 9}

func TestFeaturesHasARowForEveryLine(t *testing.T) {
	found := map[string]bool{}
	for _, r := range rows(read(t, "docs/features.md")) {
		if !regexp.MustCompile(`^\d\.\d$`).MatchString(r[0]) {
			continue
		}
		if found[r[0]] {
			t.Errorf("%s stands twice", r[0])
		}
		found[r[0]] = true
		if len(r) != 4 || r[1] == "" || !slices.Contains([]string{"works", "not yet"}, r[2]) {
			t.Errorf("%s: %q is no row", r[0], r)
		} else if r[2] == "works" && r[3] == "" {
			t.Errorf("%s works, and no test shows it", r[0])
		}
	}
	wanted := 0
	for section, n := range lines {
		for line := range n {
			wanted++
			if name := fmt.Sprintf("%d.%d", section+1, line+1); !found[name] {
				t.Errorf("no row for %s", name)
			}
		}
	}
	if len(found) != wanted {
		t.Errorf("%d rows, want %d", len(found), wanted)
	}
}

// areas are those that the page covers so far, with the number of requirements in each.
var areas = map[string]int{
	"DOC": 4, "PWD": 12, "MFA": 8, "PSK": 8, "AUT": 9, "REC": 9, "INV": 6, "SES": 11, "WEB": 8, "INP": 7, "CRY": 6, "CFG": 4, "LOG": 7, "RES": 5,
	"TEN": 11, "SML": 10, "RPO": 8, "OPR": 15, "API": 7, "SCM": 5,
}

func TestRequirementsPageIsComplete(t *testing.T) {
	found := map[string][]string{}
	for _, r := range rows(read(t, "docs/requirements.md")) {
		if strings.HasPrefix(r[0], "R-") {
			found[r[0]] = r
		}
	}
	wanted := 0
	for area, n := range areas {
		for i := range n {
			wanted++
			id := fmt.Sprintf("R-%s-%02d", area, i+1)
			r, ok := found[id]
			switch {
			case !ok:
				t.Errorf("no row for %s", id)
			case len(r) != 4 || !slices.Contains([]string{"holds", "partly", "later"}, r[2]):
				t.Errorf("%s: %q is no row", id, r)
			case r[2] == "holds" && !regexp.MustCompile("`(Test|Fuzz)").MatchString(r[3]):
				t.Errorf("%s holds, and no test shows it", id)
			}
		}
	}
	if len(found) != wanted {
		t.Errorf("%d rows, want %d", len(found), wanted)
	}
}

func TestLimitsPageShowsThePolicies(t *testing.T) {
	shown := map[string][]string{}
	for _, r := range rows(read(t, "docs/limits.md")) {
		if len(r) == 7 {
			shown[r[0]] = r
		}
	}
	for _, p := range app.Policies {
		want := []string{strconv.Itoa(p.Free), inWords(p.First), inWords(p.Most), inWords(p.Forget)}
		if r := shown["`"+p.Name+"`"]; r == nil || !slices.Equal(r[2:6], want) {
			t.Errorf("%s is shown as %q, it is %q", p.Name, r, want)
		}
	}
	if n := len(shown) - 2; n != len(app.Policies) { // less the head of the table
		t.Errorf("%d policies are shown, there are %d", n, len(app.Policies))
	}
	made := 0
	for _, name := range repositoryFiles(t, ".go") {
		if !strings.HasSuffix(name, "_test.go") {
			made += strings.Count(read(t, name), "limit.Policy{Name:")
		}
	}
	if made != len(app.Policies) {
		t.Errorf("the code makes %d policies, app.Policies lists %d", made, len(app.Policies))
	}
}

func inWords(d time.Duration) string {
	for _, u := range []struct {
		length time.Duration
		name   string
	}{{time.Hour, "h"}, {time.Minute, "min"}} {
		if d%u.length == 0 {
			return fmt.Sprint(int(d/u.length), " ", u.name)
		}
	}
	return fmt.Sprint(int(d/time.Second), " s")
}

// routes lists what the whole program answers to.
func routes(t *testing.T) []edge.Route {
	t.Helper()
	d, _ := dbtest.Open(t)
	a, err := app.New(app.Settings{
		DB: d, Keys: secret.NewKeys(), Base: &url.URL{Scheme: "https", Host: "parvis.test"},
		From: "no-reply@parvis.test", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return a.Site.Routes()
}

// The routes are those of the whole program, and the one that serve adds. The operations of the API
// are listed by its own document, docs/openapi.json.
func TestInventoryHasEveryRoute(t *testing.T) {
	want := map[string]string{"GET " + constant(t, "cmd/parvis/identity.go", "identityPath"): "anyone"}
	for _, r := range routes(t) {
		if r.Access != "a token" || !strings.Contains(r.Pattern, " ") {
			want[r.Pattern] = r.Access
		}
	}
	got := map[string]string{}
	for _, r := range rows(section(t, "docs/inventory.md", "Routes")) {
		if strings.HasPrefix(r[0], "`") {
			got[strings.Trim(r[0], "`")] = r[1]
		}
	}
	differ(t, "route", got, want)
}

func TestInventoryHasEveryField(t *testing.T) {
	want := map[string]string{}
	for _, pkg := range []string{"web", "console"} {
		fields := map[string]string{"nil": ""}
		for _, file := range goFiles(t, pkg, false) {
			ast.Inspect(file, func(n ast.Node) bool {
				if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
					if list, ok := v.Values[0].(*ast.CompositeLit); ok {
						fields[v.Names[0].Name] = strings.Join(stringsIn(list), " ")
					}
					if call, ok := v.Values[0].(*ast.CallExpr); ok && fmt.Sprint(call.Fun) == "settingFields" {
						fields[v.Names[0].Name] = strings.Join(append(fieldsOfPart(t, call.Args[0].(*ast.SelectorExpr).Sel.Name), stringsIn(call)...), " ")
					}
				}
				return true
			})
		}
		for _, file := range goFiles(t, pkg, false) {
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || !strings.HasSuffix(called(call), "Form") {
					return true
				}
				for i, arg := range call.Args {
					if paths := stringsIn(arg); len(paths) == 1 && strings.HasPrefix(paths[0], "/") {
						name := call.Args[i+1].(*ast.Ident).Name
						list, known := fields[name]
						if !known {
							t.Errorf("the fields %s of %s are not found", name, paths[0])
						}
						if asks := 7; len(call.Args) == asks { // the page that asks first sends it
							list = strings.TrimSpace(list + " confirmed")
						}
						want["POST "+paths[0]] = list
					}
				}
				return true
			})
		}
	}
	got := map[string]string{}
	for _, r := range rows(section(t, "docs/inventory.md", "Inputs")) {
		if name := strings.Trim(r[0], "`"); strings.HasPrefix(r[0], "`") && !strings.Contains(name, "`") {
			got[name] = strings.Trim(strings.ReplaceAll(r[1], "`", ""), "–")
		}
	}
	differ(t, "form", got, want)
}

// fieldsOfPart are the fields of the settings of an application in one part, by its name in Go.
func fieldsOfPart(t *testing.T, name string) (all []string) {
	parts := map[string]application.Part{
		"TilePart": application.TilePart, "SignInPart": application.SignInPart, "ClaimsPart": application.ClaimsPart, "TokensPart": application.TokensPart,
	}
	for _, s := range application.Table {
		if s.Part == parts[name] {
			all = append(all, slices.DeleteFunc(slices.Clone(s.Fields()), func(f string) bool { return slices.Contains(all, f) })...)
		}
	}
	if all == nil {
		t.Errorf("there is no part %s", name)
	}
	return all
}

// What only tests or measurements use is no part of the program.
var notShipped = []string{"internal/authenticator", "internal/dbtest", "internal/federation/providertest", "internal/federation/samltest", "internal/idptest", "cmd/bench", "cmd/chaos"}

func TestInventoryHasEveryUseOfCryptography(t *testing.T) {
	users := map[string][]string{}
	for _, name := range repositoryFiles(t, ".go") {
		folder := path.Dir(name)
		if strings.HasSuffix(name, "_test.go") || slices.Contains(notShipped, folder) {
			continue
		}
		for _, spec := range parse(t, name).Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			if regexp.MustCompile(`^(crypto|golang.org/x/crypto|math/rand)(/|$)`).MatchString(imported) && !slices.Contains(users[imported], folder) {
				users[imported] = append(users[imported], folder)
			}
		}
	}
	want := map[string]string{}
	for name, folders := range users {
		want[name] = inOrder(folders)
	}
	got := map[string]string{}
	for _, r := range rows(section(t, "docs/inventory.md", "Cryptography")) {
		if len(r) == 3 && strings.HasPrefix(r[0], "`") {
			got[strings.Trim(r[0], "`")] = inOrder(strings.Fields(r[1]))
		}
	}
	differ(t, "import", got, want)
}

func TestInventoryHasEveryTable(t *testing.T) {
	want, got := map[string]string{}, map[string]string{}
	for _, p := range packages {
		for _, table := range strings.Fields(p.tables) {
			want[table] = ""
		}
	}
	for _, r := range rows(section(t, "docs/inventory.md", "Data")) {
		if strings.HasPrefix(r[0], "`") {
			got[strings.Trim(r[0], "`")] = ""
		}
	}
	differ(t, "table", got, want)
}

func TestDependenciesPageIsGoMod(t *testing.T) {
	const most = 25
	want, got := map[string]string{}, map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(?:require )?\s*(\S+\.\S+/\S+) v\S+$`).FindAllStringSubmatch(read(t, "go.mod"), -1) {
		want[m[1]] = ""
	}
	inTests := 0
	for _, r := range rows(section(t, "docs/dependencies.md", "Tests only")) {
		if strings.HasPrefix(r[0], "`") {
			inTests++
		}
	}
	if product := len(want) - inTests; product > most || product <= 0 {
		t.Errorf("%d direct dependencies of the product, at most %d", product, most)
	}
	packaging, _, _ := strings.Cut(read(t, "packaging/go.mod"), ")") // the first block has the direct ones
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(packaging, -1) {
		want[m[1]] = ""
	}
	tools, _, _ := strings.Cut(read(t, "tools/go.mod"), "require")
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+)$`).FindAllStringSubmatch(tools, -1) {
		want[m[1]] = ""
	}
	var browser struct{ DevDependencies, Dependencies map[string]string }
	if err := json.Unmarshal([]byte(read(t, "e2e/package.json")), &browser); err != nil {
		t.Fatal(err)
	}
	for _, names := range []map[string]string{browser.DevDependencies, browser.Dependencies} {
		for name := range names {
			want[name] = ""
		}
	}
	for _, r := range rows(read(t, "docs/dependencies.md")) {
		if name := strings.Trim(r[0], "`"); strings.HasPrefix(r[0], "`") && !strings.HasPrefix(name, "internal/") {
			got[name] = ""
			if slices.Contains(r, "") {
				t.Errorf("%s lacks its reason or licence", name)
			}
		}
	}
	differ(t, "dependency", got, want)
}

// Another libc than the one that SQLite was translated with breaks it at run time.
func TestLibcIsTheOneThatSQLiteWants(t *testing.T) {
	version := regexp.MustCompile(`(?m)^\s*modernc\.org/libc (v\S+)`)
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.GoMod}}", "modernc.org/sqlite").Output()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(string(bytes.TrimSpace(out)))
	if err != nil {
		t.Fatal(err)
	}
	want, got := version.FindSubmatch(theirs), version.FindStringSubmatch(read(t, "go.mod"))
	if want == nil || got == nil || string(want[1]) != got[1] {
		t.Errorf("modernc.org/libc is %q, SQLite wants %q", got, want)
	}
}

// The example in docs/settings.md is a whole file: every setting, those commented out
// included, and no other.
func TestSettingsPageShowsEverySetting(t *testing.T) {
	block := regexp.MustCompile("(?s)```toml\n(.*?)```").FindStringSubmatch(read(t, "docs/settings.md"))
	if block == nil {
		t.Fatal("no configuration in docs/settings.md")
	}
	if block[1] != read(t, "cmd/parvis/example.toml") {
		t.Error("the file in docs/settings.md is not cmd/parvis/example.toml: go test ./cmd/parvis -run TheExample -update")
	}
	var tree map[string]any
	if err := toml.Unmarshal([]byte(regexp.MustCompile(`(?m)^#([a-z[])`).ReplaceAllString(block[1], "$1")), &tree); err != nil {
		t.Fatal(err)
	}
	want, got := map[string]string{}, map[string]string{}
	for name, value := range tree {
		if section, ok := value.(map[string]any); ok {
			for inner := range section {
				got[name+"."+inner] = ""
			}
			continue
		}
		got[name] = ""
	}
	ast.Inspect(parse(t, "cmd/parvis/settings.go"), func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.Name == "Config" {
			settings("", spec.Type.(*ast.StructType), want)
		}
		return true
	})
	differ(t, "setting", got, want)
}

func settings(prefix string, s *ast.StructType, into map[string]string) {
	for _, f := range s.Fields.List {
		name := prefix + reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("toml")
		inner, ok := f.Type.(*ast.StructType)
		if name == "lifetimes" { // the one section whose type stands elsewhere
			for t := range reflect.TypeFor[lifetime.Overrides]().Fields() {
				into[name+"."+t.Tag.Get("toml")] = ""
			}
			continue
		}
		if ok {
			settings(name+".", inner, into)
			continue
		}
		into[name] = ""
	}
}

func TestOperatorsPagesNameEveryCommand(t *testing.T) {
	pages := read(t, "docs/operations.md") + read(t, "docs/applications.md") + read(t, "docs/settings.md") + read(t, "docs/upgrade.md") + read(t, "docs/operate.md") + read(t, "README.md")
	for file, structs := range map[string]map[string]string{
		"cmd/parvis/main.go":         {"commands": "parvis "},
		"cmd/parvis/organization.go": {"organizationCommands": "parvis organization "},
		"cmd/parvis/user.go":         {"userCommands": "parvis user "},
		"cmd/parvis/application.go":  {"applicationCommands": "parvis application ", "secretCommands": "parvis application secret "},
	} {
		found := 0
		ast.Inspect(parse(t, file), func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || structs[spec.Name.Name] == "" {
				return true
			}
			for _, f := range spec.Type.(*ast.StructType).Fields.List {
				found++
				name := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("name")
				if name == "" {
					name = strings.ToLower(f.Names[0].Name)
				}
				if command := structs[spec.Name.Name] + name; !strings.Contains(pages, command) {
					t.Errorf("no operator's page names %q", command)
				}
			}
			return false
		})
		if found == 0 {
			t.Errorf("%s has no commands: this test looks past them", file)
		}
	}
}

func TestDecisionsHaveOneForm(t *testing.T) {
	entries, err := os.ReadDir("../docs/decisions")
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		text := read(t, "docs/decisions/"+e.Name())
		if !regexp.MustCompile(`^\d{4}-[a-z0-9-]+\.md$`).MatchString(e.Name()) || !strings.HasPrefix(e.Name(), fmt.Sprintf("%04d-", i+1)) ||
			!strings.HasPrefix(text, fmt.Sprintf("# %d. ", i+1)) {
			t.Errorf("%s is not number %d", e.Name(), i+1)
		}
		for _, part := range []string{"\n**Context.** ", "\n**Decision.** ", "\n**Consequences.** "} {
			if !strings.Contains(text, part) {
				t.Errorf("%s has no %s", e.Name(), strings.TrimSpace(part))
			}
		}
	}
}

// docs/invariants.md: one way to a session. complete asks Next before it opens.
func TestOnlyCompleteOpensTheDoor(t *testing.T) {
	var callers []string
	for _, p := range packages {
		for name, file := range goFiles(t, p.name, false) {
			for _, d := range file.Decls {
				ast.Inspect(d, func(n ast.Node) bool {
					if call, ok := n.(*ast.CallExpr); ok && called(call) == "Sessions.Issue" {
						callers = append(callers, name+" "+d.(*ast.FuncDecl).Name.Name)
					}
					return true
				})
			}
		}
	}
	if want := []string{"signin/service.go complete"}; !slices.Equal(callers, want) {
		t.Errorf("sessions are opened by %v", callers)
	}
}

// --- Reading ------------------------------------------------------------------

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parse(t *testing.T, name string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, read(t, name), 0)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// repositoryFiles lists the files of ours whose name ends in one of these ways.
func repositoryFiles(t *testing.T, suffixes ...string) (names []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(".."), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // somebody's temporary file
		case err != nil:
			return err
		case e.IsDir() && name != "." && (e.Name()[0] == '.' || e.Name() == "node_modules" || e.Name() == "testdata"):
			return fs.SkipDir
		case !e.IsDir() && slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) }):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func papers(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range repositoryFiles(t, ".md") {
		all[name] = read(t, name)
	}
	return all
}

// rows are the cells of a page's tables, their heads included.
func rows(text string) (all [][]string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || !strings.HasSuffix(line, "|") {
			continue
		}
		cells := strings.Split(line[1:len(line)-1], "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		all = append(all, cells)
	}
	return all
}

// section is what stands under a heading of the second level.
func section(t *testing.T, name, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(read(t, name), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %s", name, heading)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	return rest
}

func constant(t *testing.T, file, name string) (value string) {
	t.Helper()
	ast.Inspect(parse(t, file), func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && v.Names[0].Name == name {
			value = strings.Join(stringsIn(v), "")
		}
		return true
	})
	if value == "" {
		t.Fatalf("%s has no constant %s", file, name)
	}
	return value
}

func stringsIn(n ast.Node) (all []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if s, err := strconv.Unquote(l.Value); err == nil {
				all = append(all, s)
			}
		}
		return true
	})
	return all
}

// called is the function of a call, with what it is called on.
func called(call *ast.CallExpr) string {
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	switch on := s.X.(type) {
	case *ast.Ident:
		return on.Name + "." + s.Sel.Name
	case *ast.SelectorExpr:
		return on.Sel.Name + "." + s.Sel.Name
	}
	return "." + s.Sel.Name
}

func inOrder(words []string) string { return strings.Join(slices.Sorted(slices.Values(words)), " ") }

// differ compares what a paper shows with what the code has.
func differ(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if len(want) == 0 {
		t.Errorf("no %s found in the code: this test looks past them", what)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if value, ok := got[name]; !ok {
			t.Errorf("the paper lacks the %s %s (%s)", what, name, want[name])
		} else if value != want[name] {
			t.Errorf("the paper shows the %s %s with %q, the code has %q", what, name, value, want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("the paper shows the %s %s, which is not there", what, name)
		}
	}
}
