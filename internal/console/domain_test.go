package console_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/directory"
	"parvis/internal/domain"
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
		"": "enter a domain", "https://north.example.com/": "such as example.com", "localhost": "such as example.com", "10.0.0.1": "such as example.com",
		"co.uk": "does not belong to one organization", "Gmail.com": "mail provider", "ALPHA.example": "on the list already", "<b>x</b>.com": "such as example.com",
	} {
		p := form.Fill("domain", typed).Submit("")
		if p.Status != 422 || !p.Says(says) || !p.Has("input", "aria-invalid", "true") || p.Form("main").Values.Get("domain") != typed {
			t.Errorf("%q: %d %v: %s", typed, p.Status, p.Form("main").Values, p.Text())
		}
	}
	p := seen(t, form.Fill("domain", " BÜCHER.example.com ").Submit(""), 200)
	for _, text := range []string{"bücher.example.com", "xn--bcher-kva.example.com", "Waiting for its record", "_parvis-challenge.xn--bcher-kva.example.com", "parvis-domain="} {
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
	if p := p.Form("check").Submit("check"); p.Status != 409 || !p.Says("The DNS has no such record, or not yet.") || !p.Says("Waiting for its record") {
		t.Errorf("without the record: %d %s", p.Status, p.Text())
	}
	w.dns.Fail(true)
	if p := p.Form("check").Submit("check"); p.Status != 409 || !p.Says("The DNS gave no answer") || !p.Says("the DNS has given no answer") {
		t.Errorf("without an answer: %d %s", p.Status, p.Text())
	}
	if p := seen(t, b.Get(domains), 200); !p.Says("The DNS gives no answer") {
		t.Errorf("the list: %s", p.Text())
	}
	w.dns.Fail(false)
	w.dns.Set(d.Record(), d.Value())
	p = seen(t, p.Form("check").Submit("check"), 200)
	if !p.Says("the domain is proven to be that of Alpha Freight") || !p.Says("Proven since") || p.Says("Waiting") {
		t.Errorf("proven: %s", p.Text())
	}
	if p := seen(t, b.Get(p.URL.Path), 200); p.Says("is proven to be that of") {
		t.Error("the notice stays")
	}

	// The record disappears: the page and a letter warn, and after a week the domain lapses.
	w.dns.Remove(d.Record())
	w.Clock.Advance(24 * time.Hour)
	if err := w.Domains.Sweep(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
	proveAgain(t, b.Get(p.URL.Path))
	p = seen(t, b.Get(p.URL.Path), 200)
	if !p.Says("Record missing") || !p.Says("The record is no longer there.") {
		t.Errorf("missing: %s", p.Text())
	}
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
	if l := w.LettersTo(t, "administrator@alpha.example")[0]; !p.Says("Lapsed") || !p.Says("missing for more than 7 days") || !strings.Contains(l.Subject, "has lapsed") {
		t.Errorf("lapsed: %q %s", l.Subject, p.Text())
	}

	// Removing asks first.
	if p := p.Form("main").Submit("remove"); p.Status != 422 || !p.Says("Please tick this") {
		t.Errorf("removed without a tick: %d %s", p.Status, p.Text())
	}
	p = seen(t, p.Form("main").Check("confirmed", "yes").Submit("remove"), 200)
	if p.URL.Path != domains || !p.Says("The domain is removed.") || p.Says("bücher") {
		t.Errorf("removed: %s %s", p.URL, p.Text())
	}
	log := b.Get("/o/alpha/admin/audit?" + url.Values{"q": {"xn--bcher-kva"}}.Encode())
	for _, action := range []string{"Domain added", "Domain proven", "Record of a domain missing", "Domain lapsed", "Domain removed"} {
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
	if p.Status != 409 || !p.Says("another organization of this installation has proven this domain") || strings.Contains(p.Body, "Beta Shipping") {
		t.Errorf("proven by two: %d %s", p.Status, p.Text())
	}
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
	if p.URL.Path != domains+"/"+w.alpha.domain || !p.Says("Waiting for its record") {
		t.Errorf("came back to %s: %s", p.URL, p.Text())
	}
	if p := seen(t, p.Form("check").Submit("check"), 200); !p.Says("Proven since") {
		t.Errorf("checked: %s", p.Text())
	}
}

func TestDomainsInFrench(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	b.Post("/o/alpha/language", url.Values{"language": {"fr"}})
	p := seen(t, b.Get(domains), 200)
	if p.Lang() != "fr" || !p.Says("Authentification unique") || !p.Says("Attend son enregistrement") {
		t.Errorf("the list: %s", p.Text())
	}
	if p := p.Form("main").Fill("domain", "co.uk").Submit(""); p.Status != 422 || !p.Says("n’est pas celui d’une seule organisation") {
		t.Errorf("refused: %s", p.Text())
	}
	p = seen(t, b.Get(domains+"/"+w.alpha.domain), 200)
	if p := seen(t, p.Form("check").Submit("check"), 200); !p.Says("le domaine est prouvé pour Alpha Freight") {
		t.Errorf("checked: %s", p.Text())
	}
}
