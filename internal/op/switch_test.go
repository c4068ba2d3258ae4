package op_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/signin"
)

// R-TEN-08: a browser that is in one organization is in another only once that one's own rules were
// met, whichever way it switches, and what was proved in one goes into its tokens alone.
func TestTEN5SwitchingMeetsTheRulesOfTheOrganizationSwitchedTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, named)
	c := w.books()
	elsewhere := w.Join(t, w.other, "bo@meridian.example", "Bo at Lumen", directory.Member)
	_, seed := w.EnrolApp(t, elsewhere.Get("/o/lumen/account/security/add"), "Phone")
	w.Clock.Advance(time.Minute)
	w.SecondStep(t, w.other, signin.SecondStepRules{RequiredFrom: start, Tolerance: 1})

	outside := func(when string) {
		t.Helper()
		t := expect.Case(t, "%s", when)
		expect.Equal(t, "where the switch leads", w.bo.Post("/o/lumen/switch", nil).URL.Path, "/o/lumen")
		expect.Equal(t, "where a page of it leads", w.bo.Get("/o/lumen/account").URL.Path != "/o/lumen/account", true)
		silent := answer(authorize(w.bo, c.request("organization", "lumen", "prompt", "none")))
		expect.Equal(t, "what an application is told that asks for it", silent.Get("error"), "login_required")
		asked := authorize(w.bo, c.request("organization", "lumen"))
		expect.Equal(t, "whether an application that asks for it gets a code", answer(asked).Has("code"), false)
		expect.Equal(t, "where one that asks for none opens", w.at(w.enter(w.bo, c)), "meridian")
	}
	outside("signed in to the other alone")
	second := w.bo.Get("/o/lumen").Form("main").Fill("email", "bo@meridian.example").Fill("password", idptest.Password).Submit("")
	idptest.Want(t, second, idptest.PathBegins("/sign-in/att_"), idptest.Field("code"))
	outside("with its password proved")
	expect.Equal(t, "where its code leads", second.Form("main").Fill("code", idptest.Code(seed, w.Clock.Now())).Submit("").URL.Path, "/o/lumen/home")

	w.Clock.Advance(time.Second)
	for _, there := range []struct{ org, assurance string }{{"meridian", "aal1"}, {"lumen", "aal2"}, {"meridian", "aal1"}} {
		t := expect.Case(t, "switched to %s", there.org)
		expect.Equal(t, "where it leads", w.bo.Post("/o/"+there.org+"/switch", nil).URL.Path, "/o/"+there.org+"/home")
		tokens := w.enter(w.bo, c)
		expect.Equal(t, "the organization of a token", w.at(tokens), there.org)
		expect.Equal(t, "what the token says was proved", w.read(tokens).acr, there.assurance)
		w.Clock.Advance(time.Second)
	}
	// Its state is a rule of its own too.
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Suspend(ctx, tx, directory.Operator(), w.other.ID)
	})
	expect.Equal(t, "whether a switch leads into a suspended organization", w.bo.Post("/o/lumen/switch", nil).URL.Path == "/o/lumen/home", false)
	wantPage(t, "the other organization", w.bo.Get(home), http.StatusOK)
}
