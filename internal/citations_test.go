package internal

import (
	"fmt"
	"go/ast"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parvis/internal/audit"
)

// A citation sends its reader somewhere. These tests see that the reader arrives: at a
// decision, at a name in the code, at a requirement, an attack or a line of the journeys.

// citing are all texts of ours that may cite something, by the name of their file.
func citing(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range repositoryFiles(t, ".go", ".sql", ".md", ".mjs", ".js", ".css", ".html", ".en.json", ".fr.json", "check") {
		if name != "internal/citations_test.go" { // whose examples are wrong on purpose
			all[name] = read(t, name)
		}
	}
	return all
}

// prose joins the lines of a comment, so that what is cited may stand on the next one.
func prose(text string) string { return lineOfComment.ReplaceAllString(text, " ") }

var (
	lineOfComment = regexp.MustCompile(`\n\s*(?:(?://|--|\*|#)\s*)?`)
	namedDecision = regexp.MustCompile(`\b[dD]ecisions? (\d+(?:(?:, and |, | and | or )\d+)*)`)
	linkToOne     = regexp.MustCompile(`\[(?:[dD]ecision )?(\d+)\]\([a-z/.]*?(\d{4})-[a-z0-9-]+\.md`)
	number        = regexp.MustCompile(`\d+`)
)

// lostDecisions returns the decisions that a text cites and that do not exist, and the links
// that show another number than that of the record they lead to.
func lostDecisions(text string, exists map[int]bool) (lost []string) {
	if !strings.Contains(text, "ecision") && !strings.Contains(text, "](0") {
		return nil
	}
	text = prose(text)
	for _, m := range namedDecision.FindAllStringSubmatch(text, -1) {
		for _, n := range number.FindAllString(m[1], -1) {
			if i, err := strconv.Atoi(n); err != nil || !exists[i] {
				lost = append(lost, "decision "+n)
			}
		}
	}
	for _, m := range linkToOne.FindAllStringSubmatch(text, -1) {
		if strings.TrimLeft(m[1], "0") != strings.TrimLeft(m[2], "0") {
			lost = append(lost, m[0])
		}
	}
	return lost
}

func TestCitedDecisionsExist(t *testing.T) {
	entries, err := os.ReadDir("../docs/decisions")
	if err != nil {
		t.Fatal(err)
	}
	exists := map[int]bool{}
	for i := range entries { // TestDecisionsHaveOneForm: they are numbered without a gap
		exists[i+1] = true
	}
	count := 0
	for name, text := range citing(t) {
		count += strings.Count(text, "ecision 00")
		for _, lost := range lostDecisions(text, exists) {
			t.Errorf("%s cites %s, which leads nowhere", name, lost)
		}
	}
	if count < 50 {
		t.Errorf("found only %d: this test looks past them", count)
	}
}

// names are what the code declares.
type names struct {
	all      map[string]bool            // every name of a package, type, method or field
	packages map[string]map[string]bool // by package, tests included: its names, its methods, and both as Type.Name
	types    map[string]map[string]bool // by type: its methods and fields
}

func (n names) add(pkg, owner, name string) {
	if n.packages[pkg] == nil {
		n.packages[pkg] = map[string]bool{}
	}
	if n.types[owner] == nil {
		n.types[owner] = map[string]bool{}
	}
	n.all[name] = true
	if owner == "" {
		n.packages[pkg][name] = true
		return
	}
	n.packages[pkg][owner+"."+name] = true
	n.types[owner][name] = true
}

func (n names) read(pkg string, file *ast.File) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			n.add(pkg, "", d.Name.Name)
			if d.Recv != nil {
				n.add(pkg, typeName(d.Recv.List[0].Type), d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.ValueSpec:
					for _, id := range s.Names {
						n.add(pkg, "", id.Name)
					}
				case *ast.TypeSpec:
					n.add(pkg, "", s.Name.Name)
					n.readType(pkg, s)
				}
			}
		}
	}
}

func (n names) readType(pkg string, s *ast.TypeSpec) {
	var fields *ast.FieldList
	switch is := s.Type.(type) {
	case *ast.StructType:
		fields = is.Fields
	case *ast.InterfaceType:
		fields = is.Methods
	default:
		return
	}
	for _, f := range fields.List {
		for _, id := range f.Names {
			n.add(pkg, s.Name.Name, id.Name)
		}
		if len(f.Names) == 0 {
			_, embedded, _ := strings.Cut("."+typeName(f.Type), ".")
			n.add(pkg, s.Name.Name, embedded[strings.LastIndex(embedded, ".")+1:])
		}
	}
}

var (
	inBackticks = regexp.MustCompile("`([^`\n]+)`")
	dottedName  = regexp.MustCompile(`(?:^|[^\w./"-])([A-Za-z]\w*)\.([A-Za-z]\w*)(?:\.([A-Za-z]\w*))?`)
	bareName    = regexp.MustCompile(`^[a-z]+[A-Z]\w*$`)
	fileEnding  = regexp.MustCompile(`^(go|js|mjs|md|json|css|html|sql|ini|toml|yml|txtar)$`)
)

// lost are the names in backticks that the code does not have: pkg.Name, pkg.Type.Method,
// Type.Method and, where asked for, names that stand alone.
func (n names) lost(text string, bare bool) (lost []string) {
	for _, quoted := range inBackticks.FindAllStringSubmatch(text, -1) {
		if bare && bareName.MatchString(quoted[1]) && !n.all[quoted[1]] {
			lost = append(lost, quoted[1])
		}
		for _, m := range dottedName.FindAllStringSubmatch(quoted[1], -1) {
			pkg, isPackage := n.packages[m[1]]
			is, isType := n.types[m[1]]
			switch {
			case fileEnding.MatchString(m[2]):
			case isPackage && !pkg[strings.TrimSuffix(m[2]+"."+m[3], ".")], !isPackage && isType && !is[m[2]]:
				lost = append(lost, strings.TrimLeft(m[0], " (*[!&="))
			}
		}
	}
	return lost
}

// ofOthers are papers about programs of others, whose names are theirs.
var ofOthers = []string{"docs/recipes.md", "docs/integrate.md", "docs/scim.md"}

func TestPapersNameCodeThatExists(t *testing.T) {
	n := names{map[string]bool{}, map[string]map[string]bool{}, map[string]map[string]bool{}}
	for _, name := range repositoryFiles(t, ".go") {
		file := parse(t, name)
		n.read(strings.TrimSuffix(file.Name.Name, "_test"), file)
	}
	for _, o := range operations(t) { // some are called as a type is, with a dot
		if of, what, _ := strings.Cut(o, "."); n.types[of] != nil {
			n.types[of][what] = true
		}
	}
	for action := range audit.Actions { // so are what the audit log knows
		if of, what, _ := strings.Cut(string(action), "."); n.types[of] != nil {
			n.types[of][what] = true
		} else if n.packages[of] != nil {
			n.packages[of][what] = true
		}
	}
	for name, text := range papers(t) {
		for _, lost := range n.lost(text, !slices.Contains(ofOthers, name)) {
			t.Errorf("%s names %s, which the code does not have", name, lost)
		}
	}
}

// ids are what the papers define: a requirement or an attack by its name, a line of the
// journeys by its number.
type ids map[string]bool

var (
	citedID     = regexp.MustCompile(`(?:^|[^\w-])((?:R-)?([A-Z]{1,3})-\d{1,2})\b`)
	journeys    = regexp.MustCompile(`\b[jJ]ourneys? (\d\.\d(?:(?:, and |, | and )\d\.\d)*)`)
	issues      = regexp.MustCompile(`\b[iI]ssue [1-9]\d*\b`) // which come with no checkout
	testWithIDs = regexp.MustCompile(`(?m)^func (?:Test|Fuzz)((?:[A-Z]{3}\d+)+)`)
	idInName    = regexp.MustCompile(`([A-Z]{3})(\d+)`)
	row         = regexp.MustCompile(`^(?:(?:R-)?[A-Z]{3}-\d+|\d\.\d)$`)
)

// standards are the families of ids that others define.
var standards = strings.Fields("SHA UTF UTC BSD GPL MPL")

func (have ids) lost(text string) (lost []string) {
	named := inNames(text)
	for _, m := range citedID.FindAllStringSubmatch(text, -1) {
		if !have[m[1]] && !slices.Contains(standards, m[2]) {
			lost = append(lost, m[1])
		}
	}
	if strings.Contains(text, "ourney") {
		text = prose(text)
	}
	for _, m := range journeys.FindAllStringSubmatch(text, -1) {
		for line := range strings.FieldsSeq(strings.NewReplacer(",", " ", "and", " ").Replace(m[1])) {
			if !have[line] {
				lost = append(lost, "journeys "+line)
			}
		}
	}
	lost = append(lost, issues.FindAllString(text, -1)...)
	for id := range named {
		family, n, _ := strings.Cut(id, "-")
		if requirement := fmt.Sprintf("R-%s-%02s", family, n); !have[id] && !have[requirement] && !slices.Contains(standards, family) {
			lost = append(lost, id+" in the name of a test")
		}
	}
	slices.Sort(lost)
	return lost
}

// inNames are the ids in the names of tests, such as ENU-1 of TestENU1….
func inNames(text string) ids {
	found := ids{}
	for _, m := range testWithIDs.FindAllStringSubmatch(text, -1) {
		for _, id := range idInName.FindAllStringSubmatch(m[1], -1) {
			found[id[1]+"-"+strings.TrimLeft(id[2], "0")] = true
		}
	}
	return found
}

// An id that is cited has its row, and an attack has a test.
func TestIdsAreInThePapers(t *testing.T) {
	have, tested := ids{}, ids{}
	attacks := rows(read(t, "docs/attacks.md"))
	for _, r := range slices.Concat(attacks, rows(read(t, "docs/requirements.md")), rows(read(t, "docs/features.md"))) {
		if row.MatchString(r[0]) {
			have[r[0]] = true
		}
	}
	for name, text := range citing(t) {
		for _, lost := range have.lost(text) {
			t.Errorf("%s cites %s, which no paper of ours explains", name, lost)
		}
		if strings.HasSuffix(name, "_test.go") {
			maps.Copy(tested, inNames(text))
		}
	}
	for _, r := range attacks {
		if !row.MatchString(r[0]) {
			continue
		}
		if len(r) != 4 || slices.Contains(r, "") {
			t.Errorf("docs/attacks.md has %q, which is no row", r)
		}
		if !tested[r[0]] {
			t.Errorf("docs/attacks.md has %q, which no test tries", r)
		}
	}
}

// A citation that leads nowhere is found, and one that leads somewhere is let be.
func TestWrongCitationsAreFound(t *testing.T) {
	code := names{map[string]bool{}, map[string]map[string]bool{}, map[string]map[string]bool{}}
	code.add("web", "", "Mount")
	code.add("web", "", "submitAttempt")
	code.add("web", "Server", "submitAttempt")
	decisions := map[int]bool{3: true, 31: true}
	have := ids{"TEN-6": true, "R-TEN-06": true, "R-REC-08": true, "2.3": true}
	for text, want := range map[string]string{
		"// Why (decision 0031).":                         "",
		"// Why (decisions 0003,\n// 0031 and 0032).":     "decision 0032",
		"// Why: decision\n\t// 99 says it.":              "decision 99",
		"-- Decision 4 says it":                           "decision 4",
		"as [3](docs/decisions/0003-no-redirect.md) says": "",
		"as [3](decisions/0031-what-another.md) says":     "[3](decisions/0031-what-another.md",
	} {
		if got := strings.Join(lostDecisions(text, decisions), ", "); got != want {
			t.Errorf("%q: lost are %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"`web.Mount`, `web.submitAttempt(v)`, `Server.submitAttempt`, `*web.Server.submitAttempt`": "",
		"`http.Server`, `web.go`, `internal/web/web.go`, `\"web.some_key\"`, `parvis`":             "",
		"`web.proveAttempt`":        "web.proveAttempt",
		"`web.Server.proveAttempt`": "web.Server.proveAttempt",
		"`Server.proveAttempt`":     "Server.proveAttempt",
		"`f(web.Gone())`":           "web.Gone",
		"`proveAttempt`":            "proveAttempt",
	} {
		if got := strings.Join(code.lost(text, true), ", "); got != want {
			t.Errorf("%q: lost are %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"// TEN-6 and R-TEN-06, journeys 2.3; P-256, SHA-1, UTF-8": "",
		"// (R-TEN-07)":                               "R-TEN-07",
		"// TEN-7/TEN-6":                              "TEN-7",
		"// as D-5 says":                              "D-5",
		"// they are told (issue 6)":                  "issue 6",
		"// journeys 2.3 and\n// 2.9":                 "journeys 2.9",
		"func TestTEN6NobodyRises(t":                  "",
		"func TestREC8WhoMayReset(t":                  "",
		"func FuzzTEN6TEN9Both(t":                     "TEN-9 in the name of a test",
		"func TestUTF8(t\nfunc TestABC1Unknown(t)":    "ABC-1 in the name of a test",
		"\"web.attempt\": \"What ENU-5 leaves open\"": "ENU-5",
	} {
		if got := strings.Join(have.lost(text), ", "); got != want {
			t.Errorf("%q: lost are %q, want %q", text, got, want)
		}
	}
}
