package console_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/app"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/mail"
	"parvis/internal/mailbox"
)

// Journey 1.1, as the administrator sees it.
func TestInvite(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	p := seen(t, b.Get("/o/alpha/admin/people"), 200)
	if !slices.Contains(p.Links(), "/o/alpha/admin/people/invite") {
		t.Fatalf("no way to invite: %v", p.Links())
	}
	form := seen(t, b.Get("/o/alpha/admin/people/invite"), 200).Form("main")
	if form.Values.Get("role") != "member" || form.Values.Get("invited_language") != "en" {
		t.Errorf("offered first: %v", form.Values)
	}
	p = seen(t, form.Fill("email", "lin@alpha.example").Fill("name", "Lin Wei").Fill("invited_language", "fr").Submit(""), 200)
	idptest.Want(t, p,
		idptest.Says("console.invitation.sent_to", "Email", "lin@alpha.example"), idptest.Says("console.invitation.no_mail", "Address", idptest.NoReply),
		idptest.Says("console.state.waiting"), idptest.Shows("Person administrator of alpha"))
	id := w.idOf(t, w.alpha.ID, "invitations", "lin@alpha.example")
	link := w.LinkTo(t, "lin@alpha.example", 0)
	if letter := w.LettersTo(t, "lin@alpha.example")[0]; letter.Subject != idptest.SentenceIn(t, "fr", "mail.invitation.subject", "Organization", "Alpha Freight") {
		t.Errorf("the letter is about %q", letter.Subject)
	}
	// The link is the person's alone (R-INV-03).
	token := strings.TrimPrefix(link, "/invitation/")
	for _, path := range []string{"people", "people?q=lin", "people/invite", "invitations/" + id, "invitations/" + id + "?sent", "audit", "audit?q=" + id, "audit/" + w.events(t, w.alpha.ID, "invitation.sent")[0].ID} {
		if p := seen(t, b.Get("/o/alpha/admin/"+path), 200); strings.Contains(p.Body, token) || strings.Contains(p.Body, "/invitation/") {
			t.Errorf("%s shows the link", path)
		}
	}
	if strings.Contains(w.Log.String(), token) {
		t.Error("the log has the link")
	}
	idptest.Want(expect.Case(t, "once it is sent"), seen(t, b.Get("/o/alpha/admin/invitations/"+id), 200),
		idptest.Says("console.state.sent"), idptest.SaysNot("console.invitation.sent_to"))
	if p := seen(t, b.Get("/o/alpha/admin/people?q=LIN&state=invited"), 200); !p.Says("Lin Wei lin@alpha.example Member " + idptest.Sentence(t, "console.state.sent")) {
		t.Errorf("in the list: %s", p.Text())
	}
	w.Browser(t).Get(link).Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	idptest.Want(expect.Case(t, "once it is accepted"), seen(t, b.Get("/o/alpha/admin/invitations/"+id), 200),
		idptest.Says("console.state.accepted"), idptest.NoElement("button", "value", "resend"))
	p = seen(t, b.Get("/o/alpha/admin/people?q=lin&state=active"), 200)
	if !p.Says("Lin Wei lin@alpha.example Member None active 22 November 2026") || p.Says("invitation") {
		t.Errorf("in the list after joining: %s", p.Text())
	}
	p = seen(t, b.Get("/o/alpha/admin/people/"+w.idOf(t, w.alpha.ID, "users", "lin@alpha.example")), 200)
	idptest.Want(t, p, idptest.Shows("Lin Wei"), idptest.Says("console.state.active"), idptest.Shows("Role Member"), idptest.NoElement("form", "id", "main"))
}

func TestInviteNamesEveryFaultAndKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	for name, test := range map[string]struct {
		typed  map[string]string
		faulty []string
	}{
		"nothing":              {map[string]string{}, []string{"email"}},
		"all wrong":            {map[string]string{"email": "nobody", "name": "a\u202eb", "role": "emperor", "invited_language": "xx"}, []string{"email", "name", "role", "invited_language"}},
		"unknown role":         {map[string]string{"email": "x@alpha.example", "role": "emperor"}, []string{"role"}},
		"a member already":     {map[string]string{"email": "Owner@ALPHA.example", "name": "Ana", "role": "auditor", "invited_language": "fr"}, []string{"email"}},
		"invited already":      {map[string]string{"email": "waiting@alpha.example", "name": " "}, []string{"email"}},
		"with a display name":  {map[string]string{"email": "Ana <ana@alpha.example>"}, []string{"email"}},
		"with a line break":    {map[string]string{"email": "ana@alpha.example\r\nBcc: all@alpha.example"}, []string{"email"}},
		"two addresses at one": {map[string]string{"email": "ana@alpha.example,eve@alpha.example"}, []string{"email"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := w.rows(t, w.alpha.ID)
			form := b.Get("/o/alpha/admin/people/invite").Form("main")
			for field, value := range test.typed {
				form.Values.Set(field, value)
			}
			p := seen(t, form.Submit(""), 422)
			var faulty []string
			for _, field := range []string{"email", "name", "role", "invited_language"} {
				if p.Has("p", "id", field+"-error") || p.Has("div", "id", field+"-error") {
					faulty = append(faulty, field)
				}
			}
			for _, field := range []string{"email", "name"} {
				// A browser has no line breaks in such fields; an HTML parser turns two into
				// one.
				typed := strings.ReplaceAll(test.typed[field], "\r\n", "\n")
				if got := p.Form("main").Values.Get(field); got != typed {
					t.Errorf("%s was typed as %q and is %q", field, typed, got)
				}
			}
			if !slices.Equal(faulty, test.faulty) {
				t.Errorf("faults at %v, want %v: %s", faulty, test.faulty, p.Text())
			}
			if after := w.rows(t, w.alpha.ID); after != before {
				t.Error("something was changed")
			}
		})
	}
}

func TestChangeOfLanguageKeepsTheForm(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	form := b.Get("/o/alpha/admin/people/invite").Form("main").Fill("email", "not yet").Fill("role", "helpdesk").Fill("language", "fr")
	p := seen(t, form.Submit("language"), 200)
	back := p.Form("main").Values
	idptest.Want(t, p, idptest.Lang("fr"), idptest.Says("console.invite.title"))
	if back.Get("email") != "not yet" || back.Get("role") != "helpdesk" {
		t.Errorf("%s: %v: %s", p.Lang(), back, p.Text())
	}
	// So does the page that asks first.
	form = b.Get("/o/alpha/admin/invitations/"+w.alpha.invitation).Form("main").Submit("withdraw").Form("main").Fill("language", "en")
	p = seen(t, form.Submit("language"), 200)
	idptest.Want(t, p, idptest.Lang("en"), idptest.Says("console.confirm.withdraw", "Email", "waiting@alpha.example"))
	idptest.Want(t, presses(t, p), idptest.Says("console.state.withdrawn"))
}

func TestResendAndWithdraw(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	old := w.LinkTo(t, "waiting@alpha.example", 0)
	path := "/o/alpha/admin/invitations/" + w.alpha.invitation

	p := seen(t, b.Get(path).Form("resend").Submit("resend"), 200)
	if p.URL.Path == path || !p.Says("on its way") || !p.Says("waiting@alpha.example") {
		t.Fatalf("after sending again: %s: %s", p.URL, p.Text())
	}
	fresh := w.LinkTo(t, "waiting@alpha.example", 1)
	if p := w.Browser(t).Get(old); p.Status != 410 {
		t.Errorf("the old link: %d", p.Status)
	}
	if p := w.Browser(t).Get(fresh); p.Status != 200 {
		t.Errorf("the new link: %d", p.Status)
	}
	idptest.Want(expect.Case(t, "the old invitation"), seen(t, b.Get(path), 200),
		idptest.Says("console.state.replaced"), idptest.NoElement("button", "value", "resend"),
		idptest.Link("/o/alpha/admin/people?q=waiting%40alpha.example"))

	p = seen(t, p.Form("main").Submit("withdraw"), 200)
	idptest.Want(t, p, idptest.Says("console.confirm.withdraw_what", "Email", "waiting@alpha.example"), idptest.Link(p.URL.Path))
	if w.Browser(t).Get(fresh).Status != 200 {
		t.Error("withdrawn before anybody was asked")
	}
	p = presses(t, p)
	idptest.Want(t, p, idptest.Says("console.state.withdrawn"), idptest.NoElement("button", "value", "withdraw"))
	if p := w.Browser(t).Get(fresh); p.Status != 410 {
		t.Errorf("the withdrawn link: %d", p.Status)
	}
	// From another tab, too late.
	for _, do := range []string{"resend", "withdraw"} {
		seen(t, b.Post(p.URL.Path, url.Values{"do": {do}}), 409) // what would be refused is not asked about
		p := seen(t, b.Post(p.URL.Path, url.Values{"do": {do}, "confirmed": {"yes"}}), 409)
		idptest.Want(expect.Case(t, "%s of a withdrawn one", do), p, idptest.Says("console.invitation.over"), idptest.Says("console.state.withdrawn"))
	}
	if p := seen(t, b.Get("/o/alpha/admin/people?q=waiting@alpha.example"), 200); !p.Says("No match") {
		t.Errorf("a withdrawn invitation is in the list: %s", p.Text())
	}
	for action, want := range map[audit.Action]int{"invitation.resent": 1, "invitation.withdrawn": 1} {
		if n := len(w.events(t, w.alpha.ID, action)); n != want {
			t.Errorf("%s is %d times in the audit log", action, n)
		}
	}
}

func TestExpiredInvitationCanBeSentAgain(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	w.Clock.Advance(directory.InvitationLifetime)
	path := "/o/alpha/admin/invitations/" + w.alpha.invitation
	p := seen(t, proveAgain(t, b.Get(path)), 200)
	idptest.Want(t, p, idptest.Says("console.state.expired"))
	if p := seen(t, p.Form("resend").Submit("resend"), 200); !p.Says("on its way") {
		t.Errorf("sent again: %s", p.Text())
	}
}

func TestBouncedInvitation(t *testing.T) {
	t.Parallel()
	const reply = `5.1.1 no such <b>user</b> here`
	box, err := mailbox.Start(t.Context(), "127.0.0.1:0", mailbox.Options{Recipient: func(address string) error {
		if address == "gone@alpha.example" {
			return mailbox.Refuse(550, reply)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := idptest.Start(t, func(s *app.Settings) { s.SMTP = &mail.SMTP{Address: box.Address(), TLS: mail.NoTLS} })
	s.Mail = box
	w := &world{Server: s, dns: idptest.StartDNS(t)}
	w.alpha = w.organization(t, "Alpha Freight", "alpha", directory.Owner)
	inv := w.invitation(t, w.alpha.Organization, "gone@alpha.example", directory.Member)
	if err := s.Outbox.Sweep(t.Context(), s.DB); err != nil {
		t.Fatal(err)
	}
	b := w.alpha.browsers[directory.Owner]
	for _, path := range []string{"people", "invitations/" + inv.ID} {
		p := seen(t, b.Get("/o/alpha/admin/"+path), 200)
		idptest.Want(t, p, idptest.Says("console.state.bounced"), idptest.Says("mail.answer.no_mailbox"), idptest.ShowsNot("user here"))
	}
}

// Pages of the list follow each other without a gap and without a line twice, also where many
// lines have the same instant.
func TestPeoplePaging(t *testing.T) {
	t.Parallel()
	w := start(t)
	const many = 120
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for i := range many {
			if _, err := w.Invitations.Send(ctx, tx, directory.Operator(), w.alpha.Organization, directory.NewInvitation{
				Email: fmt.Sprintf("p%03d@alpha.example", i), Name: fmt.Sprintf("Ämne %03d", i), Role: directory.Member, Language: "en",
			}); err != nil {
				return err
			}
		}
		return nil
	})
	b := w.alpha.browsers[directory.Owner]
	for query, want := range map[string]int{
		"":                      many + 1 + len(directory.Roles),
		"?q=ämne":               many,
		"?q=AMNE+00":            10,
		"?state=invited":        many + 1,
		"?state=active":         len(directory.Roles),
		"?state=deactivated":    0,
		"?state=invited&q=ämne": many,
	} {
		lines := map[string]int{}
		path := "/o/alpha/admin/people" + query
		for path != "" {
			p := seen(t, b.Get(path), 200)
			path = ""
			for _, link := range p.Links() {
				switch {
				case strings.Contains(link, "before="):
					path = link
				case strings.Contains(link, "/admin/invitations/inv_"), strings.Contains(link, "/admin/people/usr_"):
					lines[link]++
				}
			}
		}
		if len(lines) != want {
			t.Errorf("%s: %d lines, want %d", query, len(lines), want)
		}
		for line, n := range lines {
			if n != 1 {
				t.Errorf("%s: %s %d times", query, line, n)
			}
		}
	}
}

// WEB-6: people's names are text, wherever they stand.
func TestPayloadsAreText(t *testing.T) {
	t.Parallel()
	w := start(t)
	const payload = `"><img src=x onerror=alert(1)>'{{7}}`
	b := w.alpha.browsers[directory.Owner]
	b.Header.Set("User-Agent", payload)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		// Names may be restricted one day; the pages must not rely on it.
		for _, statement := range []string{
			`update users set display_name = $1 where org_id = $2`,
			`update invitations set display_name = $1 where org_id = $2`,
			`update organizations set display_name = $1 where id = $2`,
		} {
			if _, err := tx.Exec(ctx, statement, payload, string(w.alpha.ID)); err != nil {
				return err
			}
		}
		return nil
	})
	w.Clock.Advance(time.Second)
	seen(t, b.Get("/o/alpha/admin/invitations/"+w.alpha.invitation).Form("resend").Submit("resend"), 200)
	event := w.events(t, w.alpha.ID, "invitation.resent")[0]
	id := w.idOf(t, w.alpha.ID, "invitations", "waiting@alpha.example")
	pages := []string{"people", "people?q=" + url.QueryEscape(payload), "people/" + w.alpha.user, "people/invite", "invitations/" + id, "audit", "audit?q=" + url.QueryEscape(payload), "audit/" + event.ID}
	for _, path := range pages {
		p := seen(t, b.Get("/o/alpha/admin/"+path), 200)
		if strings.Contains(p.Body, "<img") || !p.Says(payload) && !p.Has("input", "value", payload) {
			t.Errorf("%s: %s", path, p.Body)
		}
	}
	w.Clock.Advance(time.Second)
	typed := url.Values{"email": {payload}, "name": {payload}, "role": {payload}, "invited_language": {payload}}
	if p := seen(t, b.Post("/o/alpha/admin/people/invite", typed), 422); strings.Contains(p.Body, "<img") || p.Form("main").Values.Get("name") != payload {
		t.Errorf("typed into the form: %s", p.Body)
	}
}

// An invitation whose sender may no longer invite says so, and somebody who may sends it again
// from its page, without anybody else.
func TestLapsedInvitationIsSentAgainBySomebodyWhoMay(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.alpha.browsers[directory.Administrator].Get("/o/alpha/admin/people/invite").Form("main").Fill("email", "late@alpha.example").Submit("")
	dead := w.LinkTo(t, "late@alpha.example", 0)
	admin := w.idOf(t, w.alpha.ID, "users", "administrator@alpha.example")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update users set deactivated_at = $1, state = 'deactivated' where org_id = $2 and id = $3`, db.Time(tx.Now()), string(w.alpha.ID), admin)
		return err
	})
	if p := w.Browser(t).Get(dead); p.Status != 410 {
		t.Errorf("the link: %d", p.Status)
	}
	path := "/o/alpha/admin/invitations/" + w.idOf(t, w.alpha.ID, "invitations", "late@alpha.example")
	p := seen(t, w.alpha.browsers[directory.Owner].Get(path), 200)
	idptest.Want(t, p, idptest.Says("console.state.lapsed"), idptest.ShowsNot("withdrawn"))
	seen(t, p.Form("resend").Submit("resend"), 200)
	if p := w.Browser(t).Get(w.LinkTo(t, "late@alpha.example", 1)); p.Status != 200 {
		t.Errorf("the link sent by the owner: %d", p.Status)
	}
}
