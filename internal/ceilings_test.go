package internal

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// A ceiling is how much of something is still read without losing the thread. What is over
// it is excused with a reason, and with the number that it may not exceed. An excuse that
// nothing needs any more is to be removed.
type ceiling struct {
	what    string
	most    int
	excused map[string]excuse
}

type excuse struct {
	most   int
	reason string
}

// Parameters are counted besides the receiver, the context and the database or transaction.
const (
	functionLines = "lines of a function"
	fileLines     = "lines of a file"
	packageLines  = "lines of a package"
	parameters    = "parameters of a function"
	methodsOfOne  = "methods of a receiver"
)

var ceilings = []ceiling{
	{functionLines, 60, map[string]excuse{
		"app.New":                {110, "the one wiring: a list of what is made, in the order in which one needs the other, without a branch"},
		"federation/saml.signed": {68, "which signature covers what is one argument; cut in two, each half would trust something that the other one checks"},
		"federation.Hub.link":    {65, "the order of its checks is the rule of who comes in by a provider, and is read as one"},
		"signin.Service.Second":  {64, "counts, looks, decides and gives back in one order, which keeps guesses from being free"},
	}},
	{fileLines, 400, map[string]excuse{
		"internal/federation/manage.go":   {469, "every change of a connection is kept, recorded and told of by the same few functions"},
		"internal/page/render.go":         {479, "a list of one-line methods that templates call; what asks who is there is to move to edge"},
		"internal/federation/answer.go":   {440, "the way of one answer from the browser to a session, in the order in which it goes"},
		"internal/credential/ceremony.go": {426, "both dialogues of a passkey share their seal, their options and their end"},
		"internal/idptest/browser.go":     {412, "a browser for tests: one thing with many small methods"},
	}},
	{packageLines, 4000, map[string]excuse{
		"op":               {4500, "requests, grants and tokens share its tables"},
		"api":              {6300, "a file for each resource; what they have in common is a quarter of it"},
		"console":          {7300, "every page of the administration, with what it asks before a deed; what they have in common is in administration and page already"},
		"federation":       {5420, "connections, links and the answers of two protocols share its tables; what judges them is out of it already"},
		"directory":        {4120, "people, invitations, groups and organizations change each other in one transaction"},
		"cmd/parvis":       {6150, "a file for each command of the operator, the settings with what explains them, and the doctor; what it sees of the machine is in machine, what serves in serving, the API's commands in admin"},
		"cmd/parvis/admin": {4700, "a file for each part of the API; what they have in common is in four of them"},
	}},
	{parameters, 4, map[string]excuse{
		"page.Site.ConsoleForm":                    {7, "a row of the route table: who reads, who changes, path, fields, both handlers, and what asks first"},
		"page.Site.ReadingForm":                    {5, "a row of the route table: who reads, path, fields, both handlers"},
		"page.Frame.Field":                         {5, "templates call it, and they have no struct literals"},
		"page.Frame.Optional":                      {5, "templates call it, and they have no struct literals"},
		"console.review.number":                    {5, "a row of a list: setting, before, after, and what either direction means"},
		"credential.Passkeys.begun":                {7, "takes the three results of the library's call as they are, for its two callers"},
		"credential.Passkeys.seal":                 {5, "what a ceremony is bound to, each of another type"},
		"credential.Passkeys.Repeats":              {5, "what was kept and what came, to be compared; the owner and the time are apart from both"},
		"credential.Authenticators.PendingApp":     {5, "what a QR code shows and what the seal is bound to, three texts that one caller has"},
		"credential.Authenticators.match":          {5, "the time is a parameter so that the walk over all steps needs no clock"},
		"credential.matchingStep":                  {5, "pure arithmetic of RFC 6238: seed, code, last step, tolerance, time"},
		"directory.Group.recordMember":             {5, "an event of the audit log: who, whom, what, before, after"},
		"directory.setSuspended":                   {5, "both directions of one statement, which differ in these three"},
		"signin.Service.AddPasskey":                {6, "what the page has: the attempt and who sent it, the dialogue, its answer, the name"},
		"signin.Service.AddPasskeyHere":            {5, "as AddPasskey, for a session in place of an attempt"},
		"signin.Service.enrolled":                  {5, "what both enrolments have in common, and what each stores as a function"},
		"signin.Service.provedOnce":                {5, "the attempt, who sent it, who is meant, and what was proved"},
		"signin.Service.Ask":                       {5, "the fields of the form for forgotten passwords"},
		"signin.letters.tellAuthenticator":         {5, "an event of the audit log and its letter: whose, what, which, before and after"},
		"federation.answer.need":                   {5, "as Trace.Require, with whether anything was said at all"},
		"federation.Hub.SendSetupLink":             {5, "organization, connection, address and language of the form"},
		"federation.Hub.obey":                      {5, "what was sent, what was expected, and what is sent back"},
		"federation.Hub.turn":                      {5, "on and off, which differ in state, event and letter"},
		"federation/oidc.open":                     {5, "which token, against what, and into which trace"},
		"federation/oidc.Provider.judged":          {5, "judges with the kept keys and once more with new ones: what, with what, by whom asked, when"},
		"federation/oidc.Connection.Logout":        {5, "a room has neither table nor clock, so that keys, client and time come from outside"},
		"federation/oidc.Connection.EndSessionURL": {5, "the parameters of RP-Initiated Logout §2"},
		"federation/saml.LogoutRequest":            {6, "a room has neither table nor keys: both parties, the keys, and what the message says"},
		"federation/saml.LogoutResponse":           {6, "as LogoutRequest"},
		"federation/saml.Keys.send":                {6, "the bindings differ in these, and both messages of both protocols go through it"},
		"federation/saml.message":                  {5, "the attributes that each message has (Core §3.2)"},
		"idptest.Server.Invite":                    {5, "testing.TB stands first, as in every helper of tests"},
		"idptest.Server.Join":                      {5, "testing.TB stands first, as in every helper of tests"},
		"cmd/parvis/demo/company.server.refuse":    {5, "the two of net/http, and what the page says"},
		"cmd/bench.bench.questions":                {5, "the contestants of one measurement"},
		"cmd/bench.relyingParty.call":              {5, "a request in one line of a list of requests"},
		"cmd/bench.send":                           {7, "a request in one line of a list of requests"},
		"cmd/bench.formOf":                         {5, "a request in one line of a list of requests"},
		"cmd/bench.post":                           {5, "a request in one line of a list of requests"},
	}},
	{methodsOfOne, 100, map[string]excuse{}},
}

// TestCeilings says what is biggest, worst first; ./check shows it.
func TestCeilings(t *testing.T) {
	measured := measure(t, os.DirFS(".."), "internal", "cmd", "tools")
	for _, c := range ceilings {
		sizes := measured[c.what]
		if len(sizes) < 20 {
			t.Errorf("only %d %s measured: this test looks past them", len(sizes), c.what)
		}
		t.Logf("note: %s (%d): %s", c.what, c.most, worst(sizes, 10))
		for _, wrong := range c.judge(sizes) {
			t.Error(wrong)
		}
	}
}

// judge says what is over a ceiling without a reason or beyond what the reason allows, and
// which reasons nothing needs any more.
func (c ceiling) judge(sizes map[string]int) (wrong []string) {
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		n, e := sizes[name], c.excused[name]
		switch {
		case n <= c.most:
		case e.reason == "":
			wrong = append(wrong, fmt.Sprintf("%s has %d %s, at most %d: make it smaller, or write the reason in ceilings_test.go", name, n, c.what, c.most))
		case n > e.most:
			wrong = append(wrong, fmt.Sprintf("%s has grown to %d %s from %d, which its reason allows", name, n, c.what, e.most))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.excused)) {
		if sizes[name] <= c.most {
			wrong = append(wrong, fmt.Sprintf("%s keeps to %d %s: take its reason out of ceilings_test.go", name, c.most, c.what))
		}
	}
	return wrong
}

// worst lists the biggest.
func worst(sizes map[string]int, n int) string {
	names := slices.SortedFunc(maps.Keys(sizes), func(a, b string) int {
		return cmp.Or(cmp.Compare(sizes[b], sizes[a]), cmp.Compare(a, b))
	})
	var shown []string
	for _, name := range names[:min(n, len(names))] {
		shown = append(shown, fmt.Sprint(sizes[name], " ", name))
	}
	return strings.Join(shown, ", ")
}

// measure counts what there are ceilings for, in all Go but tests, by name.
func measure(t *testing.T, files fs.FS, roots ...string) map[string]map[string]int {
	t.Helper()
	sizes := map[string]map[string]int{functionLines: {}, fileLines: {}, packageLines: {}, parameters: {}, methodsOfOne: {}}
	for _, root := range roots {
		err := fs.WalkDir(files, root, func(name string, e fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil // somebody's temporary file
			case err != nil:
				return err
			case e.IsDir() && e.Name() == "testdata":
				return fs.SkipDir
			case e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
				return nil
			}
			text, err := fs.ReadFile(files, name)
			if err != nil {
				return err
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			pkg := strings.TrimPrefix(path.Dir(name), "internal/")
			lines := set.File(file.Pos()).LineCount()
			sizes[fileLines][name] = lines
			sizes[packageLines][pkg] += lines
			for _, d := range file.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				full := pkg + "." + f.Name.Name
				if f.Recv != nil {
					receiver := pkg + "." + typeName(f.Recv.List[0].Type)
					sizes[methodsOfOne][receiver]++
					full = receiver + "." + f.Name.Name
				}
				// Where build tags choose between two functions, the bigger one counts.
				sizes[functionLines][full] = max(sizes[functionLines][full], set.Position(f.End()).Line-set.Position(f.Pos()).Line+1)
				sizes[parameters][full] = max(sizes[parameters][full], parametersOf(f))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return sizes
}

// parametersOf counts the parameters that a caller has to think of.
func parametersOf(f *ast.FuncDecl) (n int) {
	for _, p := range f.Type.Params.List {
		switch typeName(p.Type) {
		case "context.Context", "db.Tx", "db.Reader", "db.DB":
		default:
			n += max(1, len(p.Names))
		}
	}
	return n
}

// typeName is the name of a type as it is written, without pointers and type parameters.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.IndexListExpr:
		return typeName(e.X)
	case *ast.SelectorExpr:
		return typeName(e.X) + "." + e.Sel.Name
	}
	return ""
}

// What is over a ceiling is found, whichever it is; and so is a reason that has become too
// generous, or is not needed.
func TestWhatIsOverACeilingIsFound(t *testing.T) {
	long := "package p\nfunc (s *big[T]) Long(ctx context.Context, tx *db.Tx, a, b string, c []int, d func(x, y, z int), e error) {\n" + strings.Repeat("\n", 60) + "}\n"
	files := fstest.MapFS{
		"internal/p/long.go":           {Data: []byte(long + "func Fine(ctx context.Context, d *db.DB, r db.Reader, a, b, c, e string) {\n" + strings.Repeat("\n", 58) + "}\n")},
		"internal/p/p.go":              {Data: []byte("package p\n" + strings.Repeat("func (s big[T]) f() {}\n", 100) + strings.Repeat("\n", 299))},
		"internal/p/fine.go":           {Data: []byte("package p\n" + strings.Repeat("\n", 399))},
		"internal/p/long_test.go":      {Data: []byte(strings.Replace(long, "Long", "Test", 1))},
		"internal/p/testdata/other.go": {Data: []byte(strings.Replace(long, "Long", "Data", 1))},
		"cmd/q/q.go":                   {Data: []byte("package q\n" + strings.Repeat("\n", 4000))},
	}
	measured := measure(t, files, "internal", "cmd")
	reason := func(name string, n int) map[string]excuse { return map[string]excuse{name: {n, "for this test"}} }
	for name, c := range map[string]struct {
		ceiling ceiling
		wrong   []string // each is found with these words, and nothing else is
	}{
		"a long function":                {ceiling{functionLines, 60, nil}, []string{"p.big.Long has 62"}},
		"a long file":                    {ceiling{fileLines, 400, reason("cmd/q/q.go", 4001)}, nil},
		"a long package":                 {ceiling{packageLines, 4000, nil}, []string{"cmd/q has 4001"}},
		"many parameters":                {ceiling{parameters, 4, nil}, []string{"p.big.Long has 5"}},
		"many methods":                   {ceiling{methodsOfOne, 100, nil}, []string{"p.big has 101"}},
		"a reason, and the very number":  {ceiling{methodsOfOne, 100, reason("p.big", 101)}, nil},
		"a reason, and it has shrunk":    {ceiling{methodsOfOne, 100, reason("p.big", 102)}, nil},
		"a reason, and it has grown":     {ceiling{methodsOfOne, 99, reason("p.big", 100)}, []string{"p.big has grown to 101"}},
		"a reason that is not needed":    {ceiling{parameters, 5, reason("p.big.Long", 5)}, []string{"p.big.Long keeps to 5"}},
		"a reason of what is gone":       {ceiling{functionLines, 62, reason("p.gone", 70)}, []string{"p.gone keeps to 62"}},
		"a number written for no reason": {ceiling{parameters, 4, map[string]excuse{"p.big.Long": {5, ""}}}, []string{"p.big.Long has 5"}},
	} {
		found := c.ceiling.judge(measured[c.ceiling.what])
		if len(found) != len(c.wrong) || !slices.EqualFunc(found, c.wrong, strings.Contains) {
			t.Errorf("%s is found as %q, want %q", name, found, c.wrong)
		}
	}
	if got, want := worst(measured[fileLines], 2), "4001 cmd/q/q.go, 400 internal/p/fine.go"; got != want {
		t.Errorf("the worst files are %q, want %q", got, want)
	}
}
