package credential

import (
	"testing"

	"parvis/internal/authenticator"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
)

const (
	testOrigin = "https://id.example.com"
	testParty  = "id.example.com"
)

// ceremonies is a relying party on a database, with one user.
type ceremonies struct {
	*Passkeys
	t     testing.TB
	d     *db.DB
	clock *dbtest.Clock
	user  directory.User
}

func newCeremonies(t testing.TB) *ceremonies {
	t.Helper()
	d, clock := dbtest.Open(t)
	p, err := NewPasskeys(testPepper("k_one"), testParty, "Parvis", testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	return &ceremonies{p, t, d, clock, newUser(t, d, newOrg(t, d))}
}

func newUser(t testing.TB, d *db.DB, org directory.OrgID) directory.User {
	t.Helper()
	o := newOwner(t, d, org)
	return directory.User{OrgID: o.OrgID, ID: o.UserID, Name: "Ada", Email: string(o.UserID) + "@example.com"}
}

func TestAPasskeyIsMadeAndOpensInBothCeremonies(t *testing.T) {
	for name, algorithm := range map[string]int{"ES256": authenticator.ES256, "EdDSA": authenticator.EdDSA, "RS256": authenticator.RS256} {
		t.Run(name, func(t *testing.T) {
			c := newCeremonies(t)
			a := authenticator.New(testOrigin, testParty)
			a.Algorithm = algorithm
			options, sealed, err := c.BeginRegistration(t.Context(), c.d, c.user, "ses_1", c.d.Now())
			if err != nil {
				t.Fatal(err)
			}
			claimed, err := c.Open(sealed, Registration, "ses_1", c.d.Now())
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.FinishRegistration(claimed, a.Register(t, options))
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
