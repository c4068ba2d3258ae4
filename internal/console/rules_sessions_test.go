package console_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/session"
)

const sessionRules = "/o/alpha/admin/rules/sessions"

func (w *world) sessionRules(t *testing.T, org directory.OrgID) session.Rules {
	t.Helper()
	r, err := session.RulesOf(t.Context(), w.DB, org)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSessionRulesKeepTheirBounds(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	form := b.Get(sessionRules).Form("main")
	for field, bad := range map[string][]string{
		"idle":     {"4m59s", "481h", "-5m", "soon", "", "٥m"},
		"absolute": {"59m59s", "4321h", "-1h", "", "1e3h"},
	} {
		for _, value := range bad {
			good := form.Values.Get(field)
			p := seen(t, form.Fill(field, value).Submit("save"), 422)
			idptest.Want(expect.Case(t, "%s %q", field, value), p, idptest.Element("select", "aria-invalid", "true"), idptest.Says(map[string]string{"idle": "session.idle_bounds", "absolute": "session.absolute_bounds"}[field]))
			form.Fill(field, good)
		}
	}
	for _, r := range []session.Rules{
		{Idle: session.ShortestIdle, Absolute: session.ShortestAbsolute}, {Idle: session.LongestIdle, Absolute: session.LongestAbsolute},
	} {
		w.Clock.Advance(time.Second) // the log is read newest first
		p := seen(t, b.Post(sessionRules, url.Values{"idle": {r.Idle.String()}, "absolute": {r.Absolute.String()}}), 200)
		if got := w.sessionRules(t, w.alpha.ID); got != r || !p.Says(idptest.Sentence(t, "console.sessions.saved")) {
			t.Errorf("%v was saved as %v: %s", r, got, p.Text())
		}
	}
	if got := w.sessionRules(t, w.beta.ID); got != (session.Rules{Idle: session.Idle, Absolute: session.Absolute}) {
		t.Errorf("beta has %v", got)
	}
	e := w.events(t, w.alpha.ID, "session_rules.changed")
	if len(e) != 2 || e[0].Before["idle"] != "5m0s" || e[0].After["idle"] != "480h0m0s" {
		t.Errorf("recorded as %v", e)
	}
}

// Journeys 9.3: the page says whom new rules would affect before they are saved, and nobody
// else is affected.
func TestSessionRulesSayWhomTheyEnd(t *testing.T) {
	t.Parallel()
	w := start(t)
	resting := w.alpha.browsers[directory.Member]
	neighbour := w.beta.browsers[directory.Owner]
	w.Clock.Advance(2 * time.Hour)
	second := w.Join(t, w.alpha.Organization, "second@alpha.example", "Second", directory.Member)
	b := w.alpha.browsers[directory.Owner]
	proveAgain(t, b.Get(sessionRules))
	p := seen(t, b.Get(sessionRules).Form("main").Fill("idle", "1h0m0s").Submit(""), 200)
	// Everybody who signed in to the first minute, except the owner, who just came back.
	idptest.Want(t, p, idptest.Says("console.sessions.ends", "Count", 4), idptest.Shows("4 people"), idptest.SaysNot("console.sessions.own"))
	if got := w.sessionRules(t, w.alpha.ID); got.Idle != session.Idle {
		t.Fatalf("the preview saved %v", got)
	}
	if p := resting.Get("/o/alpha/home"); p.URL.Path != "/o/alpha/home" {
		t.Fatal("the preview ended a session")
	}
	w.Clock.Advance(time.Second)
	p = seen(t, presses(t, p), 200)
	if !p.Says(idptest.Sentence(t, "console.sessions.saved")) {
		t.Fatalf("saving: %s", p.Text())
	}
	for name, open := range map[string]bool{
		"resting": resting.Get("/o/alpha/home").URL.Path == "/o/alpha/home", // came back meanwhile
		"second":  second.Get("/o/alpha/home").URL.Path == "/o/alpha/home",
		"own":     b.Get("/o/alpha/home").URL.Path == "/o/alpha/home",
		"beta":    neighbour.Get("/o/beta/home").URL.Path == "/o/beta/home",
	} {
		if !open {
			t.Errorf("%s ended", name)
		}
	}
	if p := w.alpha.browsers[directory.Auditor].Get("/o/alpha/home"); p.URL.Path != "/o/alpha" {
		t.Errorf("who rested for two hours is at %s", p.URL)
	}
	// What ended under the shorter rule does not open again under a longer one.
	b.Get(sessionRules).Form("main").Fill("idle", "480h0m0s").Submit("")
	if p := w.alpha.browsers[directory.Helpdesk].Get("/o/alpha/home"); p.URL.Path != "/o/alpha" {
		t.Errorf("a longer rule opened what was over: %s", p.URL)
	}
	w.Clock.Advance(time.Hour)
	second.Get("/o/alpha/home")
	p = b.Get(sessionRules)
	if strings.HasPrefix(p.URL.Path, "/sign-in/") {
		p = proveAgain(t, p)
	}
	p = seen(t, p.Form("main").Fill("absolute", "1h0m0s").Submit(""), 200)
	idptest.Want(expect.Case(t, "the own session is not named"), p, idptest.Says("console.sessions.own"))
}

func TestSessionRulesForWhoMayOnlyRead(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, role := range []directory.Role{directory.Helpdesk, directory.Auditor} {
		b := w.alpha.browsers[role]
		if p := seen(t, b.Get(sessionRules), 200); p.Has("form", "id", "main") || !p.Says("20 days") || !p.Says("90 days") {
			t.Errorf("%s sees %s", role, p.Text())
		}
		if p := b.Post(sessionRules, url.Values{"do": {"save"}, "idle": {"1h"}, "absolute": {"1h"}}); p.Status != 403 {
			t.Errorf("%s saves: %d", role, p.Status)
		}
	}
}

// After a stale proof the form comes back as it was filled in.
func TestSessionRulesComeBackFromTheProof(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	form := b.Get(sessionRules).Form("main").Fill("absolute", "720h0m0s")
	w.Clock.Advance(11 * time.Minute)
	p := proveAgain(t, form.Submit(""))
	if got := p.Form("main").Values.Get("absolute"); got != "720h0m0s" {
		t.Errorf("came back as %s", got)
	}
	seen(t, p.Form("main").Submit(""), 200)
	if got := w.sessionRules(t, w.alpha.ID); got.Absolute != 30*24*time.Hour {
		t.Errorf("saved as %v", got)
	}
}
