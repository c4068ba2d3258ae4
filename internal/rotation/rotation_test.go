package rotation_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/rotation"
	"parvis/internal/secret"
)

// For each purpose of a seal a list says that a rotation of keys seals its values again, or why they end
// by themselves. What is in no list would be lost with the key that sealed it.
func TestEverySealedValueHasAPlaceInARotation(t *testing.T) {
	known := map[string]bool{}
	for _, c := range rotation.Sealed {
		known[c.Purpose] = true
	}
	for purpose := range rotation.Passing {
		if known[purpose] {
			t.Errorf("%q is sealed again, and listed as what ends by itself", purpose)
		}
		known[purpose] = true
	}
	found := purposes(t)
	for purpose, at := range found {
		if !known[purpose] {
			t.Errorf("%s seals for %q, and no list of package rotation says what becomes of that when a key is taken out", at, purpose)
		}
	}
	for purpose := range known {
		if found[purpose] == "" {
			t.Errorf("nothing is sealed for %q", purpose)
		}
	}
}

// purposes returns the purposes of all boxes, with the file that makes each.
func purposes(t *testing.T) map[string]string {
	t.Helper()
	files, names := map[string]*ast.File{}, map[string]string{} // constants by folder and name
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		files[path] = f
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			c, ok := n.(*ast.ValueSpec)
			for i := 0; ok && i < len(c.Values); i++ {
				if text, ok := literal(c.Values[i]); ok {
					names[filepath.Dir(path)+" "+c.Names[i].Name] = text
				}
			}
			return true
		})
	}
	all := map[string]string{}
	for path, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); !ok || sel.Sel.Name != "NewBox" || filepath.Dir(path) == "../rotation" {
				return true
			}
			purpose, ok := literal(call.Args[1])
			if id, named := call.Args[1].(*ast.Ident); named {
				purpose, ok = names[filepath.Dir(path)+" "+id.Name], true
			}
			if !ok || purpose == "" {
				t.Errorf("%s makes a box for a purpose that cannot be read here: name it by a constant", path)
			}
			all[purpose] = path
			return true
		})
	}
	return all
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// A node that was away while an organization was removed, and then a key was taken out, does not take its
// database for an older one.
func TestTheEndOfALogOutlivesTheKeyThatProvedIt(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	ctx, keys := t.Context(), secret.NewKeys()
	old, next := keys.Sealing.Current(), secret.NewKey()
	away := audit.NewLogs(audit.Settings{Sealing: keys.Sealing, Host: "id.example", File: filepath.Join(t.TempDir(), "roots")})
	here := audit.NewLogs(audit.Settings{Sealing: keys.Sealing, Host: "id.example"})
	err := d.Update(ctx, func(tx *db.Tx) error {
		return errors.Join(tx.SetNote(ctx, rotation.Note, rotation.Describe(keys).String()),
			audit.Record(ctx, tx, audit.Event{OrgID: "org_gone", Actor: "usr_1", ActorName: "Ada", Action: "user.renamed", Target: "usr_1"}))
	})
	if err := errors.Join(err, here.Sweep(ctx, d)); err != nil {
		t.Fatal(err)
	}
	if _, err := away.Watch(ctx, d); err != nil {
		t.Fatal(err)
	}
	if err := here.Remove(ctx, d, "org_gone"); err != nil {
		t.Fatal(err)
	}
	keys.Sealing.Take([]secret.Key{old, next})
	if err := rotation.Use(ctx, d, keys, next.ID); err != nil {
		t.Fatal(err)
	}
	keys.Sealing.Take([]secret.Key{next, old})
	needs, err := rotation.Needs(ctx, d, "sealing", old.ID)
	if err != nil || len(needs) == 0 {
		t.Errorf("before it is taken out the key is needed for %v, %v", needs, err)
	}
	leaving := rotation.Leaving{ID: old.ID, Leaked: true, Moved: func(int) {}}
	clock.Advance(14 * time.Second)
	if _, err := rotation.Retire(ctx, d, keys, leaving); err == nil {
		t.Error("the key is taken out while requests that began with it may still write")
	}
	clock.Advance(time.Second)
	if left, err := rotation.Retire(ctx, d, keys, leaving); err != nil {
		t.Fatal(left, err)
	}
	keys.Sealing.Take([]secret.Key{next})
	if _, err := away.Watch(ctx, d); err != nil {
		t.Errorf("the node that was away says %v", err)
	}
}

// Every column that is sealed again is there, and names its rows by their primary key: no other row is
// written.
func TestSealedColumnsAreInTheDatabase(t *testing.T) {
	d, _ := dbtest.Open(t)
	for _, c := range rotation.Sealed {
		needs, err := rotation.Needs(t.Context(), d, "sealing", "k_none")
		if err != nil || len(needs) > 0 {
			t.Fatalf("%s.%s: %v, %v", c.Table, c.Name, needs, err)
		}
	}
}

func TestKeysFollowTheDatabaseNotTheFile(t *testing.T) {
	t.Parallel()
	file := secret.NewKeys()
	first, second := file.Sealing.Current(), secret.NewKey()
	before := rotation.Describe(file).String()
	known := rotation.Parse(before)
	expect.Equal(t, "the keys fit their own description", known.Fits(file), true)
	expect.Equal(t, "other keys do", known.Fits(secret.NewKeys()), false)
	expect.Equal(t, "nothing fits what cannot be read", rotation.Parse("sealing k_one").Fits(file), false)

	live, err := secret.ParseKeys(file.Text())
	if err != nil {
		t.Fatal(err)
	}
	box := secret.NewBox(live.Sealing, "test")
	sealed := box.Seal([]byte("plain"), "row")
	file.Sealing.Take([]secret.Key{second, first}) // by hand, in front
	known.Order(file, live)
	expect.Equal(t, "what writes", live.Sealing.Current().ID, first.ID)
	expect.Equal(t, "the oldest while another one is only known", live.Sealing.Oldest().ID, first.ID)
	known.Rings["sealing"] = append(rotation.Describe(file).Rings["sealing"], known.Rings["sealing"]...)
	known.Order(file, live)
	expect.Equal(t, "what writes once it is in use", live.Sealing.Current().ID, second.ID)
	expect.Equal(t, "the oldest once another one writes", live.Sealing.Oldest().ID, first.ID)
	known = rotation.Parse(before)
	known.Retired = append(known.Retired, second.ID)
	known.Order(file, live)
	expect.Equal(t, "keys that are left", len(live.Sealing.All()), 1)
	if plain, err := box.Open(sealed, "row"); err != nil || string(plain) != "plain" {
		t.Errorf("what was sealed before: %q, %v", plain, err)
	}
}

// The names by which applications know people outlive the look-up key behind them.
func TestPseudonymsOutliveTheirKey(t *testing.T) {
	t.Parallel()
	old := secret.NewKeys()
	text := strings.Replace(string(old.Text()), `"pseudonyms"`, `"unknown"`, 1) // as a version before this one wrote it
	read, err := secret.ParseKeys([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "the key that an older file stands for", string(read.Pseudonyms), string(old.Pseudonyms))
	read.Lookup.Take([]secret.Key{secret.NewKey()})
	again, err := secret.ParseKeys(read.Text())
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "the key once its look-up key is gone", string(again.Pseudonyms), string(old.Pseudonyms))
}

// A node whose clock is wrong counts as one that serves, for others and from where it stands: else a key
// would be put in use that it cannot read.
func TestANodeWithAWrongClockStillCounts(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	if os.Getenv(dbtest.PostgresVariable) == "" {
		t.Skip("SQLite has one node")
	}
	ctx, keys := t.Context(), secret.NewKeys()
	if err := d.Update(ctx, func(tx *db.Tx) error { return tx.SetNote(ctx, rotation.Note, rotation.Describe(keys).String()) }); err != nil {
		t.Fatal(err)
	}
	for i, host := range []string{"ahead", "behind"} {
		clock.Advance([]time.Duration{10 * time.Minute, -20 * time.Minute}[i])
		s := &rotation.Server{DB: d, Keys: keys, Host: host, File: func() (secret.Keys, error) { return keys, nil }}
		if err := s.Reload(ctx); err != nil {
			t.Fatal(err)
		}
	}
	added := secret.NewKey()
	later := keys
	later.Sealing = secret.NewRing(keys.Sealing.Current(), added)
	err := rotation.Use(ctx, d, later, added.ID)
	if err == nil || !strings.Contains(err.Error(), "ahead, behind: this server does not know the key yet") {
		t.Errorf("a key that two nodes do not know is put in use: %v", err)
	}
	nodes, err := rotation.Nodes(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "how many nodes are said to serve", len(nodes), 2)
}
