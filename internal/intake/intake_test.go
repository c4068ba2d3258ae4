package intake_test

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"

	"parvis/internal/db"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/intake"
	"parvis/internal/intake/dump"
)

const (
	password = "Vermilion otter 47 bridges!"
	seed     = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
)

var salt = []byte("saltsaltsaltsalt")

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var (
	hashed = string(must(bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)))
	b64    = base64.StdEncoding.EncodeToString
)

func serviceOf(s *idptest.Server) *intake.Service {
	in := s.Site.SignIn
	return &intake.Service{DB: s.DB, Passwords: in.Passwords, Authenticators: in.Authenticators, Invitations: s.Invitations}
}

// moved imports a text and returns what became of each line.
func moved(t *testing.T, s *idptest.Server, f dump.Format, text string, o intake.Options) (id string, fates []intake.Fate) {
	t.Helper()
	o.Language = "en"
	src, err := intake.Open(f, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	id, err = serviceOf(s).Run(t.Context(), src, o, func(f intake.Fate) error {
		fates = append(fates, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return id, fates
}

// said writes fates in a few words, for comparison.
func said(fates []intake.Fate) string {
	var all []string
	for _, f := range fates {
		text := fmt.Sprint(f.Line, " ", f.Outcome)
		if f.App {
			text += " app"
		}
		for _, why := range f.Reasons {
			text += " " + strings.TrimPrefix(why.Key, "intake.")
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// signIn sends the form of the page at path, and returns what came.
func signIn(t *testing.T, s *idptest.Server, path, email, password string) *idptest.Page {
	t.Helper()
	return s.Browser(t).Get(path).Form("main").Fill("email", email).Fill("password", password).Submit("")
}

func wantHome(t *testing.T, p *idptest.Page, who string) {
	t.Helper()
	if !strings.HasSuffix(p.URL.Path, "/home") {
		t.Errorf("%s is not at home but at %s (%d): %s", who, p.URL.Path, p.Status, p.Text())
	}
}

func count(t testing.TB, s *idptest.Server, query string, args ...any) (n int) {
	t.Helper()
	if _, err := s.DB.One(t.Context(), db.Into(&n), query, args...); err != nil {
		t.Fatal(err)
	}
	return n
}

type object = map[string]any

// text returns a value as JSON.
func text(v any) string { return string(must(json.Marshal(v))) }

// keycloak returns a credential as an export of a realm has it: two texts of JSON.
func keycloak(kind string, credential, stored object) object {
	return object{"id": "c", "type": kind, "createdDate": 1, "secretData": text(stored), "credentialData": text(credential)}
}

func TestPeopleMoveInFromKeycloak(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Organization(t, "Another Gamma", "gamma")
	pb := must(pbkdf2.Key(sha256.New, password, salt, 27500, 64))
	pb512 := must(pbkdf2.Key(sha512.New, password, salt, 1000, 64))
	ar := argon2.IDKey([]byte(password), salt, 5, 7168, 1, 32)
	stored := func(sum []byte) object {
		return object{"value": b64(sum), "salt": b64(salt), "additionalParameters": object{}}
	}
	pbkdf := keycloak("password", object{"hashIterations": 27500, "algorithm": "pbkdf2-sha256", "additionalParameters": object{}}, stored(pb))
	argon := keycloak("password", object{"hashIterations": 5, "algorithm": "argon2", "additionalParameters": object{
		"hashLength": []string{"32"}, "memory": []string{"7168"}, "type": []string{"id"}, "version": []string{"1.3"}, "parallelism": []string{"1"},
	}}, stored(ar))
	otp := func(digits int) object {
		return keycloak("otp", object{"subType": "totp", "digits": digits, "counter": 0, "period": 30, "algorithm": "HmacSHA1"},
			object{"value": "abcdefghijklmnopqrst"})
	}
	user := func(name string, more object) object {
		u := object{"id": "id-" + name, "username": name, "email": name + "@meridian.example", "emailVerified": true, "enabled": true,
			"firstName": strings.ToUpper(name), "lastName": "Lima", "requiredActions": []string{}, "realmRoles": []string{"default-roles-m"}}
		for k, v := range more {
			u[k] = v
		}
		return u
	}
	members := func(names ...string) (all []object) {
		for _, n := range names {
			all = append(all, object{"username": n, "membershipType": "UNMANAGED"})
		}
		return all
	}
	realm := text(object{
		"realm": "m", "clients": []any{object{"clientId": "x", "attributes": object{"deep": []any{1, object{}}}}},
		"users": []object{
			user("ana", object{"credentials": []object{pbkdf, otp(6)}, "groups": []string{"/sales/europe"}, "attributes": object{"locale": []string{"fr"}}}),
			user("bo", object{"credentials": []object{argon}, "realmRoles": []string{"staff"}, "requiredActions": []string{"UPDATE_PASSWORD"}}),
			user("cy", object{"credentials": []object{argon, otp(8)}}),
			user("di", object{"credentials": []object{argon}, "enabled": false}),
			user("ed", object{"credentials": []object{argon}, "emailVerified": false}),
			user("service-account-x", object{"serviceAccountClientId": "x", "email": nil}),
			user("flo", object{"credentials": []object{argon}}),
			user("gil", object{"credentials": []object{keycloak("password", object{"hashIterations": 1000, "algorithm": "pbkdf2-sha512"}, stored(pb512))}}),
		},
		"organizations": []object{
			{"id": "o1", "name": "Alpha Freight", "alias": "alpha", "enabled": true, "members": members("ana", "bo", "cy", "di", "ed"), "domains": []object{{"name": "alpha.example", "verified": true}}},
			{"id": "o2", "name": "Beta Freight", "alias": "beta", "members": members("ana", "gil")},
			{"id": "o3", "name": "Gamma", "alias": "gamma", "members": members("gil")},
		},
	})
	o := intake.Options{PerMinute: 60, Roles: map[string]string{"staff": "helpdesk"}}
	var rehearsed []intake.Fate
	o.Language = "en"
	if err := serviceOf(s).Rehearse(t.Context(), must(intake.Open(dump.Keycloak, strings.NewReader(realm))), o, func(f intake.Fate) error {
		rehearsed = append(rehearsed, f)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, `select count(*) from organizations`); n != 1 {
		t.Errorf("a rehearsal left %d organizations", n)
	}
	_, fates := moved(t, s, dump.Keycloak, realm, o)
	want := "1 admitted app; 1 admitted app; 2 admitted; 3 written second_step step_lost; 4 deactivated; 5 written unverified; 6 refused service_account; " +
		"7 refused organization_missing; 8 admitted; 8 refused organization_exists"
	expect.Equal(t, "fates", said(fates), want)
	expect.Equal(t, "rehearsal", said(rehearsed), want)

	code := idptest.Code(base32.StdEncoding.EncodeToString([]byte("abcdefghijklmnopqrst")), s.Clock.Now())
	for _, org := range []string{"alpha", "beta"} {
		p := signIn(t, s, "/o/"+org, "ana@meridian.example", password)
		wantHome(t, p.Form("main").Fill("code", code).Submit(""), "ana in "+org)
	}
	expect.Equal(t, "groups", count(t, s, `select count(*) from members m join groups g on g.org_id = m.org_id and g.id = m.group_id where g.name = 'sales/europe'`), 2)
	expect.Equal(t, "helpdesk", count(t, s, `select count(*) from users where role = 'helpdesk' and email = 'bo@meridian.example'`), 1)
	expect.Equal(t, "French", count(t, s, `select count(*) from users where language = 'fr' and email = 'ana@meridian.example'`), 2)
	if p := signIn(t, s, "/o/alpha", "bo@meridian.example", password); strings.HasSuffix(p.URL.Path, "/home") || p.Status != 200 {
		t.Errorf("who was to choose a new password is at %s (%d)", p.URL.Path, p.Status)
	}
	for _, who := range []string{"cy", "di", "ed"} {
		if p := signIn(t, s, "/o/alpha", who+"@meridian.example", password); p.Status != 422 {
			t.Errorf("%s: %d at %s", who, p.Status, p.URL.Path)
		}
	}
	wantHome(t, signIn(t, s, "/o/beta", "gil@meridian.example", password), "gil")
	if p := signIn(t, s, "/o/gamma", "gil@meridian.example", password); p.Status != 422 {
		t.Errorf("gil in an organization of somebody else: %d", p.Status)
	}
}

func TestPeopleMoveInFromAuth0(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Organization(t, "Alpha", "alpha")
	sc := must(scrypt.Key([]byte(password), []byte("salt"), 1<<10, 8, 1, 32))
	pb := must(pbkdf2.Key(sha512.New, password, salt, 1000, 64))
	raw := base64.RawStdEncoding.EncodeToString
	person := func(name string, more object) object {
		p := object{"email": name + "@alpha.example", "email_verified": true, "name": name}
		for k, v := range more {
			p[k] = v
		}
		return p
	}
	custom := func(algorithm, value string, more object) object {
		c := object{"algorithm": algorithm, "hash": object{"value": value}}
		for k, v := range more {
			c[k] = v
		}
		return object{"custom_password_hash": c}
	}
	people := []object{
		person("ana", object{"password_hash": hashed, "app_metadata": object{"roles": []string{"admin"}}}),
		person("bo", custom("scrypt", hex.EncodeToString(sc), object{
			"hash": object{"value": hex.EncodeToString(sc), "encoding": "hex"}, "salt": object{"value": "salt", "encoding": "utf8"}, "keylen": 32, "cost": 1024,
		})),
		person("cy", custom("pbkdf2", fmt.Sprintf("$pbkdf2-sha512$i=1000,l=64$%s$%s", raw(salt), raw(pb)), nil)),
		person("di", custom("md5", "5f4dcc3b5aa765d61d8327deb882cf99", nil)),
		person("ed", object{"passwordHash": hashed, "blocked": true}),
		person("flo", object{"passwordHash": hashed, "mfa_factors": []object{{"totp": object{"secret": seed}}}}),
		person("gil", object{"passwordHash": hashed, "mfa_factors": []object{{"phone": object{"value": "+15551112233"}}}}),
	}
	_, fates := moved(t, s, dump.Auth0, text(people), intake.Options{Organization: "alpha", PerMinute: 600, Roles: map[string]string{"admin": "auditor"}})
	expect.Equal(t, "fates", said(fates), "1 admitted; 2 admitted; 3 admitted; 4 written hash_unknown; 5 deactivated; 6 admitted app; 7 written second_step step_lost")
	for _, who := range []string{"ana", "bo", "cy"} {
		wantHome(t, signIn(t, s, "/o/alpha", who+"@alpha.example", password), who)
	}
	p := signIn(t, s, "/o/alpha", "flo@alpha.example", password)
	wantHome(t, p.Form("main").Fill("code", idptest.Code(seed, s.Clock.Now())).Submit(""), "flo")
	expect.Equal(t, "auditors", count(t, s, `select count(*) from users where role = 'auditor'`), 1)

	// The same as an export, whose lines are the same people.
	var lines strings.Builder
	for _, one := range people {
		lines.WriteString(text(one) + "\n")
	}
	_, fates = moved(t, s, dump.Auth0, lines.String(), intake.Options{Organization: "alpha", PerMinute: 600})
	if got := said(fates); strings.Count(got, "address_taken") != 6 || strings.Count(got, "address_shut_out") != 1 {
		t.Errorf("the same people again: %s", got)
	}

	// A letter leads whose hash is not known to a password, one after the other.
	letter := s.LinkTo(t, "di@alpha.example", 0)
	wantHome(t, s.Browser(t).Get(letter).Form("main").Fill("password", password).Fill("repetition", password).Submit(""), "di")
	if n := len(s.LettersTo(t, "gil@alpha.example")); n != 0 {
		t.Errorf("%d letters left at once, want 0: one leaves every 100 ms", n)
	}
	s.Clock.Advance(200 * time.Millisecond)
	s.LinkTo(t, "gil@alpha.example", 0)
}
