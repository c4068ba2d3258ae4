package intake_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/intake"
	"parvis/internal/intake/dump"
)

func TestACSVSaysWhatBecomesOfEachLine(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	alpha, beta := s.Organization(t, "Alpha", "alpha"), s.Organization(t, "Beta", "beta")
	only := s.Organization(t, "Only", "only")
	s.Join(t, alpha, "here@alpha.example", "Here Already", directory.Member)
	s.Join(t, beta, "twin@alpha.example", "Twin of Beta", directory.Member)
	s.Join(t, alpha, "out@alpha.example", "Shut Out", directory.Member)
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update organizations set federated_since = 1 where id = $1`, string(only.ID))
		if err != nil {
			return err
		}
		all, err := directory.Addressed(ctx, tx, alpha.ID, []string{"out@alpha.example"})
		if err != nil {
			return err
		}
		return directory.Deactivate(ctx, tx, directory.Operator(), alpha.ID, all[0].ID)
	})
	costly := "$2b$31$" + strings.Repeat(".", 53)
	file := "email,email_verified,role,organization,password_hash,totp_secret,groups,name\n" + strings.Join([]string{
		"twin@alpha.example,true,,,H,,Sales|Staff,Twin of Alpha",
		"Twin@Alpha.Example,true,,,H,,,",
		"here@alpha.example,true,,,H,,,",
		"out@alpha.example,true,,,H,,,",
		"costly@alpha.example,true,,," + costly + ",,,",
		"owner@alpha.example,true,owner,,H,,,",
		"boss@alpha.example,true,member,,H,,,",
		"admin@alpha.example,true,Administrator,,H,,,",
		"nohash@alpha.example,true,administrator,,,,,",
		"king@alpha.example,true,king,,H,,,",
		"nowhere@alpha.example,true,,delta,H,,,",
		"only@alpha.example,true,,only,H,,,",
		",true,,,H,,,",
		"no address,true,,,H,,,",
		"shortseed@alpha.example,true,,,H,MFRGG,,",
		"app@alpha.example,true,,,H," + seed + ",,",
		"unproved@alpha.example,,,,H,,,",
		"none@alpha.example,true,,,,,,",
	}, "\n")
	file = strings.ReplaceAll(file, ",H,", ","+hashed+",")
	// Where the line says no organization, it is alpha.
	file = strings.ReplaceAll(file, ",,"+hashed, ",alpha,"+hashed)
	file = strings.ReplaceAll(file, ",,"+costly, ",alpha,"+costly)
	file = strings.ReplaceAll(file, "nohash@alpha.example,true,administrator,,", "nohash@alpha.example,true,administrator,alpha,")
	file = strings.ReplaceAll(file, "none@alpha.example,true,,,", "none@alpha.example,true,,alpha,")
	o := intake.Options{PerMinute: 60, Owners: []string{"BOSS@alpha.example"}}
	before := count(t, s, `select count(*) from users where org_id = $1`, string(beta.ID))
	_, fates := moved(t, s, dump.CSV, file, o)
	expect.Equal(t, "fates", said(fates), "2 admitted; 3 refused address_twice; 4 refused address_taken; 5 refused address_shut_out; 6 written hash_costly; "+
		"7 refused owner; 8 admitted; 9 admitted; 10 invited no_hash; 11 refused role; 12 refused organization_unknown; 13 waiting federated; "+
		"14 refused no_address; 15 refused directory.address_invalid; 16 written seed step_lost; 17 admitted app; 18 written unverified; 19 written no_hash")
	expect.Equal(t, "people of beta", count(t, s, `select count(*) from users where org_id = $1`, string(beta.ID)), before)
	expect.Equal(t, "owners", count(t, s, `select count(*) from users where role = 'owner'`), 1)
	expect.Equal(t, "events", count(t, s, `select count(*) from audit_events where action = 'user.created' and after like '%imp_%'`), 9)
	expect.Equal(t, "imports in the log", count(t, s, `select count(*) from audit_events where action = 'people.imported'`), 2)
	// Each of the twins has their own password.
	wantHome(t, signIn(t, s, "/o/alpha", "twin@alpha.example", password), "the twin of alpha")
	wantHome(t, signIn(t, s, "/o/beta", "twin@alpha.example", idptest.Password), "the twin of beta")
	if p := signIn(t, s, "/o/beta", "twin@alpha.example", password); p.Status != 422 {
		t.Errorf("the password of one twin opens the other's organization: %d", p.Status)
	}
	if p := signIn(t, s, "/o/alpha", "out@alpha.example", password); p.Status != 422 {
		t.Errorf("a line let in who was shut out: %d", p.Status)
	}
	// A wrong password fails alike for all of them.
	want := signIn(t, s, "/o/alpha", "nobody@alpha.example", "guess 1 of nobody")
	for _, who := range []string{"admin", "costly", "here"} {
		if p := signIn(t, s, "/o/alpha", who+"@alpha.example", "guess 1 of nobody"); p.Status != want.Status {
			t.Errorf("a wrong password of %s: %d, want %d as for nobody", who, p.Status, want.Status)
		}
	}
}

// people writes a file of so many people with a password.
func people(n int) string {
	var b strings.Builder
	b.WriteString("email,email_verified,organization,password_hash\n")
	for i := range n {
		fmt.Fprintf(&b, "p%d@alpha.example,true,alpha,%s\n", i, hashed)
	}
	return b.String()
}

func TestAnInterruptedImportGoesOn(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Organization(t, "Alpha", "alpha")
	src := must(intake.Open(dump.CSV, strings.NewReader(people(250))))
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	id, err := serviceOf(s).Run(ctx, src, intake.Options{Language: "en"}, func(intake.Fate) error {
		if seen++; seen == 150 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	if n := count(t, s, `select count(*) from imported`); n < 100 || n == 250 {
		t.Errorf("%d people came before it was interrupted", n)
	}
	again, fates := moved(t, s, dump.CSV, people(250), intake.Options{})
	expect.Equal(t, "import", again, id)
	expect.Equal(t, "lines", len(fates), 250)
	expect.Equal(t, "people", count(t, s, `select count(*) from users`), 250)
	expect.Equal(t, "passwords", count(t, s, `select count(*) from passwords`), 250)
	// Nobody's hash costs what theirs do from now on (decision 0082).
	expect.Equal(t, "counted", count(t, s, `select passwords from password_costs where cost = 'bcrypt/04'`), 250)
	_, fates = moved(t, s, dump.CSV, people(250), intake.Options{})
	for _, f := range fates {
		if f.Outcome != intake.Before {
			t.Fatalf("line %d the third time: %s", f.Line, f.Outcome)
		}
	}
	all, err := serviceOf(s).List(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	expect.Equal(t, "people of the list", all[0].People, 250)
	if all[0].FinishedAt.IsZero() {
		t.Error("it is not finished")
	}
}

func TestTwoImportsDoNotRunAtOnce(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Organization(t, "Alpha", "alpha")
	src := must(intake.Open(dump.CSV, strings.NewReader(people(3))))
	var second, undo error
	if _, err := serviceOf(s).Run(t.Context(), src, intake.Options{Language: "en"}, func(f intake.Fate) error {
		if f.Line == 2 {
			other := must(intake.Open(dump.CSV, strings.NewReader(people(2))))
			_, second = serviceOf(s).Run(t.Context(), other, intake.Options{Language: "en"}, func(intake.Fate) error { return nil })
			running := must(serviceOf(s).List(t.Context()))[0]
			_, undo = serviceOf(s).Undo(t.Context(), running.ID, func(directory.User) error { return nil })
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(undo, intake.ErrRuns) {
		t.Errorf("undoing an import that runs: %v", undo)
	}
	if !errors.Is(second, intake.ErrRuns) {
		t.Errorf("a second import: %v", second)
	}
}

// undone undoes an import, and returns the addresses of those who stay.
func undone(t *testing.T, s *idptest.Server, id string) (u intake.Undone, stay []string) {
	t.Helper()
	u, err := serviceOf(s).Undo(t.Context(), id, func(u directory.User) error {
		stay = append(stay, u.Email)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return u, stay
}

func TestAnImportIsUndoneWholeUntilSomebodySignedIn(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	argon := keycloak("password", object{"hashIterations": 1, "algorithm": "pbkdf2-sha256"}, object{"value": b64(make([]byte, 32)), "salt": b64(salt)})
	realm := text(object{"users": []object{
		{"username": "ana", "email": "ana@m.example", "emailVerified": true, "enabled": true, "credentials": []object{argon}, "groups": []string{"/sales"}},
		{"username": "bo", "email": "bo@m.example", "enabled": true},
		{"username": "cy", "email": "cy@m.example", "enabled": true, "realmRoles": []string{"admin"}},
	}, "organizations": []object{{"name": "Mu", "alias": "mu", "members": []object{{"username": "ana"}, {"username": "bo"}, {"username": "cy"}}}}})
	o := intake.Options{PerMinute: 60, Roles: map[string]string{"admin": "administrator"}}
	id, fates := moved(t, s, dump.Keycloak, realm, o)
	expect.Equal(t, "fates", said(fates), "1 admitted; 2 written no_hash; 3 invited no_hash")
	u, stay := undone(t, s, id)
	expect.Equal(t, "gone", fmt.Sprint(u.Gone, u.Suspended, stay), "3 [mu] []")
	for _, table := range []string{"users", "passwords", "members", "imported"} {
		expect.Equal(t, table, count(t, s, `select count(*) from `+table), 0)
	}
	expect.Equal(t, "invitations", count(t, s, `select count(*) from invitations where withdrawn_at is null`), 0)
	expect.Equal(t, "letters that wait", count(t, s, `select count(*) from letters where next_try_at is not null`), 0)
	if _, err := serviceOf(s).Undo(t.Context(), id, nil); !errors.Is(err, intake.ErrUndone) {
		t.Errorf("undone twice: %v", err)
	}
	if _, err := serviceOf(s).Undo(t.Context(), "imp_nothing", nil); !errors.Is(err, intake.ErrNotKnown) {
		t.Errorf("an import that never was: %v", err)
	}

	// The same file again makes a new import, in the organization of the first.
	second, fates := moved(t, s, dump.Keycloak, realm, o)
	expect.Equal(t, "fates", said(fates), "1 admitted; 2 written no_hash; 3 invited no_hash")
	if second == id {
		t.Error("an import that was undone goes on")
	}
	expect.Equal(t, "organizations", count(t, s, `select count(*) from organizations where suspended_at is null`), 1)
	s.Clock.Advance(2e9)
	wantHome(t, s.Browser(t).Get(s.LinkTo(t, "bo@m.example", 0)).Form("main").Fill("password", password).Fill("repetition", password).Submit(""), "bo")
	u, stay = undone(t, s, second)
	expect.Equal(t, "gone", fmt.Sprint(u.Gone, u.Suspended, stay), "2 [] [bo@m.example]")
	wantHome(t, signIn(t, s, "/o/mu", "bo@m.example", password), "bo, who stayed")
}

// An address that got too many letters lately keeps nobody else out.
func TestWhoWasWrittenToTooOftenWaits(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Organization(t, "Alpha", "alpha")
	file := "email,organization\nana@alpha.example,alpha\n"
	for range 6 {
		id, fates := moved(t, s, dump.CSV, file, intake.Options{PerMinute: 60})
		expect.Equal(t, "fates", said(fates), "2 written no_hash")
		undone(t, s, id)
	}
	_, fates := moved(t, s, dump.CSV, file+"bo@alpha.example,alpha\n", intake.Options{PerMinute: 60})
	expect.Equal(t, "fates", said(fates), "2 waiting no_hash directory.invited_often; 3 written no_hash")
	expect.Equal(t, "people", count(t, s, `select count(*) from users`), 2)
}

// People sign in while others move in, and the log stays sound.
func TestPeopleSignInWhileOthersMoveIn(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	alpha := s.Organization(t, "Alpha", "alpha")
	s.Join(t, alpha, "here@alpha.example", "Here Already", directory.Member)
	_, _ = moved(t, s, dump.CSV, people(20), intake.Options{})
	var wg sync.WaitGroup
	begun := make(chan bool)
	for i := range 3 {
		wg.Go(func() {
			<-begun
			for _, who := range []string{"here", fmt.Sprint("p", i), fmt.Sprint("p", i+3)} {
				word := password
				if who == "here" {
					word = idptest.Password
				}
				wantHome(t, signIn(t, s, "/o/alpha", who+"@alpha.example", word), who)
			}
		})
	}
	close(begun)
	_, fates := moved(t, s, dump.CSV, people(600), intake.Options{})
	wg.Wait()
	if got := said(fates); strings.Count(got, "admitted") != 580 || strings.Count(got, "address_taken") != 20 {
		t.Errorf("%d admitted of 600", strings.Count(got, "admitted"))
	}
	for range 3 {
		if err := s.Audit.Sweep(t.Context(), s.DB); err != nil {
			t.Fatal(err)
		}
	}
	if checked, err := s.Audit.Check(t.Context(), s.DB); err != nil {
		t.Errorf("%+v, %v", checked, err)
	}
}

func TestALargeFileIsRefusedBeforeItIsRead(t *testing.T) {
	t.Parallel()
	if _, err := intake.Open(dump.CSV, &huge{}); !errors.Is(err, intake.ErrLarge) {
		t.Errorf("2 GB: %v", err)
	}
}

// huge is a file of 2 GB that nobody should read.
type huge struct{}

func (*huge) Read([]byte) (int, error)       { panic("it is read") }
func (*huge) Seek(int64, int) (int64, error) { return 2 << 30, nil }
