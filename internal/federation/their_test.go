package federation_test

import (
	"context"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/idptest"
	"parvis/internal/signin"
)

// A person without a password proves again at their provider, and is shown no other way.
func TestStepUpOfSomebodyWithoutAPasswordGoesToTheirProvider(t *testing.T) {
	w := start(t)
	idp := w.idp()
	theirs, other := w.samlConnection(w.org, idp, creates), w.samlConnection(w.org, w.idp(), creates)
	b := w.session(idp, theirs, ada, "one")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.ChangeRole(ctx, tx, directory.Operator(), w.org.ID, w.user(w.org, ada).ID, directory.Administrator)
	})
	const page = "/o/alpha/admin/people/invite"
	asked := func(b *idptest.Browser) *idptest.Page {
		return b.Get(page).Form("main").Fill("email", "new@alpha.example").Submit("")
	}
	w.Clock.Advance(11 * time.Minute)
	proof := idptest.Want(t, asked(b), idptest.NoField("password"), idptest.Says("web.confirm.why_there", "Organization", w.org.DisplayName),
		idptest.Element("button", "value", theirs.ID), idptest.NoElement("button", "value", other.ID))
	address := toProvider(t, proof.Form("ways").Check("connection", theirs.ID).Submit(""))
	idptest.Want(t, b.Get(proof.URL.Path), idptest.Element("button", "value", theirs.ID), idptest.NoElement("button", "value", other.ID)) // back from there
	idptest.Want(t, w.answer(b, idp, theirs, address, person(ada)), idptest.Path(page), idptest.Input("email", "new@alpha.example"))

	// Of a person linked to both, the provider that vouched for the session is asked. If none did,
	// those that are linked and on are offered beside the password.
	otto := w.Join(t, w.org, owner, "Otto", directory.Member)
	for _, c := range []federation.Connection{theirs, other} {
		w.inside(w.enter(w.Browser(t), idp, c, person(owner)), w.org, "Otto")
	}
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.ChangeRole(ctx, tx, directory.Operator(), w.org.ID, w.user(w.org, owner).ID, directory.Administrator)
	})
	by := w.Browser(t)
	w.inside(w.enter(by, idp, other, person(owner)), w.org, "Otto")
	w.Clock.Advance(11 * time.Minute)
	idptest.Want(t, asked(by), idptest.Field("password"),
		idptest.Element("button", "value", other.ID), idptest.NoElement("button", "value", theirs.ID))
	idptest.Want(t, asked(otto), idptest.Field("password"),
		idptest.Element("button", "value", other.ID), idptest.Element("button", "value", theirs.ID))
	w.turnOff(theirs)
	idptest.Want(t, asked(otto), idptest.Field("password"),
		idptest.Element("button", "value", other.ID), idptest.NoElement("button", "value", theirs.ID))
}

// What pages say about single sign-on is true: people who use it are asked neither for our second step
// nor for a password, and no rule about either affects them.
func TestPagesAreTrueForWhoComesInByAProvider(t *testing.T) {
	w := start(t, idptest.Named)
	w.withPasskey(owner, "Olga", directory.Owner)
	native := w.Join(t, w.org, "otto@elsewhere.example", "Otto", directory.Administrator)
	idp := w.idp()
	b := w.session(idp, w.samlConnection(w.org, idp, creates), ada, "one")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		if err := directory.ChangeRole(ctx, tx, directory.Operator(), w.org.ID, w.user(w.org, ada).ID, directory.Administrator); err != nil {
			return err
		}
		return signin.SetSecondStepRules(ctx, tx, directory.Operator(), w.org.ID, signin.DefaultSecondStep)
	})
	meets := func(want signin.Meets) {
		t.Helper()
		if m, err := signin.WithoutSecondStep(t.Context(), w.DB, w.org.ID); err != nil || m != want {
			t.Errorf("the rules meet %+v, want %+v (%v)", m, want, err)
		}
	}
	invitation := w.Invite(t, w.org, "new@elsewhere.example", "", directory.Member)

	// Otto has a password; Ada has none.
	meets(signin.Meets{People: 1, Privileged: 1})
	idptest.Want(t, native.Get("/o/alpha/account/security"), idptest.Says("web.security.none_required"), idptest.Says("web.security.second_what"))
	idptest.Want(t, b.Get("/o/alpha/account/security"),
		idptest.Says("web.security.second_what_there"), idptest.Says("web.security.none_there"), idptest.Says("web.security.no_password_there"),
		idptest.SaysNot("web.security.none_required"), idptest.SaysNot("web.security.no_password"))
	idptest.Want(t, b.Get("/o/alpha/admin/rules/second-step"), idptest.Says("console.second.without", "Count", 1), idptest.SaysNot("console.second.rest"))
	idptest.Want(t, b.Get("/o/alpha/admin/rules/password"), idptest.SaysNot("console.password.rest"))
	idptest.Want(t, w.Browser(t).Get(invitation), idptest.Says("web.invitation.what_either"))

	w.makeOnly(owner) // from now on no password opens a session
	meets(signin.Meets{})
	idptest.Want(t, b.Get("/o/alpha/admin/rules/second-step"), idptest.Says("console.second.rest"))
	idptest.Want(t, b.Get("/o/alpha/admin/rules/password"), idptest.Says("console.password.rest"))
	idptest.Want(t, w.Browser(t).Get(invitation), idptest.Says("web.invitation.what_only"), idptest.SaysNot("web.invitation.what"))
}
