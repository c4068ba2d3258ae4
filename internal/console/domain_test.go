package console_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

const domains = "/o/alpha/admin/domains"

// R-TEN-09, journeys 2.6: an administrator adds a domain, is shown the record, and has it
// checked.
func TestDomainIsAddedProvenAndRemoved(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	if !slices.Contains(seen(t, b.Get("/o/alpha/admin/single-sign-on"), 200).Links(), domains) {
		t.Error("the administration does not lead there")
	}
	form := seen(t, b.Get(domains), 200).Form("main")
	for typed, says := range map[string]string{
		"": idptest.Sentence(t, "directory.domain_missing"), "https://north.example.com/": idptest.Sentence(t, "directory.domain_invalid"), "localhost": idptest.Sentence(t, "directory.domain_invalid"), "10.0.0.1": idptest.Sentence(t, "directory.domain_invalid"),
		"co.uk": idptest.Sentence(t, "directory.domain_public"), "Gmail.com": idptest.Sentence(t, "directory.domain_provider"), "ALPHA.example": idptest.Sentence(t, "directory.domain_listed"), "<b>x</b>.com": idptest.Sentence(t, "directory.domain_invalid"),
	} {
		p := form.Fill("domain", typed).Submit("")
		idptest.Want(expect.Case(t, "%q", typed), p,
			idptest.Status(422), idptest.Shows(says), idptest.Element("input", "aria-invalid", "true"), idptest.Input("domain", typed))
	}
	p := seen(t, form.Fill("domain", " BÜCHER.example.com ").Submit(""), 200)
	for _, text := range []string{"bücher.example.com", "xn--bcher-kva.example.com", idptest.Sentence(t, "console.domain.waiting"), "_parvis-challenge.xn--bcher-kva.example.com", "parvis-domain="} {
		if !p.Says(text) {
			t.Errorf("the page of a new domain lacks %q: %s", text, p.Text())
		}
	}
	if !p.Has("button", "data-copy", "record-name") || !p.Has("button", "data-copy", "record-value") {
		t.Error("nothing copies the record")
	}
	id := p.URL.Path[strings.LastIndex(p.URL.Path, "/")+1:]
	d, err := domain.ByID(t.Context(), w.DB, directory.Operator(), w.alpha.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	idptest.Want(expect.Case(t, "without the record"), p.Form("check").Submit("check"),
		idptest.Status(409), idptest.Says("directory.proof_missing"), idptest.Says("console.domain.waiting"))
	w.dns.Fail(true)
	idptest.Want(expect.Case(t, "without an answer"), p.Form("check").Submit("check"),
		idptest.Status(409), idptest.Says("directory.proof_unanswered"),
		idptest.Says("console.domain.silent_what", "When", "22 November 2026, 09:00 UTC"))
	idptest.Want(t, seen(t, b.Get(domains), 200), idptest.Says("console.domain.silent"))
	w.dns.Fail(false)
	w.dns.Set(d.Record(), d.Value())
	p = seen(t, p.Form("check").Submit("check"), 200)
	idptest.Want(t, p,
		idptest.Says("console.domain.checked", "Organization", "Alpha Freight"), idptest.Says("console.domain.proven_at"),
		idptest.ShowsNot("Waiting"))
	idptest.Want(expect.Case(t, "the notice stays"), seen(t, b.Get(p.URL.Path), 200), idptest.SaysNot("console.domain.checked"))

	// The record disappears: the page and a letter warn, and after a week the domain lapses.
	w.dns.Remove(d.Record())
	w.Clock.Advance(24 * time.Hour)
	if err := w.Domains.Sweep(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
	proveAgain(t, b.Get(p.URL.Path))
	p = seen(t, b.Get(p.URL.Path), 200)
	idptest.Want(t, p, idptest.Says("console.domain.missing"), idptest.Says("console.domain.missing_what", "When", "30 November 2026, 09:00 UTC"))
	for _, to := range []string{"owner@alpha.example", "administrator@alpha.example"} {
		l := w.LettersTo(t, to)[0]
		if !strings.Contains(l.Subject, "bücher.example.com") || !strings.Contains(l.Text, d.Value()) || !slices.Contains(l.Links, w.URL+p.URL.Path) {
			t.Errorf("%s got %q: %s %v", to, l.Subject, l.Text, l.Links)
		}
	}
	for _, to := range []string{"helpdesk@alpha.example", "member@alpha.example", "owner@beta.example"} {
		if strings.Contains(w.LettersTo(t, to)[0].Subject, "cher") {
			t.Errorf("%s got a letter", to)
		}
	}
	w.Clock.Advance(domain.Grace)
	if err := w.Domains.Sweep(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
	proveAgain(t, b.Get(p.URL.Path))
	p = seen(t, b.Get(p.URL.Path), 200)
	l := w.LettersTo(t, "administrator@alpha.example")[0]
	idptest.Want(t, p, idptest.Shows("Lapsed"), idptest.Says("console.domain.lapsed_what", "Count", 7))
	if !strings.Contains(l.Subject, idptest.Sentence(t, "mail.domain.lapsed_subject", "Domain", "bücher.example.com", "Organization", "Alpha Freight")) {
		t.Errorf("lapsed: %q", l.Subject)
	}

	// Removing asks first.
	asked := p.Form("main").Submit("remove")
	idptest.Want(t, asked, idptest.Says("console.confirm.domain", "Domain", "bücher.example.com"), idptest.Says("console.domain.remove_what"))
	p = presses(t, asked)
	idptest.Want(t, p, idptest.Path(domains), idptest.Says("console.domain.removed"), idptest.ShowsNot("bücher"))
	log := b.Get("/o/alpha/admin/audit?" + url.Values{"q": {"xn--bcher-kva"}}.Encode())
	for _, action := range []string{idptest.Sentence(t, "audit.action.domain.added"), idptest.Sentence(t, "audit.action.domain.proven"), idptest.Sentence(t, "audit.action.domain.missing"), idptest.Sentence(t, "audit.action.domain.lapsed"), idptest.Sentence(t, "audit.action.domain.removed")} {
		if !log.Says(action) {
			t.Errorf("the log lacks %q: %s", action, log.Text())
		}
	}
}

// TEN-1: that another organization holds a domain is told only to somebody who proves it as
// well.
func TestTEN1HeldDomainTellsNothingBeforeItIsProven(t *testing.T) {
	t.Parallel()
	w := start(t)
	if err := w.Domains.Check(t.Context(), w.DB, directory.Operator(), w.beta.ID, w.beta.domain); err != nil {
		t.Fatal(err)
	}
	b := w.alpha.browsers[directory.Owner]
	before := w.rows(t, w.beta.ID)
	held := seen(t, b.Get(domains).Form("main").Fill("domain", "beta.example").Submit(""), 200)
	free := seen(t, b.Get(domains).Form("main").Fill("domain", "nobodys.example").Submit(""), 200)
	same := strings.NewReplacer("nobodys.example", "beta.example", free.URL.Path, held.URL.Path)
	without := func(p string) string {
		i := strings.Index(p, "parvis-domain=")
		return p[:i] + p[i+len("parvis-domain=")+32:]
	}
	if without(held.Text()) != without(same.Replace(free.Text())) {
		t.Errorf("a held domain shows:\n%s\na free one:\n%s", held.Text(), free.Text())
	}
	a, c := held.Form("check").Submit("check"), free.Form("check").Submit("check")
	if a.Status != c.Status || without(a.Text()) != without(same.Replace(c.Text())) {
		t.Errorf("checking a held domain: %d %s\na free one: %d %s", a.Status, a.Text(), c.Status, c.Text())
	}
	d, err := domain.ByID(t.Context(), w.DB, directory.Operator(), w.alpha.ID, held.URL.Path[strings.LastIndex(held.URL.Path, "/")+1:])
	if err != nil {
		t.Fatal(err)
	}
	w.dns.Set(d.Record(), d.Value())
	p := held.Form("check").Submit("check")
	idptest.Want(expect.Case(t, "proven by two"), p, idptest.Status(409), idptest.Says("directory.domain_held"), idptest.SourceNot("Beta Shipping"))
	if after := w.rows(t, w.beta.ID); after != before {
		t.Errorf("beta changed:\n%s\n--- before:\n%s", after, before)
	}
}

func TestDomainsForWhoMayOnlyRead(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, role := range []directory.Role{directory.Helpdesk, directory.Auditor} {
		b := w.alpha.browsers[role]
		if p := seen(t, b.Get(domains), 200); p.Has("form", "id", "main") || !p.Says("alpha.example") {
			t.Errorf("%s sees %s", role, p.Text())
		}
		if p := seen(t, b.Get(domains+"/"+w.alpha.domain), 200); p.Has("form", "id", "main") || p.Has("form", "id", "check") || !p.Says("_parvis-challenge.alpha.example") {
			t.Errorf("%s sees %s", role, p.Text())
		}
	}
}

// After a stale proof the domain comes back as it was typed, with the button that was pressed.
func TestDomainComesBackFromTheProof(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	form := b.Get(domains).Form("main").Fill("domain", "north.example.com")
	check := b.Get(domains + "/" + w.alpha.domain).Form("check")
	w.Clock.Advance(11 * time.Minute)
	p := proveAgain(t, form.Submit(""))
	if got := p.Form("main").Values.Get("domain"); got != "north.example.com" {
		t.Errorf("came back as %q", got)
	}
	w.Clock.Advance(11 * time.Minute)
	p = proveAgain(t, check.Submit("check"))
	idptest.Want(expect.Case(t, "came back to"), p, idptest.Path(domains+"/"+w.alpha.domain), idptest.Says("console.confirm.check", "Domain", "alpha.example"))
	idptest.Want(t, presses(t, p), idptest.Says("console.domain.proven_at"))
}

func TestDomainsInFrench(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	b.Post("/o/alpha/language", url.Values{"language": {"fr"}})
	p := seen(t, b.Get(domains), 200)
	idptest.Want(t, p, idptest.Lang("fr"), idptest.Says("console.sso.title"), idptest.Says("console.domain.waiting"))
	idptest.Want(t, p.Form("main").Fill("domain", "co.uk").Submit(""), idptest.Status(422), idptest.Says("directory.domain_public"))
	p = seen(t, b.Get(domains+"/"+w.alpha.domain), 200)
	if p := seen(t, p.Form("check").Submit("check"), 200); !p.Says("le domaine appartient à Alpha Freight") {
		t.Errorf("checked: %s", p.Text())
	}
}
