package federation_test

import (
	"testing"

	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

// R-TEN-08: where single sign-on is the only way in, a browser that is in another organization, or was
// in this one by a password, gets in by the provider and by nothing else.
func TestTEN5SwitchingToSingleSignOnOnlyGoesByTheProvider(t *testing.T) {
	w := start(t, idptest.Named)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	const owner = "olga@elsewhere.example"
	w.withPasskey(owner, "Olga", directory.Owner)
	beta := w.organization("Beta Labs", "beta")
	b := w.Join(t, beta, ada, "Ada of Beta", directory.Member)
	w.Join(t, w.org, "mia@elsewhere.example", "Mia", directory.Member)
	expect.Equal(t, "where a password leads before", passwordPost(b, w.org.Path(), "mia@elsewhere.example", idptest.Password).URL.Path, w.org.Path("home"))
	w.session(idp, c, "bob@alpha.example", "one") // somebody came in by it just now
	w.makeOnly(owner)

	outside := func(when string) {
		t.Helper()
		expect.Equal(expect.Case(t, "%s", when), "where the switch leads", b.Post(w.org.Path("switch"), nil).URL.Path, w.org.Path())
		w.outside(b, w.org)
	}
	outside("with a session by a password from before")
	passwordPost(b, w.org.Path(), "mia@elsewhere.example", idptest.Password)
	outside("with a password")
	passwordPost(b, w.org.Path(), ada, idptest.Password)
	outside("with the password of the other organization")
	w.inside(w.enter(b, idp, c, person(ada)), w.org, "Ada Lovelace")
	for _, org := range []directory.Organization{beta, w.org, beta} {
		expect.Equal(t, "where the switch leads", b.Post(org.Path("switch"), nil).URL.Path, org.Path("home"))
	}
}
