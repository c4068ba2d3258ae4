package console_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

const accessPath = "/o/alpha/admin/access"

// opens returns the scopes with which a token calls; "unknown" if it does not.
func (w *world) opens(t *testing.T, text string) string {
	t.Helper()
	c, err := access.ByToken(t.Context(), w.DB, text)
	if err != nil {
		return "unknown"
	}
	var all []string
	for _, s := range c.Scopes {
		all = append(all, string(s))
	}
	return strings.Join(all, " ")
}

func TestATokenIsMadeAndShownOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Helpdesk]
	idptest.Want(t, b.Get(accessPath), idptest.Says("console.access.no_tokens"))
	add := seen(t, b.Get(accessPath+"/add"), 200)
	idptest.Want(t, add, idptest.Source(`value="parvis.people.write"`), idptest.SourceNot("parvis.audit.read"), idptest.SourceNot("parvis.settings.write"))
	p := add.Form("main").Fill("name", "Front desk").Check("scope[]", "parvis.people.read").Submit("")
	seen(t, p, 200)
	idptest.Want(t, p, idptest.Says("console.access.once"))
	_, rest, _ := strings.Cut(p.Body, `<code id="token" dir="ltr">`)
	text, _, _ := strings.Cut(rest, "</code>")
	expect.Equal(t, "the token opens", w.opens(t, text), "parvis.people.read")
	expect.Equal(t, "what browsers keep of the page", p.Header.Get("Cache-Control"), "no-store")
	list := seen(t, b.Get(accessPath), 200)
	if strings.Contains(list.Body, text) {
		t.Error("the list shows the token")
	}
	if !list.Says("Front desk") || list.Says("Nightly export") {
		t.Errorf("the list shows other tokens than one's own: %s", list.Text())
	}
	var link string
	for _, l := range list.Links() {
		if strings.Contains(l, "/access/tokens/tok_") {
			link = l
		}
	}
	seen(t, w.alpha.browsers[directory.Auditor].Get(link), 200)
	asked := b.Get(link).Form("main").Submit("revoke")
	idptest.Want(t, asked, idptest.Says("console.confirm.token", "Name", "Front desk"))
	expect.Equal(t, "before the answer the token opens", w.opens(t, text), "parvis.people.read")
	idptest.Want(t, asked.Form("main").Submit(""), idptest.Says("console.access.revoked"))
	expect.Equal(t, "after it", w.opens(t, text), "unknown")
	expect.Equal(t, "tokens that the log says were revoked", len(w.events(t, w.alpha.ID, "token.revoked")), 1)
}

func TestWhatIsWrongWithATokenIsSaidAtItsField(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Auditor]
	for what, tt := range map[string]struct {
		form url.Values
		key  string
	}{
		"no scope":              {url.Values{"name": {"Mine"}, "lasts": {"720h0m0s"}}, "access.scopes_missing"},
		"more than the role":    {url.Values{"name": {"Mine"}, "lasts": {"720h0m0s"}, "scope[]": {"parvis.people.write"}}, "access.scope_beyond"},
		"a scope of nobody":     {url.Values{"name": {"Mine"}, "lasts": {"720h0m0s"}, "scope[]": {"parvis.operator.write"}}, "access.scope_unknown"},
		"longer than a year":    {url.Values{"name": {"Mine"}, "lasts": {"8784h0m0s"}, "scope[]": {"parvis.people.read"}}, "access.lasts"},
		"a time that is none":   {url.Values{"name": {"Mine"}, "lasts": {"soon"}, "scope[]": {"parvis.people.read"}}, "access.lasts"},
		"no time":               {url.Values{"name": {"Mine"}, "lasts": {""}, "scope[]": {"parvis.people.read"}}, "access.lasts"},
		"no name":               {url.Values{"name": {" "}, "lasts": {"720h0m0s"}, "scope[]": {"parvis.people.read"}}, "naming.name_missing"},
		"a name that overflows": {url.Values{"name": {strings.Repeat("x", 500)}, "lasts": {"720h0m0s"}, "scope[]": {"parvis.people.read"}}, ""},
	} {
		p := b.Post(accessPath+"/add", tt.form)
		expect.Equal(expect.Case(t, "%s", what), "status", p.Status, 422)
		if strings.HasPrefix(tt.key, "access.") {
			idptest.Want(expect.Case(t, "%s", what), p, idptest.Says(tt.key), idptest.Input("name", "Mine"))
		}
	}
	expect.Equal(t, "tokens that were made", len(w.events(t, w.alpha.ID, "token.issued")), 1) // the one of the world
}

func TestAMachineGetsRightsAndLosesThem(t *testing.T) {
	t.Parallel()
	w := start(t)
	var c application.Application
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		c, _, err = application.Register(ctx, tx, directory.Operator(), "", application.Application{OrgID: w.alpha.ID, Kind: application.Machine, Settings: application.Settings{
			Name: "Backup", Auth: application.Secret, OwnBehalf: true,
		}})
		return err
	})
	at := accessPath + "/machines/" + string(c.ID)
	reaches := func() string {
		right, err := access.RightOf(t.Context(), w.DB, w.alpha.ID, c.ID)
		if err != nil {
			return "nothing"
		}
		return string(right.Actor.Role) + " until " + right.Until.Format(time.DateOnly)
	}
	b := w.alpha.browsers[directory.Administrator]
	idptest.Want(t, b.Get(accessPath), idptest.Says("console.access.no_right"))
	form := seen(t, b.Get(at), 200).Form("main")
	idptest.Want(t, form.Check("scope[]", "parvis.people.write").Fill("role", "auditor").Submit("grant"), idptest.Status(422), idptest.Says("access.scope_beyond"))
	expect.Equal(t, "after a mistake it reaches", reaches(), "nothing")
	p := b.Get(at).Form("main").Check("scope[]", "parvis.people.write").Fill("role", "helpdesk").Fill("lasts", "720h0m0s").Submit("grant")
	idptest.Want(t, seen(t, p, 200), idptest.Says("console.access.granted"))
	expect.Equal(t, "it reaches", reaches(), "helpdesk until "+w.Clock.Now().Add(30*24*time.Hour).Format(time.DateOnly))

	// Its giver is shut out, and another administrator confirms.
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		owner, err := directory.UserByID(ctx, tx, w.alpha.ID, directory.UserID(w.alpha.user))
		if err != nil {
			return err
		}
		return directory.Deactivate(ctx, tx, owner.AsActor(), w.alpha.ID, directory.UserID(w.idOf(t, w.alpha.ID, "users", "administrator@alpha.example")))
	})
	owner := w.alpha.browsers[directory.Owner]
	idptest.Want(t, owner.Get(accessPath), idptest.Says("console.access.rests"))
	idptest.Want(t, owner.Get(at), idptest.Says("console.access.rests_what", "Person", "Person administrator of alpha"))
	idptest.Want(t, owner.Post(at, url.Values{"do": {"confirm"}}), idptest.Says("console.access.confirmed"))
	expect.Equal(t, "once confirmed it reaches", reaches(), "helpdesk until "+w.Clock.Now().Add(30*24*time.Hour).Format(time.DateOnly))

	asked := owner.Post(at, url.Values{"do": {"end"}})
	idptest.Want(t, asked, idptest.Says("console.confirm.machine", "Name", "Backup"))
	idptest.Want(t, asked.Form("main").Submit(""), idptest.Says("console.access.ended"))
	expect.Equal(t, "at the end it reaches", reaches(), "nothing")
}

// Only an owner lets people in by a code, and without a fresh proof nobody changes anything here.
func TestAccessWantsAFreshProof(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	idptest.Want(t, b.Post(accessPath, url.Values{"devices": {"yes"}}), idptest.Says("console.access.saved"))
	rules, err := access.RulesOf(t.Context(), w.DB, w.alpha.ID)
	if err != nil || !rules.Devices {
		t.Fatalf("the rules are %v, %v", rules, err)
	}
	changed := w.events(t, w.alpha.ID, "access_rules.changed")
	expect.Equal(t, "changes in the log", len(changed), 1)
	w.Clock.Advance(11 * time.Minute)
	for path, form := range map[string]url.Values{
		accessPath:                                  {"devices": {""}},
		accessPath + "/add":                         {"name": {"Mine"}, "scope[]": {"parvis.people.read"}, "lasts": {"720h0m0s"}},
		accessPath + "/tokens/" + w.alpha.token:     {"do": {"revoke"}, "confirmed": {"yes"}},
		accessPath + "/machines/" + w.alpha.machine: {"do": {"end"}, "confirmed": {"yes"}},
	} {
		if p := b.Post(path, form); !strings.HasPrefix(p.URL.Path, "/sign-in/") {
			t.Errorf("%s without a fresh proof: %d at %s", path, p.Status, p.URL)
		}
	}
	for _, action := range []audit.Action{"token.revoked", "machine.ended"} {
		expect.Equal(t, string(action)+" in the log", len(w.events(t, w.alpha.ID, action)), 0)
	}
}
